#include "csrc/chip/json_reader.h"
#include "csrc/chip/registry.h"

namespace gradspike::chip {
namespace {

Json write(const RegisteredProjection& entry) {
  const Projection& p = entry.projection;
  return {{"key", entry.key},
          {"generation", entry.generation},
          {"sources", entry.sources},
          {"target", entry.target},
          {"in_features", p.in_features},
          {"out_features", p.out_features},
          {"receptor", name_of(p.receptor)},
          {"scale", bits_of(p.scale)},
          {"factor", bits_of(p.factor)},
          {"min_weight", p.min_weight},
          {"max_weight", p.max_weight},
          {"masked", !p.mask.empty()},
          {"delay_steps", p.delay_steps},
          {"chip_coordinate", p.chip_coordinate},
          {"execution_instance", p.execution_instance},
          {"circuits_per_neuron", p.circuits_per_neuron},
          {"plasticity_rule", p.plasticity_rule},
          {"plasticity_start", bits_of(p.plasticity_start)},
          {"plasticity_period", bits_of(p.plasticity_period)},
          {"plasticity_executions", p.plasticity_executions},
          {"plasticity_recording", p.plasticity_recording},
          {"mapped", entry.is_mapped()},
          {"instances", entry.instances()},
          {"synapses", entry.placement().size()},
          {"written", entry.written}};
}

Json write(const RegisteredPopulation& entry) {
  Json circuits = Json::array();
  for (const PlacedNeuron& neuron : entry.placement()) {
    for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
      circuits.push_back(circuit.to_enum());
    }
  }
  return {{"key", entry.key},
          {"generation", entry.generation},
          {"kind", name_of(entry.population.kind)},
          {"size", entry.population.size},
          {"dt", bits_of(entry.dt)},
          {"instances", entry.instances()},
          {"circuits", std::move(circuits)}};
}

}  // namespace

std::string Registry::to_json() const {
  Json projections = Json::array();
  Json populations = Json::array();
  const std::shared_ptr<const Table> table = snapshot();  // kept alive for the loop
  for (const auto& [name, entry] : *table) {
    for (const auto& [key, projection] : entry->projections) {
      projections.push_back(write(*projection));
    }
    for (const auto& [key, population] : entry->populations) {
      populations.push_back(write(*population));
    }
  }
  return dump_json({{"format", "gradspike.registry"},
                    {"version", 1},
                    {"projections", std::move(projections)},
                    {"populations", std::move(populations)}},
                   "registry");
}

}  // namespace gradspike::chip
