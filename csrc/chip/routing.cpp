#include "csrc/chip/routing.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

#include "csrc/chip/assignment.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int32_t lowest_bit(std::uint64_t bits) { return static_cast<std::int32_t>(__builtin_ctzll(bits)); }

std::int32_t count_bits(std::uint64_t bits) { return static_cast<std::int32_t>(__builtin_popcountll(bits)); }

std::int32_t largest(const std::array<std::uint16_t, kColumns>& loads) {
  return *std::max_element(loads.begin(), loads.end());
}

bool has_label(const Bin& bin) { return ~bin.labels != 0; }

/// By column: rows that inputs from outside need beyond those in use.
struct RowNeed {
  std::array<std::int32_t, kColumns> excitatory{};
  std::array<std::int32_t, kColumns> inhibitory{};
};

}  // namespace

Router::Router(const RoutingProblem& problem, const Placement& placement)
    : problem_(problem), placement_(placement), targets_(assign_circuits(problem, placement)) {
  for (std::int64_t n = 0; n < problem.index.num_neurons(); ++n) {
    for (const SynapseCell& cell : problem.cells[at(problem.index.num_inputs() + n)]) {
      node_open_[at(circuit(n).event_output())][at(target(cell).hemisphere())] = true;
    }
  }
}

AtomicNeuronOnDLS Router::circuit(std::int64_t neuron) const {
  return AtomicNeuronOnDLS(placement_[at(neuron)].front());
}

std::int32_t Router::bin_index(std::int32_t hemisphere, std::int32_t bus, std::int32_t group) const {
  return first_bin_[at(hemisphere)][at(bus)] + group;
}

bool Router::reaches(std::int32_t event_output, std::int32_t hemisphere) const {
  return node_open_[at(event_output)][at(hemisphere)];
}

/// Groups are split only as far as labels demand: each split cuts the rows that sources can share.
bool Router::route() {
  std::optional<Misfit> reason;
  for (;;) {
    const Outcome outcome = attempt_both();
    if (outcome == Outcome::kDone) {
      return true;
    }
    if (!reason || !problem_.slices.empty()) {  // rows that are short can be widened, blocks of labels cannot
      reason = failure_;
    }
    if (outcome == Outcome::kRows || !split_groups()) {
      failure_ = *reason;
      return false;
    }
  }
}

/// Generators take whole blocks of labels: after the neurons, which have no choice of their bus, or before them, which
/// keeps the blocks together.
Router::Outcome Router::attempt_both() {
  const Outcome outcome = attempt(false);
  if (outcome == Outcome::kDone || problem_.slices.empty()) {
    return outcome;
  }
  const Misfit failure = failure_;
  const auto shortage = std::make_tuple(short_hemisphere_, short_bus_, short_of_groups_);
  const Outcome other = attempt(true);
  if (other == Outcome::kRows) {
    failure_ = failure;
    std::tie(short_hemisphere_, short_bus_, short_of_groups_) = shortage;
    return outcome;
  }
  return other;
}

/// More groups of drivers where labels were short; false where each driver stands alone already.
bool Router::split_groups() {
  auto& masks = masks_[at(short_hemisphere_)];
  const std::int32_t least =
      short_of_groups_ > 0 ? masks[at(short_bus_)] : *std::min_element(masks.begin(), masks.end());
  if (least == kRowSelects - 1) {
    return false;
  }
  const std::int32_t wanted = std::max(2 * least + 1, short_of_groups_ - 1);
  for (std::int32_t bus = 0; bus < kBusesPerHemisphere; ++bus) {
    if (short_of_groups_ == 0 || bus == short_bus_) {
      masks[at(bus)] = std::max(masks[at(bus)], wanted);
    }
  }
  return true;
}

void Router::make_bins() {
  bins_.clear();
  for (std::int32_t h = 0; h < kHemispheres; ++h) {
    bins_of_[at(h)].clear();
    for (std::int32_t bus = 0; bus < kBusesPerHemisphere; ++bus) {
      const std::int32_t groups = masks_[at(h)][at(bus)] + 1;
      first_bin_[at(h)][at(bus)] = static_cast<std::int32_t>(bins_.size());
      for (std::int32_t group = 0; group < groups; ++group) {
        bins_of_[at(h)].push_back(static_cast<std::int32_t>(bins_.size()));
        Bin bin;
        bin.hemisphere = h;
        bin.bus = bus;
        bin.group = group;
        bin.rows = kRowsPerBus / groups;
        bins_.push_back(bin);
      }
    }
  }
}

