#include "csrc/chip/placement.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "csrc/core/error.h"
#include "csrc/math/hash.h"

namespace gradspike::chip {
namespace {

constexpr std::int32_t kCircuitsPerClass = kNeuronCircuits / kBusesPerHemisphere;
constexpr std::int64_t kMaxCandidates = 64;

/// Columns that reach bus `bus_class`, in ascending order: 32 in the left and 32 in the right chip half.
std::int32_t column_of_class(std::int32_t bus_class, std::int32_t n) {
  return (n / kColumnsPerEventOutput) * 128 + bus_class * kColumnsPerEventOutput + n % kColumnsPerEventOutput;
}

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

RoutingProblem::RoutingProblem(const Network& given, const Capacity& capacity)
    : network(given), index(given), requests(expand_synapses(given, index)), cells(at(index.num_sources())) {
  for (const PopulationNeed& need : capacity.populations) {
    circuits_per_neuron.push_back(static_cast<std::int32_t>(need.circuits_per_neuron));
  }
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const SynapseRequest& request = requests[r];
    std::vector<SynapseCell>& of_source = cells[at(request.source)];
    if (of_source.empty() || of_source.back().target != request.target) {
      of_source.push_back({request.target, static_cast<std::int64_t>(r), 0, 0});
    }
    ++(request.inhibitory ? of_source.back().inhibitory : of_source.back().excitatory);
  }
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    population_of.insert(population_of.end(), at(network.populations[p].size), static_cast<std::int32_t>(p));
  }
  slices = background_slices(network);
  slice_of.assign(at(index.num_inputs()), -1);
  for (std::size_t s = 0; s < slices.size(); ++s) {
    std::fill_n(slice_of.begin() + first_source(slices[s]), slices[s].size, static_cast<std::int32_t>(s));
  }
}

Placer::Placer(const RoutingProblem& problem)
    : problem_(problem),
      fixed_(at(problem.index.num_neurons())),
      class_of_(at(problem.index.num_neurons()), -1),
      bus_load_(at(problem.index.num_neurons())),
      load_(at(problem.index.num_neurons())),
      output_load_(at(problem.index.num_neurons())) {
  for (const auto& of_source : problem.cells) {
    for (const SynapseCell& cell : of_source) {
      load_[at(cell.target)].excitatory += cell.excitatory;
      load_[at(cell.target)].inhibitory += cell.inhibitory;
    }
  }
  place_wishes();
  place_permutation();
  place_wide_neurons();
  assign_classes();
}

void Placer::fix(std::int64_t neuron, const std::vector<AtomicNeuronOnDLS>& circuits) {
  for (const AtomicNeuronOnDLS& circuit : circuits) {
    fixed_[at(neuron)].push_back(circuit.to_enum());
    taken_[at(circuit.to_enum())] = true;
    ++output_used_[at(circuit.event_output())];
    ++used_[at(circuit.bus())];
  }
  class_of_[at(neuron)] = circuits.front().bus();
  add_source_load(neuron);
}

void Placer::place_wishes() {
  std::vector<bool> done(problem_.network.populations.size(), false);
  for (const Projection& projection : problem_.network.projections) {
    if (projection.chip_coordinate.empty() || done[at(projection.target)]) {
      continue;
    }
    done[at(projection.target)] = true;
    const std::int64_t size = problem_.network.populations[at(projection.target)].size;
    const auto neurons =
        parse_neuron_wishes(projection.chip_coordinate, size, problem_.circuits_per_neuron[at(projection.target)]);
    for (std::int64_t n = 0; n < size; ++n) {
      fix(problem_.index.neuron(projection.target, n), neurons[at(n)]);
    }
  }
}

/// Neurons in the order of the network, each at the first circuit of the permutation where it fits. One of several
/// circuits begins there, at its top left one.
void Placer::place_permutation() {
  for (std::int64_t n = 0; !problem_.network.neuron_permutation.empty() && n < problem_.index.num_neurons(); ++n) {
    if (!fixed_[at(n)].empty()) {
      continue;
    }
    const std::vector<AtomicNeuronOnDLS> circuits = first_fit(problem_.num_circuits(n));
    if (circuits.empty()) {
      unplaced_ = n;
      return;
    }
    fix(n, circuits);
  }
}

