#include "csrc/chip/analog/run.h"

#include <chrono>

#include "csrc/chip/run_checks.h"
#include "csrc/core/error.h"
#include "csrc/math/random.h"

namespace gradspike::chip::analog {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Batch entries that one thread runs one after the other. Fixed, so that results do not depend on the threads: the
/// currents that an entry leaves behind reach the next one, and the first entry of a block gets those of the entry
/// before it, run once more from rest.
constexpr std::int64_t kBlock = 32;

std::vector<std::string> names_of(const AnalogProgram& program) {
  std::vector<std::string> names;
  for (const AnalogPopulation& population : program.populations) {
    names.push_back(population.name);
  }
  return names;
}

}  // namespace

void Losses::add(const Losses& other) {
  current_clipped += other.current_clipped;
  membrane_clipped += other.membrane_clipped;
  cadc_samples_clipped += other.cadc_samples_clipped;
  madc_samples_clipped += other.madc_samples_clipped;
  spikes_merged += other.spikes_merged;
  events_late += other.events_late;
  bus_overflows += other.bus_overflows;
}

void Losses::write(std::map<std::string, std::int64_t>& losses) const {
  losses["current_clipped"] = current_clipped;
  losses["membrane_clipped"] = membrane_clipped;
  losses["cadc_samples_clipped"] = cadc_samples_clipped;
  losses["madc_samples_clipped"] = madc_samples_clipped;
  losses["spikes_merged"] = spikes_merged;
  losses["events_late"] = events_late;
  losses["bus_overflows"] = bus_overflows;
}

AnalogRun::AnalogRun(const AnalogProgram& program, const std::vector<SpikeTensor>& inputs, const RunOptions& options)
    : program_(program),
      constants_(program.constants),
      inputs_(inputs),
      options_(options),
      end_(inputs.empty() ? 0.0 : static_cast<double>(std::max<std::int64_t>(inputs[0].steps - 1, 0)) * program.dt),
      cadc_(program.constants.cadc_period, end_, program.constants.cadc_max_samples),
      madc_(program.constants.madc_interval, end_, program.constants.madc_max_samples),
      trial_key_(math::random_key(~program.seed, options.seed)) {
  check_inputs(program.input_names, program.input_sizes, inputs);
  check_options();
  check_generators();
  prepare();
}

void AnalogRun::check_options() const {
  for (const std::string& name : options_.record_membrane) {
    if (name != "*") {
      require_population(names_of(program_), name);
    }
  }
  GRADSPIKE_REQUIRE(options_.record_current.empty(), "emulator: population \"",
                    options_.record_current.empty() ? "" : options_.record_current.front(),
                    "\": the chip has no readout of synaptic currents, only the ideal preset records them");
  GRADSPIKE_REQUIRE(options_.initial_states.empty(),
                    "emulator: the analog presets start every batch entry from a reset, initial states need the ideal "
                    "preset");
  GRADSPIKE_REQUIRE(options_.inter_batch_wait >= 0.0 && options_.inter_batch_wait < kNever,
                    "emulator: inter_batch_wait must be finite and >= 0 s, got ", options_.inter_batch_wait);
}

void AnalogRun::check_generators() const {
  for (const AnalogGenerator& g : program_.generators) {
    GRADSPIKE_REQUIRE(math::background_ticks(g.timing, end_) <= math::kMostBackgroundTicks, "emulator: a run of ", end_,
                      " s is too long for a background generator of period ", g.timing.period,
                      " cycles, which would "
                      "tick ",
                      math::background_ticks(g.timing, end_), " times, at most ", math::kMostBackgroundTicks,
                      " are emulated");
  }
}

void AnalogRun::prepare() {
  result_.target = program_.target();
  result_.steps = inputs_.empty() ? 0 : inputs_[0].steps;
  result_.batch = inputs_.empty() ? 0 : inputs_[0].batch;
  result_.constants = as_map(constants_);
  result_.not_modelled = not_modelled();
  for (std::string& phrase : plasticity_not_modelled(program_.wiring->network)) {
    result_.not_modelled.push_back(std::move(phrase));
  }
  const double runtime = static_cast<double>(result_.steps) * program_.dt;
  const double wait = std::max(options_.inter_batch_wait - runtime, 0.0);  // counted from the start of an entry
  gap_ = runtime - end_ + wait;
  result_.timing["chip"] =
      static_cast<double>(result_.batch) * (runtime + wait + constants_.reset_time + constants_.relaxation_time);
  for (std::int64_t k = 0; k < cadc_.count; ++k) {
    result_.cadc_times.push_back(cadc_.time(k));
  }
  for (const AnalogPopulation& population : program_.populations) {
    PopulationRecord record;
    record.name = population.name;
    record.size = population.size;
    const std::size_t elements = at(result_.steps * result_.batch * population.size);
    record.spikes.resize(population.fires ? elements : 0);
    if (is_recorded(options_.record_membrane, population.name)) {
      record.membrane.resize(elements);
      record.cadc.resize(at(cadc_.count * result_.batch * population.size));
      result_.losses["cadc_samples_dropped"] += cadc_.dropped * result_.batch * population.size;
    }
    population_of_.insert(population_of_.end(), at(population.size),
                          static_cast<std::int64_t>(result_.populations.size()));
    result_.populations.push_back(std::move(record));
  }
  prepare_madc();
}