Router::Outcome Router::attempt(bool slices_first) {
  make_bins();
  slots_.assign(problem_.requests.size(), Slot{});
  addresses_.assign(at(problem_.index.num_neurons()), 0);
  used_addresses_ = {};
  input_labels_.assign(at(problem_.index.num_inputs()), {});
  generators_.clear();
  short_of_groups_ = 0;
  Outcome outcome = slices_first ? Outcome::kDone : route_neurons();
  for (std::int32_t h = 0; h < kHemispheres && outcome == Outcome::kDone; ++h) {
    outcome = route_slices(h);
  }
  if (slices_first && outcome == Outcome::kDone) {
    outcome = route_neurons();
  }
  for (std::int32_t h = 0; h < kHemispheres && outcome == Outcome::kDone; ++h) {
    outcome = plan_rows(h);
    if (outcome == Outcome::kDone) {
      outcome = route_inputs(h);
    }
  }
  return outcome;
}

// ---- sources on the chip -------------------------------------------------------------------------------------------

Router::Outcome Router::route_neurons() {
  for (std::int64_t n = 0; n < problem_.index.num_neurons(); ++n) {
    const auto population = at(problem_.population_of[at(n)]);
    if (problem_.network.populations[population].kind == NeuronKind::kLif) {
      const Outcome outcome = route_neuron(n);
      if (outcome != Outcome::kDone) {
        return outcome;
      }
    }
  }
  return Outcome::kDone;
}

/// Chooses the two upper address bits, which select the group, and the label, which must be free wherever the spikes
/// of this event output arrive, with or without a target there.
Router::Outcome Router::route_neuron(std::int64_t neuron) {
  const std::int32_t output = circuit(neuron).event_output();
  const auto& cells = problem_.cells[at(problem_.index.num_inputs() + neuron)];
  std::int32_t best = -1;
  std::uint64_t best_free = 0;
  std::pair<std::int32_t, std::int32_t> best_cost;
  const auto bin_of = [&](std::int32_t upper, std::int32_t h) {
    const std::int32_t bus = output % kBusesPerHemisphere;
    return bin_index(h, bus, ((output << 2) | upper) & masks_[at(h)][at(bus)]);
  };
  for (std::int32_t upper = 0; upper < 4; ++upper) {
    std::uint64_t taken = used_addresses_[at(output)][at(upper)];
    std::pair<std::int32_t, std::int32_t> cost{0, 0};
    for (std::int32_t h = 0; h < kHemispheres; ++h) {
      if (reaches(output, h)) {
        const Bin& bin = bins_[at(bin_of(upper, h))];
        taken |= bin.labels;
        for (const SynapseCell& cell : cells) {
          const AtomicNeuronOnDLS circuit = target(cell);
          const std::int32_t rows = bin.excitatory[at(circuit.column())] + bin.inhibitory[at(circuit.column())];
          cost.first = std::max(cost.first, circuit.hemisphere() == h ? rows : 0);
        }
        cost.second = std::max(cost.second, count_bits(bin.labels));
      }
    }
    if (~taken != 0 && (best < 0 || cost < best_cost)) {
      best = upper;
      best_free = ~taken;
      best_cost = cost;
    }
  }
  if (best < 0) {
    const std::int32_t bus = output % kBusesPerHemisphere;
    const bool coarser = masks_[0][at(bus)] <= masks_[1][at(bus)];
    const std::int32_t h = reaches(output, 0) && (!reaches(output, 1) || coarser) ? 0 : 1;
    return fail_labels(h, bus, kSynapseLabels + 1);
  }
  const std::int32_t label = lowest_bit(best_free);
  addresses_[at(neuron)] = best * kSynapseLabels + label;
  used_addresses_[at(output)][at(best)] |= std::uint64_t{1} << label;
  for (std::int32_t h = 0; h < kHemispheres; ++h) {
    if (reaches(output, h)) {
      bins_[at(bin_of(best, h))].labels |= std::uint64_t{1} << label;
    }
  }
  for (const SynapseCell& cell : cells) {
    place_cell(cell, bin_of(best, target(cell).hemisphere()), label);
  }
  return Outcome::kDone;
}

