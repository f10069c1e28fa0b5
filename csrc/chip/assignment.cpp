#include "csrc/chip/assignment.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class Assigner {
 public:
  Assigner(const RoutingProblem& problem, const Placement& placement)
      : problem_(problem), placement_(placement), circuits_(problem.requests.size(), -1) {}

  std::vector<std::int32_t> run() {
    for (std::int64_t n = 0; n < problem_.index.num_neurons(); ++n) {
      const std::int32_t output = AtomicNeuronOnDLS(placement_[at(n)].front()).event_output();
      assign_neuron(n, output);
    }
    for (const BackgroundSlice& slice : problem_.slices) {
      assign_slice(slice);
    }
    for (std::int64_t source = 0; source < problem_.index.num_inputs(); ++source) {
      if (problem_.slice_of[at(source)] < 0) {
        assign_input(source);
      }
    }
    return std::move(circuits_);
  }

 private:
  /// Rows in use in the column of a circuit: by the spikes of each PADI bus class, and in all.
  struct Column {
    std::array<std::int32_t, kBusesPerHemisphere> bus{};
    std::int32_t total = 0;
  };

  static std::int32_t rows_of(const SynapseCell& cell) { return cell.excitatory + cell.inhibitory; }

  /// The target's circuit in `hemisphere` with the fewest rows of `bus` (-1: of any) in use; -1 where it has none.
  std::int32_t emptiest(std::int64_t target, std::int32_t hemisphere, std::int32_t bus) const {
    std::int32_t best = -1;
    std::pair<std::int32_t, std::int32_t> best_cost;
    for (const std::int32_t circuit : placement_[at(target)]) {
      if (AtomicNeuronOnDLS(circuit).hemisphere() == hemisphere) {
        const Column& column = columns_[at(circuit)];
        const std::pair<std::int32_t, std::int32_t> cost{bus < 0 ? 0 : column.bus[at(bus)], column.total};
        if (best < 0 || cost < best_cost) {
          best = circuit;
          best_cost = cost;
        }
      }
    }
    return best;
  }

  void assign(const SynapseCell& cell, std::int32_t circuit, std::int32_t bus) {
    for (std::int64_t k = 0; k < rows_of(cell); ++k) {
      circuits_[at(cell.first + k)] = circuit;
    }
    Column& column = columns_[at(circuit)];
    column.total += rows_of(cell);
    if (bus >= 0) {
      column.bus[at(bus)] += rows_of(cell);
    }
  }

  /// Whether every target of the neuron has room for its spikes in this hemisphere.
  bool fits(const std::vector<SynapseCell>& cells, std::int32_t hemisphere, std::int32_t bus) const {
    return std::all_of(cells.begin(), cells.end(), [&](const SynapseCell& cell) {
      const std::int32_t circuit = emptiest(cell.target, hemisphere, bus);
      return circuit < 0 || (columns_[at(circuit)].bus[at(bus)] + rows_of(cell) <= kRowsPerBus &&
                             columns_[at(circuit)].total + rows_of(cell) <= kSynapseRows);
    });
  }

  void assign_neuron(std::int64_t neuron, std::int32_t output) {
    const auto& cells = problem_.cells[at(problem_.index.num_inputs() + neuron)];
    const std::int32_t bus = output % kBusesPerHemisphere;
    const std::int32_t preferred = preferred_hemisphere(output);
    const std::int32_t hemisphere =
        fits(cells, preferred, bus) || !fits(cells, 1 - preferred, bus) ? preferred : 1 - preferred;
    for (const SynapseCell& cell : cells) {
      const std::int32_t circuit = emptiest(cell.target, hemisphere, bus);
      assign(cell, circuit >= 0 ? circuit : emptiest(cell.target, 1 - hemisphere, bus), bus);
    }
  }

  /// The fullest column among the targets of an input if it went to `hemisphere`.
  std::int32_t fullest(const std::vector<SynapseCell>& cells, std::int32_t hemisphere) const {
    std::int32_t rows = 0;
    for (const SynapseCell& cell : cells) {
      if (placement_[at(cell.target)].size() > 1) {
        const std::int32_t circuit = emptiest(cell.target, hemisphere, -1);
        rows = std::max(rows, columns_[at(circuit)].total + rows_of(cell));
      }
    }
    return rows;
  }

  void assign_input(std::int64_t source) {
    const auto& cells = problem_.cells[at(source)];
    const std::int32_t rows[2] = {fullest(cells, 0), fullest(cells, 1)};
    const std::int32_t hemisphere =
        rows[0] != rows[1] ? (rows[1] < rows[0] ? 1 : 0) : (inputs_[1] < inputs_[0] ? 1 : 0);
    if (!cells.empty()) {
      ++inputs_[at(hemisphere)];
    }
    assign_to(source, hemisphere);
  }

  /// Sources that the chip makes go to one hemisphere where its generators have the rows: the one that needs fewer.
  void assign_slice(const BackgroundSlice& slice) {
    const std::int64_t first = problem_.first_source(slice);
    std::map<std::int64_t, std::int32_t> rows;  // by target of several circuits
    for (std::int64_t source = first; source < first + slice.size; ++source) {
      for (const SynapseCell& cell : problem_.cells[at(source)]) {
        if (placement_[at(cell.target)].size() > 1) {
          rows[cell.target] += rows_of(cell);
        }
      }
    }
    std::array<std::int32_t, kHemispheres> need{};  // generators
    for (const auto& [target, count] : rows) {
      const auto circuits = static_cast<std::int32_t>(placement_[at(target)].size()) / kHemispheres;
      for (std::int32_t h = 0; h < kHemispheres; ++h) {
        const std::int32_t in_column = (count + circuits - 1) / circuits;
        const bool fits = columns_[at(emptiest(target, h, -1))].total + in_column <= kSynapseRows;
        need[at(h)] = std::max(need[at(h)], fits ? (in_column + kRowsPerBus - 1) / kRowsPerBus : kBackgroundSources);
      }
    }
    const std::int32_t after[2] = {generators_[0] + need[0], generators_[1] + need[1]};
    const std::int32_t h = after[1] < after[0] ? 1 : 0;
    if (after[h] > kBusesPerHemisphere) {
      for (std::int64_t source = first; source < first + slice.size; ++source) {
        assign_input(source);
      }
      return;
    }
    generators_[at(h)] += need[at(h)];
    for (std::int64_t source = first; source < first + slice.size; ++source) {
      assign_to(source, h);
    }
  }

  void assign_to(std::int64_t source, std::int32_t hemisphere) {
    for (const SynapseCell& cell : problem_.cells[at(source)]) {
      const std::int32_t circuit = emptiest(cell.target, hemisphere, -1);
      assign(cell, circuit >= 0 ? circuit : emptiest(cell.target, 1 - hemisphere, -1), -1);
    }
  }

  const RoutingProblem& problem_;
  const Placement& placement_;
  std::vector<std::int32_t> circuits_;
  std::array<Column, kNeuronCircuits> columns_{};
  std::array<std::int64_t, kHemispheres> inputs_{};
  std::array<std::int32_t, kHemispheres> generators_{};  // that the slices need so far
};

}  // namespace

std::vector<std::int32_t> assign_circuits(const RoutingProblem& problem, const Placement& placement) {
  return Assigner(problem, placement).run();
}

}  // namespace gradspike::chip