/// Circuits of a neuron, all free and listed; none where there are none.
std::vector<AtomicNeuronOnDLS> Placer::first_fit(std::int32_t circuits) const {
  const std::vector<std::int32_t>& order = problem_.network.neuron_permutation;
  const std::set<std::int32_t> listed(order.begin(), order.end());
  for (const std::int32_t circuit : order) {
    const AtomicNeuronOnDLS anchor(circuit);
    if (circuits == 1) {
      if (!taken_[at(circuit)]) {
        return {anchor};
      }
      continue;
    }
    if (anchor.row() != 0 || anchor.column() % (kColumns / 2) + circuits / 2 > kColumns / 2) {
      continue;
    }
    const std::vector<AtomicNeuronOnDLS> block = neuron_block(anchor.column(), circuits);
    if (std::all_of(block.begin(), block.end(), [&](const AtomicNeuronOnDLS& member) {
          return !taken_[at(member.to_enum())] && listed.count(member.to_enum()) != 0;
        })) {
      return block;
    }
  }
  return {};
}

/// Adds what the spikes of a placed neuron need at its targets.
void Placer::add_source_load(std::int64_t neuron) {
  const std::vector<std::int32_t>& circuits = fixed_[at(neuron)];
  for (const SynapseCell& cell : problem_.cells[at(problem_.index.num_inputs() + neuron)]) {
    Load& load = bus_load_[at(cell.target)][at(class_of_[at(neuron)])];
    load.excitatory += cell.excitatory;
    load.inhibitory += cell.inhibitory;
    if (!circuits.empty()) {
      const std::int32_t output = AtomicNeuronOnDLS(circuits.front()).event_output();
      output_load_[at(cell.target)][at(output)] += cell.excitatory + cell.inhibitory;
    }
  }
}

/// Neurons of several circuits: the widest first, then those that need the most rows as sources.
void Placer::place_wide_neurons() {
  std::vector<std::tuple<std::int32_t, std::int32_t, std::int64_t>> order;
  for (std::int64_t n = 0; n < problem_.index.num_neurons(); ++n) {
    if (problem_.num_circuits(n) == 1 || !fixed_[at(n)].empty()) {
      continue;
    }
    std::int32_t rows = 0;
    for (const SynapseCell& cell : problem_.cells[at(problem_.index.num_inputs() + n)]) {
      rows = std::max(rows, cell.excitatory + cell.inhibitory);
    }
    order.emplace_back(-problem_.num_circuits(n), -rows, n);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [circuits, rows, neuron] : order) {
    place_wide(neuron);
  }
}

/// Rows that the fullest target would need for the spikes of this event output with those of `source`, per column.
std::int32_t Placer::fullest_target(std::int64_t source, std::int32_t event_output) const {
  std::int32_t fullest = 0;
  for (const SynapseCell& cell : problem_.cells[at(problem_.index.num_inputs() + source)]) {
    const std::int32_t own = cell.excitatory + cell.inhibitory;
    const std::int32_t circuits = problem_.num_circuits(cell.target);
    const Load& load = bus_load_[at(cell.target)][at(event_output % kBusesPerHemisphere)];
    const std::int32_t rows =
        circuits == 1 ? load.excitatory + load.inhibitory + own
                      : (output_load_[at(cell.target)][at(event_output)] + own + circuits / 2 - 1) / (circuits / 2);
    fullest = std::max(fullest, rows);
  }
  return fullest;
}

/// The first column of an event output from which `columns` columns of both rows are free within the chip half, or -1.
/// Blocks start at multiples of their width, so that blocks of one width leave no gaps.
std::int32_t Placer::free_block(std::int32_t event_output, std::int32_t columns) const {
  const std::int32_t half = event_output / kBusesPerHemisphere * (kColumns / 2);
  const std::int32_t begin = event_output * kColumnsPerEventOutput;
  for (std::int32_t first = half; first + columns <= half + kColumns / 2; first += columns) {
    if (first < begin || first >= begin + kColumnsPerEventOutput) {
      continue;
    }
    bool free = true;
    for (std::int32_t c = first; c < first + columns; ++c) {
      free = free && !taken_[at(c)] && !taken_[at(kColumns + c)];
    }
    if (free) {
      return first;
    }
  }
  return -1;
}

/// The event output in which the fullest target stays lowest; then the one with the most room.
void Placer::place_wide(std::int64_t neuron) {
  const std::int32_t columns = problem_.num_circuits(neuron) / 2;
  std::int32_t best = -1;
  std::pair<std::int32_t, std::int32_t> best_cost;
  for (std::int32_t output = 0; output < kEventOutputs; ++output) {
    const std::int32_t block = free_block(output, columns);
    const std::pair<std::int32_t, std::int32_t> cost{fullest_target(neuron, output), output_used_[at(output)]};
    if (block >= 0 && (best < 0 || cost < best_cost)) {
      best = block;
      best_cost = cost;
    }
  }
  if (best < 0) {
    unplaced_ = neuron;  // the free circuits lie apart
    return;
  }
  fix(neuron, neuron_block(best, problem_.num_circuits(neuron)));
}

