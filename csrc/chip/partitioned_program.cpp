#include "csrc/chip/partitioned_program.h"

#include <algorithm>

#include "csrc/chip/run_checks.h"
#include "csrc/core/error.h"
#include "csrc/math/hash.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Neurons [first, first + count) of [outer, size], as [outer, count] in `part`.
struct Window {
  std::int64_t outer = 0;
  std::int64_t size = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;

  template <class T>
  void write(const std::vector<T>& part, std::vector<T>& whole) const {
    if (part.empty()) {
      return;
    }
    whole.resize(at(outer * size));
    for (std::int64_t k = 0; k < outer; ++k) {
      std::copy_n(part.begin() + k * count, count, whole.begin() + k * size + first);
    }
  }

  template <class T>
  std::vector<T> read(const std::vector<T>& whole) const {
    std::vector<T> part;
    for (std::int64_t k = 0; k < outer; ++k) {
      const auto begin = whole.begin() + k * size + first;
      part.insert(part.end(), begin, begin + count);
    }
    return part;
  }
};

class PartitionedRun {
 public:
  PartitionedRun(const Network& network, const std::vector<SpikeTensor>& inputs, const RunOptions& options)
      : network_(network), inputs_(inputs), options_(options) {
    std::vector<std::string> names;
    std::vector<std::int64_t> sizes;
    for (const Input& input : network.inputs) {
      names.push_back(input.name);
      sizes.push_back(input.size);
    }
    check_inputs(names, sizes, inputs);
    result_.steps = inputs.empty() ? 0 : inputs[0].steps;
    result_.batch = inputs.empty() ? 0 : inputs[0].batch;
    for (const Population& population : network.populations) {
      names_.push_back(population.name);
      PopulationRecord record;
      record.name = population.name;
      record.size = population.size;
      if (population.kind == NeuronKind::kLif) {
        record.spikes.resize(at(result_.steps * result_.batch * population.size));
      }
      result_.populations.push_back(std::move(record));
    }
    check_options();
  }

  std::vector<SpikeTensor> inputs_of(const Instance& instance) const {
    std::vector<SpikeTensor> tensors;
    for (const NodeRef& source : instance.inputs) {
      if (source.kind == NodeRef::Kind::kInput) {
        tensors.push_back(inputs_[at(source.index)]);
      } else {
        const PopulationRecord& record = result_.populations[at(source.index)];
        tensors.push_back({SpikeTensor::Type::kUint8, record.spikes.data(), result_.steps, result_.batch, record.size});
      }
    }
    return tensors;
  }

  RunOptions options_of(const Instance& instance, std::size_t number) const {
    RunOptions options = options_;
    options.record_membrane.clear();
    options.record_current.clear();
    options.initial_states.clear();
    options.madc = {};
    if (number > 0) {
      options.seed = math::mix64(options_.seed ^ math::mix64(number));
    }
    for (std::size_t p = 0; p < instance.populations.size(); ++p) {
      const PopulationSlice& slice = instance.populations[p];
      const std::string& whole = names_[at(slice.population)];
      const std::string& name = instance.network.populations[p].name;
      if (is_recorded(options_.record_membrane, whole)) {
        options.record_membrane.push_back(name);
      }
      if (is_recorded(options_.record_current, whole)) {
        options.record_current.push_back(name);
      }
      const auto state = options_.initial_states.find(whole);
      if (state != options_.initial_states.end()) {
        options.initial_states[name] =
            window(slice, static_cast<std::int64_t>(state->second.size())).read(state->second);
      }
      const std::int64_t neuron = options_.madc.neuron - slice.first;
      if (options_.madc.population == whole && neuron >= 0 && neuron < slice.count) {
        options.madc = {name, neuron};
      }
    }
    return options;
  }

  void add(const Instance& instance, const Observables& part) {
    for (std::size_t p = 0; p < instance.populations.size(); ++p) {
      add_record(instance.populations[p], part.populations[p]);
    }
    result_.target = part.target;
    result_.counters.events_sent += part.counters.events_sent;
    result_.counters.spikes_on_chip += part.counters.spikes_on_chip;
    result_.counters.synapse_events += part.counters.synapse_events;
    result_.counters.events_dropped += part.counters.events_dropped;
    result_.counters.spikes_lost += part.counters.spikes_lost;
    result_.counters.background_spikes += part.counters.background_spikes;
    for (const auto& [kind, count] : part.losses) {
      result_.losses[kind] += count;
    }
    for (const auto& [name, seconds] : part.timing) {
      result_.timing[name] += seconds;
    }
    result_.constants.insert(part.constants.begin(), part.constants.end());
    for (const std::string& phrase : part.not_modelled) {
      if (std::find(result_.not_modelled.begin(), result_.not_modelled.end(), phrase) == result_.not_modelled.end()) {
        result_.not_modelled.push_back(phrase);
      }
    }
    add_samples(part);
  }