void Router::place_cell(const SynapseCell& cell, std::int32_t bin, std::int32_t label) {
  for (std::int64_t k = 0; k < cell.excitatory + cell.inhibitory; ++k) {
    place_request(cell.first + k, bin, label);
  }
}

void Router::place_request(std::int64_t request, std::int32_t bin, std::int32_t label) {
  const SynapseRequest& synapse = problem_.requests[at(request)];
  Bin& into = bins_[at(bin)];
  auto& loads = synapse.inhibitory ? into.inhibitory : into.excitatory;
  std::uint16_t& load = loads[at(target(request).column())];
  slots_[at(request)] = {bin, load, label};
  ++load;
}

// ---- rows ----------------------------------------------------------------------------------------------------------

/// Divides the rows of each bin into excitatory and inhibitory ones such that every column finds room for its inputs
/// from outside, which may come over any bin with a label left. Possible iff the sums below hold.
Router::Outcome Router::plan_rows(std::int32_t hemisphere) {
  RowNeed need;
  for (std::size_t r = 0; r < problem_.requests.size(); ++r) {
    const AtomicNeuronOnDLS circuit = target(static_cast<std::int64_t>(r));
    if (circuit.hemisphere() == hemisphere && slots_[r].bin < 0) {
      ++(problem_.requests[r].inhibitory ? need.inhibitory : need.excitatory)[at(circuit.column())];
    }
  }
  std::int32_t rows = 0;
  for (const std::int32_t b : bins_of_[at(hemisphere)]) {
    Bin& bin = bins_[at(b)];
    bin.excitatory_limit = largest(bin.excitatory);
    bin.inhibitory_limit = largest(bin.inhibitory);
    if (bin.excitatory_limit + bin.inhibitory_limit > bin.rows) {
      const auto column = std::max_element(bin.excitatory.begin(), bin.excitatory.end()) - bin.excitatory.begin();
      return fail_rows(hemisphere, bin.bus, bin.excitatory_limit + bin.inhibitory_limit, bin.rows,
                       static_cast<std::int32_t>(column));
    }
    rows += has_label(bin) ? bin.excitatory_limit + bin.inhibitory_limit : bin.rows;
    for (std::size_t c = 0; has_label(bin) && c < kColumns; ++c) {
      need.excitatory[c] -= bin.excitatory_limit - bin.excitatory[c];
      need.inhibitory[c] -= bin.inhibitory_limit - bin.inhibitory[c];
    }
  }
  const auto fullest = std::max_element(need.excitatory.begin(), need.excitatory.end());
  const std::int32_t excitatory = std::max(0, *fullest);
  const std::int32_t inhibitory = std::max(0, *std::max_element(need.inhibitory.begin(), need.inhibitory.end()));
  if (rows + excitatory + inhibitory > kSynapseRows) {
    return fail_rows(hemisphere, -1, rows + excitatory + inhibitory, kSynapseRows,
                     static_cast<std::int32_t>(fullest - need.excitatory.begin()));
  }
  share_rows(hemisphere, excitatory, inhibitory);
  return Outcome::kDone;
}

/// Hands out the missing rows to the bins with the most room, and the rest in the proportion of both needs, so that
/// most sources fit one bin whole.
void Router::share_rows(std::int32_t hemisphere, std::int32_t excitatory, std::int32_t inhibitory) {
  const auto room = [](const Bin& bin) {
    return has_label(bin) ? bin.rows - bin.excitatory_limit - bin.inhibitory_limit : 0;
  };
  const auto roomiest = [&]() -> Bin& {
    std::int32_t best = bins_of_[at(hemisphere)].front();
    for (const std::int32_t b : bins_of_[at(hemisphere)]) {
      best = room(bins_[at(b)]) > room(bins_[at(best)]) ? b : best;
    }
    return bins_[at(best)];
  };
  for (std::int32_t r = 0; r < excitatory; ++r) {
    ++roomiest().excitatory_limit;
  }
  for (std::int32_t r = 0; r < inhibitory; ++r) {
    ++roomiest().inhibitory_limit;
  }
  for (const std::int32_t b : bins_of_[at(hemisphere)]) {
    Bin& bin = bins_[at(b)];
    while (room(bin) > 0) {
      const bool to_excitatory =
          inhibitory == 0 || (excitatory > 0 && std::int64_t{bin.excitatory_limit} * inhibitory <=
                                                    std::int64_t{bin.inhibitory_limit} * excitatory);
      ++(to_excitatory ? bin.excitatory_limit : bin.inhibitory_limit);
    }
  }
}

