#include "csrc/chip/emulator.h"

#include <algorithm>
#include <mutex>

#include "csrc/chip/analog/program.h"
#include "csrc/chip/emulator_program.h"
#include "csrc/chip/run_checks.h"
#include "csrc/core/error.h"
#include "csrc/math/arithmetic.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

bool sends_later(const CompiledPopulation& population) { return population.num_states > math::kStateSpikes; }

class EmulatorRun {
 public:
  EmulatorRun(const EmulatorProgram& program, const std::vector<SpikeTensor>& inputs, const RunOptions& options)
      : program_(program), inputs_(inputs), options_(options) {
    check_inputs(program.input_names, program.input_sizes, inputs);
    result_.steps = inputs.empty() ? 0 : inputs[0].steps;
    result_.batch = inputs.empty() ? 0 : inputs[0].batch;
    check_names(options.record_membrane);
    check_names(options.record_current);
    GRADSPIKE_REQUIRE(options.madc.population.empty(), "emulator: the ideal preset has no MADC; give an analog preset");
    check_states();
    prepare();
  }

  Observables run() {
    const CpuExec serial;
    const CpuExec& exec = options_.exec != nullptr ? *options_.exec : serial;
    exec.for_each_range(result_.batch, 1, [this](std::int64_t begin, std::int64_t end) {
      Worker worker(*this);
      for (std::int64_t b = begin; b < end; ++b) {
        worker.run_entry(b);
      }
      const std::lock_guard<std::mutex> lock(mutex_);
      add(worker.counters);
    });
    return std::move(result_);
  }

 private:
  /// The state of the batch entry that a thread works on.
  struct Worker {
    explicit Worker(EmulatorRun& owner)
        : run(owner),
          program(owner.program_),
          sums(at(program.num_slots)),
          arriving(program.recurrent ? at(program.num_slots) : 0),
          states(at(program.num_neurons)) {}

    void run_entry(std::int64_t b) {
      load_states(b);
      for (std::int64_t t = 0; t < run.result_.steps; ++t) {
        if (program.recurrent) {
          std::swap(sums, arriving);
          std::fill(arriving.begin(), arriving.end(), 0);
        } else {
          std::fill(sums.begin(), sums.end(), 0);
        }
        for (std::size_t i = 0; i < run.inputs_.size(); ++i) {
          send_input(i, t, b);
        }
        for (std::size_t p = 0; p < program.populations.size(); ++p) {
          step(p, t, b);
        }
      }
      store_states(b);
    }

    /// All events of one input in one step.
    void send_input(std::size_t i, std::int64_t t, std::int64_t b) {
      const SpikeTensor& tensor = run.inputs_[i];
      const std::int64_t offset = (t * tensor.batch + b) * tensor.size;
      for (std::int64_t n = 0; n < tensor.size; ++n) {
        const std::int64_t count = spike_count(tensor, offset + n);
        if (count != 0) {
          const SourceRoute& route = program.input_routes[at(program.first_input[i] + n)];
          counters.events_sent += count * route.events;
          send(route, count);
        }
      }
    }

    void send(const SourceRoute& route, std::int64_t count) {
      for (std::int64_t r = route.first; r < route.last; ++r) {
        const Response& response = program.responses[at(r)];
        const bool later = program.recurrent && program.delayed[at(response.slot)];
        (later ? arriving : sums)[at(response.slot)] += count * response.weight;
      }
      counters.synapse_events += count * route.synapses;
    }

    float input_of(const CompiledPopulation& population, std::int64_t n) const {
      const std::int32_t first = population.first_term[at(n)];
      const std::int32_t last = population.first_term[at(n + 1)];
      float input = 0.0F;
      for (std::int32_t k = first; k < last; ++k) {
        const Term& term = population.terms[at(k)];
        const float value = math::mul(static_cast<float>(sums[at(term.slot)]), term.factor);
        input = k == first ? value : math::add(input, value);
      }
      return input;
    }

    void step(std::size_t p, std::int64_t t, std::int64_t b) {
      const CompiledPopulation& population = program.populations[p];
      PopulationRecord& record = run.result_.populations[p];
      const std::int64_t offset = (t * run.result_.batch + b) * population.size;
      for (std::int64_t n = 0; n < population.size; ++n) {
        math::LifState<float>& state = states[at(population.first_neuron + n)];
        const math::LifCoefficients<float>& coefficients = population.coefficients[at(n)];
        const float input = input_of(population, n);
        if (population.fires) {
          const bool fired = math::lif_step<true>(state, input, coefficients).spike != 0.0F;
          record.spikes[at(offset + n)] = fired ? 1 : 0;
          if (fired) {
            ++counters.spikes_on_chip;
            send(program.neuron_routes[at(population.first_neuron + n)], 1);
          }
        } else {
          math::li_step<float>(state, input, coefficients, {});
        }
        if (!record.membrane.empty()) {
          record.membrane[at(offset + n)] = state.membrane;
        }
        if (!record.current.empty()) {
          record.current[at(offset + n)] = state.current;
        }
      }
    }