std::int32_t Placer::least_used_class() const {
  return static_cast<std::int32_t>(std::min_element(used_.begin(), used_.end()) - used_.begin());
}

/// The class in which the fullest target column of `neuron` stays lowest; then the class with the most room.
void Placer::assign_class(std::int64_t neuron) {
  const auto& cells = problem_.cells[at(problem_.index.num_inputs() + neuron)];
  std::int32_t best = -1;
  std::pair<std::int32_t, std::int32_t> best_cost;
  for (std::int32_t k = 0; k < kClasses; ++k) {
    if (used_[at(k)] == kCircuitsPerClass) {
      continue;
    }
    std::int32_t fullest = 0;
    for (const SynapseCell& cell : cells) {
      const Load& load = bus_load_[at(cell.target)][at(k)];
      const std::int32_t circuits = problem_.num_circuits(cell.target);
      const std::int32_t sum = load.excitatory + load.inhibitory + cell.excitatory + cell.inhibitory;
      fullest = std::max(fullest, (sum + circuits - 1) / circuits);
    }
    const std::pair<std::int32_t, std::int32_t> cost{fullest, used_[at(k)]};
    if (best < 0 || cost < best_cost) {
      best = k;
      best_cost = cost;
    }
  }
  GRADSPIKE_CHECK(best >= 0, "no class has room for neuron ", neuron);
  class_of_[at(neuron)] = best;
  ++used_[at(best)];
}

void Placer::assign_classes() {
  const std::int64_t neurons = problem_.index.num_neurons();
  std::vector<std::pair<std::int32_t, std::int64_t>> order;  // sources that need the most rows first
  for (std::int64_t n = 0; n < neurons; ++n) {
    std::int32_t rows = 0;
    for (const SynapseCell& cell : problem_.cells[at(problem_.index.num_inputs() + n)]) {
      rows = std::max(rows, cell.excitatory + cell.inhibitory);
    }
    order.emplace_back(-rows, n);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [rows, neuron] : order) {
    if (class_of_[at(neuron)] >= 0) {
      continue;
    }
    if (rows < 0) {
      assign_class(neuron);
      add_source_load(neuron);
    } else {
      class_of_[at(neuron)] = least_used_class();
      ++used_[at(class_of_[at(neuron)])];
    }
  }
}

bool Placer::fits(const Envelope& envelope, std::int64_t neuron) const {
  std::int32_t excitatory = 0;
  std::int32_t inhibitory = 0;
  for (std::int32_t k = 0; k < kClasses; ++k) {
    const Load& load = bus_load_[at(neuron)][at(k)];
    const std::int32_t e = std::max(envelope.bus[at(k)].excitatory, load.excitatory);
    const std::int32_t i = std::max(envelope.bus[at(k)].inhibitory, load.inhibitory);
    if (e + i > kRowsPerBus) {
      return false;
    }
    excitatory += e;
    inhibitory += i;
  }
  excitatory = std::max({excitatory, envelope.total.excitatory, load_[at(neuron)].excitatory});
  inhibitory = std::max({inhibitory, envelope.total.inhibitory, load_[at(neuron)].inhibitory});
  return excitatory + inhibitory <= kSynapseRows;
}

void Placer::add(Envelope& envelope, std::int64_t neuron) const {
  const auto raise = [](Load& to, const Load& by) {
    to.excitatory = std::max(to.excitatory, by.excitatory);
    to.inhibitory = std::max(to.inhibitory, by.inhibitory);
  };
  for (std::int32_t k = 0; k < kClasses; ++k) {
    raise(envelope.bus[at(k)], bus_load_[at(neuron)][at(k)]);
  }
  raise(envelope.total, load_[at(neuron)]);
}

