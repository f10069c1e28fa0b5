#include "csrc/chip/partition_parts.h"

#include <algorithm>
#include <map>
#include <set>

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Tarjan, SIAM J. Comput. 1 (1972), with a stack of its own instead of recursion.
class StrongComponents {
 public:
  explicit StrongComponents(const std::vector<std::set<std::int32_t>>& edges)
      : component(edges.size(), -1), edges_(edges), order_(edges.size(), -1), low_(edges.size(), 0) {
    for (std::size_t node = 0; node < edges.size(); ++node) {
      if (order_[node] < 0) {
        visit(static_cast<std::int32_t>(node));
      }
    }
  }

  std::vector<std::int32_t> component;  // by node
  std::int32_t count = 0;

 private:
  struct Frame {
    std::int32_t node;
    std::set<std::int32_t>::const_iterator next;
  };

  void enter(std::int32_t node, std::vector<Frame>& frames) {
    order_[at(node)] = low_[at(node)] = visited_++;
    open_.push_back(node);
    frames.push_back({node, edges_[at(node)].begin()});
  }

  void visit(std::int32_t root) {
    std::vector<Frame> frames;
    enter(root, frames);
    while (!frames.empty()) {
      Frame& frame = frames.back();
      const std::int32_t node = frame.node;
      if (frame.next != edges_[at(node)].end()) {
        const std::int32_t target = *frame.next++;
        if (order_[at(target)] < 0) {
          enter(target, frames);
        } else if (component[at(target)] < 0) {
          low_[at(node)] = std::min(low_[at(node)], order_[at(target)]);
        }
        continue;
      }
      frames.pop_back();
      if (!frames.empty()) {
        low_[at(frames.back().node)] = std::min(low_[at(frames.back().node)], low_[at(node)]);
      }
      if (low_[at(node)] == order_[at(node)]) {
        close(node);
      }
    }
  }

  void close(std::int32_t root) {
    std::int32_t node = -1;
    while (node != root) {
      node = open_.back();
      open_.pop_back();
      component[at(node)] = count;
    }
    ++count;
  }

  const std::vector<std::set<std::int32_t>>& edges_;
  std::vector<std::int32_t> order_;
  std::vector<std::int32_t> low_;
  std::vector<std::int32_t> open_;
  std::int32_t visited_ = 0;
};

std::vector<std::set<std::int32_t>> edges_of(const Network& network, const std::vector<std::string>& wishes) {
  std::vector<std::set<std::int32_t>> edges(network.populations.size());
  for (const Projection& projection : network.projections) {
    for (const ColumnRun& run : projection.columns) {
      if (run.source.kind == NodeRef::Kind::kPopulation) {
        edges[at(run.source.index)].insert(projection.target);
        if (projection.delay_steps > 0) {
          edges[at(projection.target)].insert(run.source.index);
        }
      }
    }
  }
  std::map<std::string, std::int32_t> first;
  for (std::size_t p = 0; p < wishes.size(); ++p) {
    const auto population = static_cast<std::int32_t>(p);
    const auto [known, added] = first.emplace(wishes[p], population);
    if (!wishes[p].empty() && !added) {
      edges[p].insert(known->second);
      edges[at(known->second)].insert(population);
    }
  }
  return edges;
}

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

/// Whether all its sources come before its target, so that nothing but the delay ties them.
bool is_forward(const Projection& projection) {
  return std::all_of(projection.columns.begin(), projection.columns.end(), [&projection](const ColumnRun& run) {
    return run.source.kind == NodeRef::Kind::kInput || run.source.index < projection.target;
  });
}

