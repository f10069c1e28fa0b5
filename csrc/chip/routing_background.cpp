// Which background generators make the spikes of an input, and which labels and rows they take.
#include <algorithm>
#include <utility>

#include "csrc/chip/routing.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int32_t rows_in_use(const Bin& bin) {
  return *std::max_element(bin.excitatory.begin(), bin.excitatory.end()) +
         *std::max_element(bin.inhibitory.begin(), bin.inhibitory.end());
}

}  // namespace

/// What a generator on one bus would take of a slice.
struct Router::GeneratorPlan {
  std::int32_t bus = -1;                                      // -1: it has no labels left
  std::vector<std::int32_t> bins;                             // 64 sources each
  std::int32_t label = 0;                                     // of the first source in the first bin
  std::vector<std::pair<std::int64_t, std::int32_t>> placed;  // source, place in `bins`
  std::vector<std::int64_t> left;                             // sources whose rows another bus must hold
  std::int32_t rows = 0;                                      // in use afterwards, in the fullest bin
  std::int32_t missing_rows = 0;                              // that the first source that is left would need
};

/// The slices with the most rows first: they are the hardest to place.
Router::Outcome Router::route_slices(std::int32_t hemisphere) {
  std::vector<std::pair<std::int64_t, std::size_t>> order;
  for (std::size_t s = 0; s < problem_.slices.size(); ++s) {
    const std::int64_t first = problem_.first_source(problem_.slices[s]);
    std::int64_t synapses = 0;
    for (std::int64_t source = first; source < first + problem_.slices[s].size; ++source) {
      for (const SynapseCell& cell : problem_.cells[at(source)]) {
        synapses += target(cell).hemisphere() == hemisphere ? cell.excitatory + cell.inhibitory : 0;
      }
    }
    if (synapses > 0) {
      order.emplace_back(-synapses, s);
    }
  }
  std::sort(order.begin(), order.end());
  for (const auto& [synapses, s] : order) {
    const Outcome outcome = route_slice(problem_.slices[s], hemisphere);
    if (outcome != Outcome::kDone) {
      return outcome;
    }
  }
  return Outcome::kDone;
}

/// Generators of equal seed, one after the other on the bus that holds the most of what is left, until all is placed.
Router::Outcome Router::route_slice(const BackgroundSlice& slice, std::int32_t hemisphere) {
  std::vector<std::int64_t> left;
  const std::int64_t first = problem_.first_source(slice);
  for (std::int64_t source = first; source < first + slice.size; ++source) {
    const auto& cells = problem_.cells[at(source)];
    if (std::any_of(cells.begin(), cells.end(),
                    [&](const SynapseCell& cell) { return target(cell).hemisphere() == hemisphere; })) {
      left.push_back(source);
    }
  }
  while (!left.empty()) {
    GeneratorPlan best;
    std::int32_t coarsest = -1;  // bus
    for (std::int32_t bus = 0; bus < kBusesPerHemisphere; ++bus) {
      const std::int32_t number = padi_bus_enum(hemisphere, bus);
      if (std::any_of(generators_.begin(), generators_.end(),
                      [number](const BackgroundGenerator& g) { return g.bus == number; })) {
        continue;
      }
      const auto& masks = masks_[at(hemisphere)];
      coarsest = coarsest < 0 || masks[at(bus)] < masks[at(coarsest)] ? bus : coarsest;
      GeneratorPlan plan = plan_generator(left, slice, hemisphere, bus);
      if (plan.bus >= 0 &&
          (best.bus < 0 || std::make_pair(plan.left.size(), plan.rows) < std::make_pair(best.left.size(), best.rows))) {
        best = std::move(plan);
      }
    }
    if (coarsest < 0) {
      return fail_generators(slice, hemisphere, left.front());
    }
    if (best.bus < 0) {
      short_of_groups_ = std::max(1, static_cast<std::int32_t>(slice.size / kSynapseLabels));
      short_bus_ = coarsest;
      return fail_labels(hemisphere, coarsest, kSynapseLabels + 1);
    }
    if (best.placed.empty()) {
      const auto& cells = problem_.cells[at(left.front())];
      const auto here = std::find_if(cells.begin(), cells.end(),
                                     [&](const SynapseCell& cell) { return target(cell).hemisphere() == hemisphere; });
      return fail_rows(hemisphere, best.bus, best.missing_rows, bins_[at(best.bins.front())].rows,
                       target(*here).column());
    }
    add_generator(best, slice, hemisphere);
    left = best.left;
  }
  return Outcome::kDone;
}