// ---- sources outside -----------------------------------------------------------------------------------------------

/// Sources with the most synapses in a column first: they are the hardest to place whole.
Router::Outcome Router::route_inputs(std::int32_t hemisphere) {
  std::vector<std::pair<std::int32_t, std::int64_t>> order;
  for (std::int64_t source = 0; source < problem_.index.num_inputs(); ++source) {
    std::int32_t rows = 0;
    for (const SynapseCell& cell : problem_.cells[at(source)]) {
      const bool here = target(cell).hemisphere() == hemisphere;
      rows = std::max(rows, here ? cell.excitatory + cell.inhibitory : 0);
    }
    if (rows > 0 && problem_.slice_of[at(source)] < 0) {
      order.emplace_back(-rows, source);
    }
  }
  std::sort(order.begin(), order.end());
  for (const auto& [rows, source] : order) {
    if (!place_whole(source, hemisphere)) {
      const Outcome outcome = place_split(source, hemisphere);
      if (outcome != Outcome::kDone) {
        return outcome;
      }
    }
  }
  return Outcome::kDone;
}

/// Label of an input neuron in a bin, a new one where it has none; -1 where all are in use.
std::int32_t Router::input_label(std::int64_t source, std::int32_t bin) {
  for (const auto& [known_bin, label] : input_labels_[at(source)]) {
    if (known_bin == bin) {
      return label;
    }
  }
  std::uint64_t& labels = bins_[at(bin)].labels;
  if (~labels == 0) {
    return -1;
  }
  const std::int32_t label = lowest_bit(~labels);
  labels |= std::uint64_t{1} << label;
  input_labels_[at(source)].emplace_back(bin, label);
  return label;
}

/// Puts all synapses of the source in this hemisphere into the bin in which their fullest column stays lowest.
bool Router::place_whole(std::int64_t source, std::int32_t hemisphere) {
  std::int32_t best = -1;
  std::pair<std::int32_t, std::int32_t> best_cost;
  for (const std::int32_t b : bins_of_[at(hemisphere)]) {
    const Bin& bin = bins_[at(b)];
    bool fits = ~bin.labels != 0;
    std::pair<std::int32_t, std::int32_t> cost{0, count_bits(bin.labels)};
    for (const SynapseCell& cell : problem_.cells[at(source)]) {
      const AtomicNeuronOnDLS circuit = target(cell);
      if (circuit.hemisphere() == hemisphere) {
        const std::int32_t excitatory = bin.excitatory[at(circuit.column())] + cell.excitatory;
        const std::int32_t inhibitory = bin.inhibitory[at(circuit.column())] + cell.inhibitory;
        fits = fits && excitatory <= bin.excitatory_limit && inhibitory <= bin.inhibitory_limit;
        cost.first = std::max(cost.first, excitatory + inhibitory);
      }
    }
    if (fits && (best < 0 || cost < best_cost)) {
      best = b;
      best_cost = cost;
    }
  }
  if (best < 0) {
    return false;
  }
  const std::int32_t label = input_label(source, best);
  for (const SynapseCell& cell : problem_.cells[at(source)]) {
    if (target(cell).hemisphere() == hemisphere) {
      place_cell(cell, best, label);
    }
  }
  return true;
}

Router::Outcome Router::place_split(std::int64_t source, std::int32_t hemisphere) {
  for (const SynapseCell& cell : problem_.cells[at(source)]) {
    if (target(cell).hemisphere() != hemisphere) {
      continue;
    }
    for (std::int64_t k = 0; k < cell.excitatory + cell.inhibitory; ++k) {
      if (!place_one(source, hemisphere, cell.first + k)) {
        return fail_labels(hemisphere, short_bus_, kSynapseLabels + 1);
      }
    }
  }
  return Outcome::kDone;
}