/// Population by population: the hemisphere where all its neurons fit, then the one that fewer sources have to reach.
std::vector<std::int32_t> Placer::default_hemispheres() const {
  const Network& network = problem_.network;
  std::vector<std::set<std::int64_t>> sources_of(network.populations.size());
  for (const SynapseRequest& request : problem_.requests) {
    sources_of[at(problem_.population_of[at(request.target)])].insert(request.source);
  }
  std::array<Envelope, kHemispheres> envelopes{};
  std::array<std::array<std::int32_t, kClasses>, kHemispheres> used{};
  std::array<std::set<std::int64_t>, kHemispheres> reached;
  std::vector<std::int32_t> hemispheres;
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    if (problem_.circuits_per_neuron[p] > 1) {
      hemispheres.push_back(0);  // lies in both
      continue;
    }
    std::tuple<std::int64_t, std::size_t, std::int32_t> best{INT64_MAX, 0, 0};
    for (std::int32_t h = 0; h < kHemispheres; ++h) {
      Envelope envelope = envelopes[at(h)];
      std::array<std::int32_t, kClasses> slots = used[at(h)];
      std::int64_t misfits = 0;
      for (std::int64_t n = 0; n < network.populations[p].size; ++n) {
        const std::int64_t neuron = problem_.index.neuron(static_cast<std::int64_t>(p), n);
        const bool room = ++slots[at(class_of_[at(neuron)])] <= kCircuitsPerClass / kHemispheres;
        misfits += room && fits(envelope, neuron) ? 0 : 1;
        add(envelope, neuron);
      }
      std::set<std::int64_t> sources = reached[at(h)];
      sources.insert(sources_of[p].begin(), sources_of[p].end());
      best = std::min(best, std::make_tuple(misfits, sources.size(), h));
    }
    const std::int32_t h = std::get<2>(best);
    hemispheres.push_back(h);
    reached[at(h)].insert(sources_of[p].begin(), sources_of[p].end());
    for (std::int64_t n = 0; n < network.populations[p].size; ++n) {
      const std::int64_t neuron = problem_.index.neuron(static_cast<std::int64_t>(p), n);
      add(envelopes[at(h)], neuron);
      ++used[at(h)][at(class_of_[at(neuron)])];
    }
  }
  return hemispheres;
}

/// Neurons in order; a neuron that does not fit the hemisphere of its population goes to the other one.
Placement Placer::place(const std::vector<std::int32_t>& hemispheres) const {
  Placement placement = fixed_;
  std::array<Envelope, kHemispheres> envelopes{};
  std::array<bool, kNeuronCircuits> taken = taken_;
  std::array<std::array<std::int32_t, kClasses>, kHemispheres> next{};
  for (std::int64_t n = 0; n < problem_.index.num_neurons(); ++n) {
    if (fixed_[at(n)].size() == 1) {
      add(envelopes[at(AtomicNeuronOnDLS(fixed_[at(n)].front()).hemisphere())], n);
    }
  }
  const auto free_circuit = [&](std::int32_t h, std::int32_t k) {
    std::int32_t& position = next[at(h)][at(k)];
    while (position < kCircuitsPerClass / kHemispheres && taken[at(h * kColumns + column_of_class(k, position))]) {
      ++position;
    }
    return position < kCircuitsPerClass / kHemispheres ? h * kColumns + column_of_class(k, position) : -1;
  };
  for (std::int64_t n = 0; n < problem_.index.num_neurons(); ++n) {
    if (!fixed_[at(n)].empty()) {
      continue;
    }
    const std::int32_t k = class_of_[at(n)];
    const std::int32_t wanted = hemispheres[at(problem_.population_of[at(n)])];
    const std::int32_t circuits[2] = {free_circuit(wanted, k), free_circuit(1 - wanted, k)};
    const bool other =
        circuits[0] < 0 || (circuits[1] >= 0 && !fits(envelopes[at(wanted)], n) && fits(envelopes[at(1 - wanted)], n));
    const std::int32_t circuit = circuits[other ? 1 : 0];
    GRADSPIKE_CHECK(circuit >= 0, "no circuit of class ", k, " is free");
    placement[at(n)] = {circuit};
    taken[at(circuit)] = true;
    add(envelopes[at(other ? 1 - wanted : wanted)], n);
  }
  return placement;
}

std::int64_t Placer::num_candidates() const {
  const std::size_t populations = problem_.network.populations.size();
  return 1 + (populations <= 6 ? std::int64_t{1} << populations : kMaxCandidates);
}

Placement Placer::candidate(std::int64_t number) const {
  if (number == 0) {
    return place(default_hemispheres());
  }
  const std::size_t populations = problem_.network.populations.size();
  std::vector<std::int32_t> hemispheres;
  for (std::size_t p = 0; p < populations; ++p) {
    const auto pattern = static_cast<std::uint64_t>(number - 1);
    const std::uint64_t bits = populations <= 6 ? pattern >> p : math::mix64(pattern * populations + p);
    hemispheres.push_back(static_cast<std::int32_t>(bits & 1U));
  }
  return place(hemispheres);
}

}  // namespace gradspike::chip