  Observables take() { return std::move(result_); }

 private:
  void check_options() const {
    for (const std::vector<std::string>* names : {&options_.record_membrane, &options_.record_current}) {
      for (const std::string& name : *names) {
        if (name != "*") {
          require_population(names_, name);
        }
      }
    }
    for (const auto& [name, state] : options_.initial_states) {
      require_population(names_, name);
      const std::int64_t row = result_.batch * network_.populations[at(network_.population(name))].size;
      GRADSPIKE_REQUIRE(row == 0 ? state.empty() : static_cast<std::int64_t>(state.size()) % row == 0,
                        "initial state of population \"", name, "\" must be [state, ", result_.batch, ", ",
                        network_.populations[at(network_.population(name))].size, "], got ", state.size(), " numbers");
    }
    if (!options_.madc.population.empty()) {
      require_population(names_, options_.madc.population);
      const std::int64_t size = network_.populations[at(network_.population(options_.madc.population))].size;
      GRADSPIKE_REQUIRE(options_.madc.neuron >= 0 && options_.madc.neuron < size, "MADC: population \"",
                        options_.madc.population, "\" has neurons 0..", size - 1, ", got ", options_.madc.neuron);
    }
  }

  /// For a tensor of the whole population with this many elements.
  Window window(const PopulationSlice& slice, std::int64_t elements) const {
    const std::int64_t size = network_.populations[at(slice.population)].size;
    return {elements / size, size, slice.first, slice.count};
  }

  void add_record(const PopulationSlice& slice, const PopulationRecord& part) {
    PopulationRecord& whole = result_.populations[at(slice.population)];
    const auto write = [&](const auto& from, auto& to) {
      const auto elements = static_cast<std::int64_t>(from.size()) / slice.count * whole.size;
      GRADSPIKE_REQUIRE(to.empty() || from.empty() || static_cast<std::int64_t>(to.size()) == elements, "population \"",
                        whole.name, "\": its execution instances recorded ", to.size(), " and ", elements, " values");
      window(slice, elements).write(from, to);
    };
    write(part.spikes, whole.spikes);
    write(part.membrane, whole.membrane);
    write(part.current, whole.current);
    write(part.cadc, whole.cadc);
    write(part.final_state, whole.final_state);
  }

  void add_samples(const Observables& part) {
    result_.cadc_times = part.cadc_times.empty() ? result_.cadc_times : part.cadc_times;
    if (!part.madc.population.empty()) {
      result_.madc = part.madc;
      result_.madc.population = options_.madc.population;
      result_.madc.neuron = options_.madc.neuron;
    }
  }

  const Network& network_;
  const std::vector<SpikeTensor>& inputs_;
  const RunOptions& options_;
  std::vector<std::string> names_;  // of the populations
  Observables result_;
};

}  // namespace

std::shared_ptr<const PartitionedProgram> PartitionedProgram::compile(
    std::shared_ptr<const Backend> backend, const Network& network, std::shared_ptr<const PartitionedMapping> partition,
    const Weights& weights, const CompileOptions& options) {
  validate(network, weights);
  validate(*partition, network);
  GRADSPIKE_REQUIRE(!partition->instances.empty(), "partition of network \"", network.name, "\" has no instances");
  const std::shared_ptr<PartitionedProgram> program(new PartitionedProgram());
  for (const Instance& instance : partition->instances) {
    program->programs_.push_back(
        backend->compile(instance.network, instance.mapping, slice_weights(network, instance, weights), options));
  }
  program->backend_ = std::move(backend);
  program->network_ = std::make_shared<const Network>(network);
  program->partition_ = std::move(partition);
  return program;
}

std::shared_ptr<const PartitionedProgram> PartitionedProgram::update(const Weights& weights) const {
  validate(*network_, weights);
  const std::shared_ptr<PartitionedProgram> program(new PartitionedProgram(*this));
  for (std::size_t k = 0; k < programs_.size(); ++k) {
    const Instance& instance = partition_->instances[k];
    program->programs_[k] = backend_->update(*programs_[k], slice_weights(*network_, instance, weights));
    if (program->programs_[k] == nullptr) {
      return nullptr;
    }
  }
  return program;
}

Observables PartitionedProgram::run(const std::vector<SpikeTensor>& inputs, const RunOptions& options) const {
  PartitionedRun run(*network_, inputs, options);
  for (std::size_t k = 0; k < programs_.size(); ++k) {
    const Instance& instance = partition_->instances[k];
    run.add(instance, backend_->run(*programs_[k], run.inputs_of(instance), run.options_of(instance, k)));
  }
  return run.take();
}

}  // namespace gradspike::chip