/// The first label of `size` free ones, a multiple of it, in all of these bins; -1 where there is none.
std::int32_t Router::free_block(const std::vector<std::int32_t>& bins, std::int64_t size) const {
  std::uint64_t taken = 0;
  for (const std::int32_t b : bins) {
    taken |= bins_[at(b)].labels;
  }
  const std::uint64_t block = size >= kSynapseLabels ? ~std::uint64_t{0} : (std::uint64_t{1} << size) - 1;
  for (std::int32_t label = 0; label < kSynapseLabels; label += static_cast<std::int32_t>(size)) {
    if ((taken & (block << label)) == 0) {
      return label;
    }
  }
  return -1;
}

/// Adds the synapses of a source in this hemisphere to the columns of a bin, or leaves it as it is where its rows are
/// too few. Returns the rows that this takes.
std::int32_t Router::place_source(std::int64_t source, std::int32_t hemisphere, Bin& bin) const {
  const Bin before = bin;
  for (const SynapseCell& cell : problem_.cells[at(source)]) {
    if (target(cell).hemisphere() == hemisphere) {
      const auto column = at(target(cell).column());
      bin.excitatory[column] = static_cast<std::uint16_t>(bin.excitatory[column] + cell.excitatory);
      bin.inhibitory[column] = static_cast<std::uint16_t>(bin.inhibitory[column] + cell.inhibitory);
    }
  }
  const std::int32_t rows = rows_in_use(bin);
  if (rows > bin.rows) {
    bin = before;
  }
  return rows;
}

/// Up to 64 sources share a row select, 128 and 256 take 2 and 4 that follow each other: each of them a bin.
Router::GeneratorPlan Router::plan_generator(const std::vector<std::int64_t>& sources, const BackgroundSlice& slice,
                                             std::int32_t hemisphere, std::int32_t bus) const {
  const std::int32_t groups = masks_[at(hemisphere)][at(bus)] + 1;
  const auto selects = static_cast<std::int32_t>(std::max<std::int64_t>(slice.size / kSynapseLabels, 1));
  GeneratorPlan best;
  for (std::int32_t group = 0; group + selects <= groups; group += selects) {
    GeneratorPlan plan;
    std::vector<Bin> trial;
    for (std::int32_t k = 0; k < selects; ++k) {
      plan.bins.push_back(bin_index(hemisphere, bus, group + k));
      trial.push_back(bins_[at(plan.bins.back())]);
    }
    plan.label = free_block(plan.bins, std::min<std::int64_t>(slice.size, kSynapseLabels));
    if (plan.label < 0) {
      continue;
    }
    plan.bus = bus;
    for (const std::int64_t source : sources) {
      const auto k = static_cast<std::int32_t>((source - problem_.first_source(slice)) / kSynapseLabels);
      const std::int32_t rows = place_source(source, hemisphere, trial[at(k)]);
      if (rows <= trial[at(k)].rows) {
        plan.placed.emplace_back(source, k);
      } else {
        plan.missing_rows = plan.left.empty() ? rows : plan.missing_rows;
        plan.left.push_back(source);
      }
    }
    for (const Bin& bin : trial) {
      plan.rows = std::max(plan.rows, rows_in_use(bin));
    }
    if (best.bus < 0 || std::make_pair(plan.left.size(), plan.rows) < std::make_pair(best.left.size(), best.rows)) {
      best = std::move(plan);
    }
  }
  return best;
}

void Router::add_generator(const GeneratorPlan& plan, const BackgroundSlice& slice, std::int32_t hemisphere) {
  const Input& input = problem_.network.inputs[at(slice.input)];
  const math::BackgroundTiming timing = background_timing(*input.background, input.size);
  BackgroundGenerator generator;
  generator.bus = padi_bus_enum(hemisphere, plan.bus);
  generator.input = slice.input;
  generator.first = slice.first;
  generator.random = input.background->random;
  generator.period = timing.period;
  generator.rate = timing.rate;
  generator.seed = background_seed(*input.background, slice.first);
  generator.label = bins_[at(plan.bins.front())].group * kSynapseLabels + plan.label;
  generator.mask = static_cast<std::int32_t>(slice.size - 1);
  const auto labels = std::min<std::int64_t>(slice.size, kSynapseLabels);
  for (const std::int32_t b : plan.bins) {
    bins_[at(b)].labels |=
        labels == kSynapseLabels ? ~std::uint64_t{0} : ((std::uint64_t{1} << labels) - 1) << plan.label;
  }
  for (const auto& [source, k] : plan.placed) {
    const auto label = static_cast<std::int32_t>(plan.label + (source - problem_.first_source(slice)) % kSynapseLabels);
    for (const SynapseCell& cell : problem_.cells[at(source)]) {
      if (target(cell).hemisphere() == hemisphere) {
        place_cell(cell, plan.bins[at(k)], label);
      }
    }
  }
  generators_.push_back(generator);
}

}  // namespace gradspike::chip