/// Why the populations of a part cannot be cut.
std::string reason_of(const Network& network, const NetworkPart& part) {
  const auto holds = [&part](std::int32_t population) {
    return std::binary_search(part.populations.begin(), part.populations.end(), population);
  };
  std::string recurrent;
  std::string delayed;
  std::string coordinates;
  for (const Projection& projection : network.projections) {
    if (holds(projection.target) && projection.delay_steps > 0) {
      std::string& names = is_forward(projection) ? delayed : recurrent;
      names += (names.empty() ? "" : ", ") + quoted(projection.name);
    }
    if (holds(projection.target) && !projection.chip_coordinate.empty()) {
      coordinates += (coordinates.empty() ? "" : ", ") + quoted(projection.name);
    }
  }
  std::string reason = recurrent.empty() ? "" : "delayed (recurrent) projection " + recurrent;
  reason += delayed.empty()
                ? ""
                : (reason.empty() ? "" : " and ") +
                      ("delayed projection " + delayed +
                       ", since spikes of another instance are replayed in the step in which they were fired");
  reason += coordinates.empty() ? "" : (reason.empty() ? "" : " and ") + ("chip coordinate of " + coordinates);
  reason += part.wish.empty() ? "" : (reason.empty() ? "" : " and ") + ("execution instance " + quoted(part.wish));
  return reason;
}

/// Wishes of a part: at most one.
void take_wish(const Network& network, const std::vector<std::string>& wishes, NetworkPart& part,
               std::vector<Misfit>& misfits) {
  for (const std::int32_t p : part.populations) {
    const std::string& wish = wishes[at(p)];
    if (wish.empty() || wish == part.wish) {
      continue;
    }
    if (part.wish.empty()) {
      part.wish = wish;
      continue;
    }
    misfits.push_back({network.populations[at(p)].name, "execution instances of one part", 2, 1,
                       "it wishes " + quoted(wish) + ", and what must run in the same instance wishes " +
                           quoted(part.wish) +
                           ": recurrent parts stay together, and each instance runs once, after all that it depends "
                           "on; give them the same execution_instance or none"});
  }
}

}  // namespace

std::vector<std::string> instance_wishes(const Network& network, std::vector<Misfit>& misfits) {
  std::vector<std::string> wishes(network.populations.size());
  for (const Projection& projection : network.projections) {
    std::string& wish = wishes[at(projection.target)];
    if (!projection.execution_instance.empty() && !wish.empty() && wish != projection.execution_instance) {
      misfits.push_back({projection.name, "contradicting execution instances", 2, 1,
                         "it wishes " + quoted(projection.execution_instance) +
                             ", another projection into the same population wishes " + quoted(wish)});
    } else if (!projection.execution_instance.empty()) {
      wish = projection.execution_instance;
    }
  }
  return wishes;
}

NetworkParts find_parts(const Network& network) {
  NetworkParts result;
  const std::vector<std::string> wishes = instance_wishes(network, result.misfits);
  const std::vector<std::set<std::int32_t>> edges = edges_of(network, wishes);
  const StrongComponents strong(edges);
  std::vector<NetworkPart> parts(at(strong.count));
  std::vector<std::set<std::int32_t>> targets(at(strong.count));
  std::vector<std::int32_t> sources(at(strong.count), 0);
  for (std::size_t p = 0; p < edges.size(); ++p) {
    const std::int32_t own = strong.component[p];
    parts[at(own)].populations.push_back(static_cast<std::int32_t>(p));
    for (const std::int32_t target : edges[p]) {
      const std::int32_t other = strong.component[at(target)];
      if (other != own && targets[at(own)].insert(other).second) {
        ++sources[at(other)];
      }
    }
  }
  std::set<std::pair<std::int32_t, std::int32_t>> ready;  // (first population, part)
  for (std::int32_t c = 0; c < strong.count; ++c) {
    if (sources[at(c)] == 0) {
      ready.emplace(parts[at(c)].populations.front(), c);
    }
  }
  while (!ready.empty()) {
    const std::int32_t c = ready.begin()->second;
    ready.erase(ready.begin());
    take_wish(network, wishes, parts[at(c)], result.misfits);
    parts[at(c)].together = reason_of(network, parts[at(c)]);
    result.parts.push_back(parts[at(c)]);
    for (const std::int32_t target : targets[at(c)]) {
      if (--sources[at(target)] == 0) {
        ready.emplace(parts[at(target)].populations.front(), target);
      }
    }
  }
  return result;
}

}  // namespace gradspike::chip