/// One synapse: into a bin that already has a label for the source if possible, then into the one with the most room.
bool Router::place_one(std::int64_t source, std::int32_t hemisphere, std::int64_t request) {
  const SynapseRequest& synapse = problem_.requests[at(request)];
  const auto column = at(target(request).column());
  const auto& known = input_labels_[at(source)];
  std::int32_t best = -1;
  std::pair<bool, std::int32_t> best_cost;
  for (const std::int32_t b : bins_of_[at(hemisphere)]) {
    const Bin& bin = bins_[at(b)];
    const std::int32_t room = synapse.inhibitory ? bin.inhibitory_limit - bin.inhibitory[column]
                                                 : bin.excitatory_limit - bin.excitatory[column];
    if (room <= 0) {
      continue;
    }
    const bool has_label = std::any_of(known.begin(), known.end(), [b](const auto& entry) { return entry.first == b; });
    if (!has_label && ~bin.labels == 0) {
      short_bus_ = bin.bus;
      continue;
    }
    const std::pair<bool, std::int32_t> cost{!has_label, -room};
    if (best < 0 || cost < best_cost) {
      best = b;
      best_cost = cost;
    }
  }
  if (best >= 0) {
    place_request(request, best, input_label(source, best));
  }
  return best >= 0;
}

// ---- failures ------------------------------------------------------------------------------------------------------

std::string Router::layer_at(std::int32_t hemisphere, std::int32_t column) const {
  for (std::size_t n = 0; n < placement_.size(); ++n) {
    if (std::count(placement_[n].begin(), placement_[n].end(), hemisphere * kColumns + column) > 0) {
      return problem_.network.populations[at(problem_.population_of[n])].name;
    }
  }
  return "";
}

Router::Outcome Router::fail_rows(std::int32_t hemisphere, std::int32_t bus, std::int64_t need, std::int64_t limit,
                                  std::int32_t column) {
  short_hemisphere_ = hemisphere;
  const std::string where = bus < 0 ? hemisphere_str(hemisphere) : padi_bus_str(hemisphere, bus);
  failure_ = {layer_at(hemisphere, column), "synapse rows of " + where, need, limit,
              detail::concatenate("in the best placement found; the rows of one sign that the fullest neurons need add "
                                  "up, so remove inputs of the layer, or make its signs more alike, to save ",
                                  need - limit, " rows")};
  return Outcome::kRows;
}

/// The input is named where each slice has one generator, else the layer whose rows took several.
Router::Outcome Router::fail_generators(const BackgroundSlice& slice, std::int32_t hemisphere, std::int64_t source) {
  short_hemisphere_ = hemisphere;
  std::set<std::pair<std::int32_t, std::int64_t>> slices;
  for (const BackgroundGenerator& g : generators_) {
    if (g.bus / kBusesPerHemisphere == hemisphere) {
      slices.emplace(g.input, g.first);
    }
  }
  const std::string& input = problem_.network.inputs[at(slice.input)].name;
  const auto& cells = problem_.cells[at(source)];
  const auto here = std::find_if(cells.begin(), cells.end(),
                                 [&](const SynapseCell& cell) { return target(cell).hemisphere() == hemisphere; });
  const auto population = at(problem_.population_of[at(here->target)]);
  failure_ = {slices.size() == kBusesPerHemisphere ? input : problem_.network.populations[population].name,
              "background generators of " + hemisphere_str(hemisphere), kBusesPerHemisphere + 1, kBusesPerHemisphere,
              "in the best placement found, for the sources of input \"" + input +
                  "\"; a generator reaches the 64 rows of its own bus, and those of several inputs each take one: "
                  "reduce the connections of background inputs or their number"};
  return Outcome::kRows;
}

Router::Outcome Router::fail_labels(std::int32_t hemisphere, std::int32_t bus, std::int64_t need) {
  short_hemisphere_ = hemisphere;
  failure_ = {
      "", "labels of " + padi_bus_str(hemisphere, bus), need, kSynapseLabels,
      "in the best placement found; the sources that reach this bus exceed its labels, and dividing its drivers "
      "into groups leaves too few rows: reduce the number of sources"};
  return Outcome::kLabels;
}

}  // namespace gradspike::chip