    /// Spikes of the step before the first enter the delayed sums alone.
    void load_states(std::int64_t b) {
      std::fill(sums.begin(), sums.end(), 0);
      std::fill(arriving.begin(), arriving.end(), 0);
      for (const CompiledPopulation& population : program.populations) {
        const auto given = run.options_.initial_states.find(population.name);
        for (std::int64_t n = 0; n < population.size; ++n) {
          math::LifState<float>& state = states[at(population.first_neuron + n)];
          state = {0.0F, population.coefficients[at(n)].leak, 0.0F};
          if (given != run.options_.initial_states.end()) {
            const auto value = [&](std::int64_t row) {
              return given->second[at((row * run.result_.batch + b) * population.size + n)];
            };
            state = {value(math::kStateCurrent), value(math::kStateMembrane),
                     population.fires ? value(math::kStateRefractory) : 0.0F};
            if (sends_later(population) && value(math::kStateSpikes) != 0.0F) {
              send(program.neuron_routes[at(population.first_neuron + n)], 1);
            }
          }
        }
      }
    }

    void store_states(std::int64_t b) {
      for (std::size_t p = 0; p < program.populations.size(); ++p) {
        const CompiledPopulation& population = program.populations[p];
        StateTensor& final_state = run.result_.populations[p].final_state;
        for (std::int64_t n = 0; n < population.size; ++n) {
          const math::LifState<float>& state = states[at(population.first_neuron + n)];
          const std::int64_t last = ((run.result_.steps - 1) * run.result_.batch + b) * population.size + n;
          const bool fired =
              sends_later(population) && run.result_.steps > 0 && run.result_.populations[p].spikes[at(last)] != 0;
          const float values[] = {state.current, state.membrane, state.refractory, fired ? 1.0F : 0.0F};
          for (std::int64_t row = 0; row < population.num_states; ++row) {
            final_state[at((row * run.result_.batch + b) * population.size + n)] = values[row];
          }
        }
      }
    }

    EmulatorRun& run;
    const EmulatorProgram& program;
    std::vector<std::int64_t> sums;
    std::vector<std::int64_t> arriving;  // sums of the next step, where some are delayed
    std::vector<math::LifState<float>> states;
    RunCounters counters;
  };

  const CompiledPopulation* find(const std::string& name) const {
    for (const CompiledPopulation& population : program_.populations) {
      if (population.name == name) {
        return &population;
      }
    }
    return nullptr;
  }

  void require_known(const std::string& name) const {
    std::vector<std::string> names;
    for (const CompiledPopulation& population : program_.populations) {
      names.push_back(population.name);
    }
    require_population(names, name);
  }

  void check_names(const std::vector<std::string>& names) const {
    for (const std::string& name : names) {
      if (name != "*") {
        require_known(name);
      }
    }
  }

  void check_states() const {
    for (const auto& [name, state] : options_.initial_states) {
      require_known(name);
      const CompiledPopulation* population = find(name);
      const std::int64_t need = population->num_states * result_.batch * population->size;
      GRADSPIKE_REQUIRE(static_cast<std::int64_t>(state.size()) == need, "emulator: the initial state of population \"",
                        name, "\" must be [", population->num_states, ", ", result_.batch, ", ", population->size,
                        "], got ", state.size(), " numbers");
    }
  }

  void prepare() {
    result_.target = program_.target();
    result_.not_modelled = plasticity_not_modelled(program_.wiring->network);
    for (const CompiledPopulation& population : program_.populations) {
      const std::size_t elements = at(result_.steps * result_.batch * population.size);
      PopulationRecord record;
      record.name = population.name;
      record.size = population.size;
      record.spikes.resize(population.fires ? elements : 0);
      record.membrane.resize(is_recorded(options_.record_membrane, population.name) ? elements : 0);
      record.current.resize(is_recorded(options_.record_current, population.name) ? elements : 0);
      record.final_state.resize(at(population.num_states * result_.batch * population.size));
      result_.populations.push_back(std::move(record));
    }
  }

  void add(const RunCounters& counters) {
    result_.counters.events_sent += counters.events_sent;
    result_.counters.spikes_on_chip += counters.spikes_on_chip;
    result_.counters.synapse_events += counters.synapse_events;
  }

  const EmulatorProgram& program_;
  const std::vector<SpikeTensor>& inputs_;
  const RunOptions& options_;
  Observables result_;
  std::mutex mutex_;
};

}  // namespace

Observables Emulator::run(const Program& program, const std::vector<SpikeTensor>& inputs,
                          const RunOptions& options) const {
  if (const auto* analog = dynamic_cast<const analog::AnalogProgram*>(&program)) {
    return analog::run(*analog, inputs, options);
  }
  const auto* compiled = dynamic_cast<const EmulatorProgram*>(&program);
  GRADSPIKE_REQUIRE(compiled != nullptr, "emulator: the program was compiled by another backend (", program.target(),
                    ")");
  return EmulatorRun(*compiled, inputs, options).run();
}

}  // namespace gradspike::chip