void AnalogRun::prepare_madc() {
  const MadcRequest& request = options_.madc;
  if (request.population.empty()) {
    return;
  }
  require_population(names_of(program_), request.population);
  for (const AnalogPopulation& population : program_.populations) {
    if (population.name == request.population) {
      GRADSPIKE_REQUIRE(request.neuron >= 0 && request.neuron < population.size,
                        "emulator: the neuron of the MADC must lie in 0..", population.size - 1, " of population \"",
                        population.name, "\", got ", request.neuron);
      madc_neuron_ = population.first_neuron + request.neuron;
    }
  }
  result_.madc.population = request.population;
  result_.madc.neuron = request.neuron;
  for (std::int64_t k = 0; k < madc_.count; ++k) {
    result_.madc.times.push_back(madc_.time(k));
  }
  result_.madc.samples.resize(at(madc_.count * result_.batch));
  result_.losses["madc_samples_dropped"] += madc_.dropped * result_.batch;
}

/// The events of a batch entry, one after the other on the link into the chip.
std::vector<Stimulus> AnalogRun::stimuli(std::int64_t entry, RunCounters& counters, Losses& losses) const {
  std::vector<Stimulus> events;
  double link_free = 0.0;
  for (std::int64_t t = 0; t < result_.steps; ++t) {
    const double wanted = static_cast<double>(t) * program_.dt;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const SpikeTensor& tensor = inputs_[i];
      for (std::int64_t n = 0; n < tensor.size && !program_.generated[i]; ++n) {
        const std::int64_t count = spike_count(tensor, (t * tensor.batch + entry) * tensor.size + n);
        for (std::int64_t k = 0; k < count; ++k) {
          for (const ChargeRoute& route : program_.input_routes[at(first + n)]) {
            const double time = std::max(wanted, link_free);
            if (time - wanted > constants_.link_max_lateness) {
              ++losses.events_late;
              continue;
            }
            link_free = time + constants_.link_interval;
            ++counters.events_sent;
            events.push_back({time, &route});
          }
        }
      }
      first += tensor.size;
    }
  }
  add_background(entry, counters, events);
  return events;
}

/// Events of the generators, which do not pass the link.
void AnalogRun::add_background(std::int64_t entry, RunCounters& counters, std::vector<Stimulus>& events) const {
  const std::size_t sent = events.size();
  for (const AnalogGenerator& g : program_.generators) {
    math::BackgroundTrain train(g.timing, g.mask, g.random, g.seed, options_.seed, entry);
    while (train.next(math::end_of_steps(result_.steps, program_.dt))) {
      ++counters.background_spikes;
      for (const ChargeRoute& route : program_.input_routes[at(g.first + train.source())]) {
        events.push_back({train.time(), &route});
      }
    }
  }
  if (events.size() > sent) {
    std::stable_sort(events.begin(), events.end(),
                     [](const Stimulus& a, const Stimulus& b) { return a.time < b.time; });
  }
}

/// Spikes that were given for inputs whose spikes the chip makes.
std::int64_t AnalogRun::replaced_spikes() const {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    for (std::int64_t k = 0; program_.generated[i] && k < inputs_[i].steps * inputs_[i].batch * inputs_[i].size; ++k) {
      count += spike_count(inputs_[i], k);
    }
  }
  return count;
}

/// Membranes on the grid of time steps: linear between samples, constant after the last one.
void AnalogRun::interpolate(std::int64_t entry) {
  for (PopulationRecord& record : result_.populations) {
    for (std::int64_t t = 0; t < result_.steps && !record.cadc.empty(); ++t) {
      const double position = static_cast<double>(t) * program_.dt / cadc_.interval;
      const auto left = std::min(static_cast<std::int64_t>(position), cadc_.count - 1);
      const auto right = std::min(left + 1, cadc_.count - 1);
      const double share = std::min(position - static_cast<double>(left), 1.0);
      for (std::int64_t n = 0; n < record.size; ++n) {
        const double a = record.cadc[at((left * result_.batch + entry) * record.size + n)];
        const double b = record.cadc[at((right * result_.batch + entry) * record.size + n)];
        const double lsb = a + share * (b - a) - constants_.cadc_zero;
        record.membrane[at((t * result_.batch + entry) * record.size + n)] =
            static_cast<float>(lsb / constants_.cadc_lsb_per_unit);
      }
    }
  }
}

Observables AnalogRun::run() {
  const auto begin = std::chrono::steady_clock::now();
  const CpuExec serial;
  const CpuExec& exec = options_.exec != nullptr ? *options_.exec : serial;
  const std::int64_t blocks = result_.steps == 0 ? 0 : (result_.batch + kBlock - 1) / kBlock;
  exec.for_each_range(blocks, 1, [this](std::int64_t first, std::int64_t last) {
    Entry entry(*this);
    for (std::int64_t block = first; block < last; ++block) {
      entry.rest();
      if (block > 0) {
        entry.run(block * kBlock - 1, false);
      }
      for (std::int64_t b = block * kBlock; b < std::min((block + 1) * kBlock, result_.batch); ++b) {
        entry.run(b, true);
        interpolate(b);
      }
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    result_.counters.events_sent += entry.counters.events_sent;
    result_.counters.spikes_on_chip += entry.counters.spikes_on_chip;
    result_.counters.synapse_events += entry.counters.synapse_events;
    result_.counters.events_dropped += entry.counters.events_dropped;
    result_.counters.background_spikes += entry.counters.background_spikes;
    losses_.add(entry.losses);
  });
  losses_.write(result_.losses);
  if (std::find(program_.generated.begin(), program_.generated.end(), true) != program_.generated.end()) {
    result_.not_modelled.push_back(detail::concatenate(
        "the ", replaced_spikes(), " spikes given for background inputs, in whose place the chip's generators made ",
        result_.counters.background_spikes));
  }
  result_.timing["emulator"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return std::move(result_);
}

Observables run(const AnalogProgram& program, const std::vector<SpikeTensor>& inputs, const RunOptions& options) {
  return AnalogRun(program, inputs, options).run();
}

}  // namespace gradspike::chip::analog
