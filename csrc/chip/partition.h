// A network over several execution instances, for one that is too large for a chip or whose layers wish instances of
// their own. An instance is one configuration of a chip. Those of a network run one after the other on one chip, or
// side by side on several; the recorded spikes of a finished instance are replayed as inputs of later ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "csrc/chip/capacity.h"
#include "csrc/chip/mapping.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// Neurons first, first + 1, ... (`count` of them) of a population of the whole network.
struct PopulationSlice {
  std::int32_t population = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;

  bool operator==(const PopulationSlice& other) const {
    return population == other.population && first == other.first && count == other.count;
  }
  bool operator!=(const PopulationSlice& other) const { return !(*this == other); }
};

/// Rows row_first, row_first + 1, ... of a projection of the whole network; as many as the part in the instance has.
struct ProjectionSlice {
  std::int32_t projection = 0;
  std::int64_t row_first = 0;
};

/// One configuration of a chip: a network of its own and where its parts lie in the whole one. A neuron keeps all its
/// projections, so that its input is the same sum of the same terms.
struct Instance {
  std::string wish;  // Projection::execution_instance of what it holds, or ""
  Network network;
  std::vector<PopulationSlice> populations;  // by population of `network`
  std::vector<ProjectionSlice> projections;  // by projection of `network`
  /// By input of `network`: an input of the whole network, or a population whose spikes are replayed. The size is that
  /// of the whole input or population.
  std::vector<NodeRef> inputs;
  Mapping mapping;
};

struct PartitionedMapping {
  std::string network;
  std::vector<std::string> populations;  // names, in the order of the network
  std::vector<Instance> instances;       // in the order in which they run

  /// What each instance holds: circuits, rows, synapses, inputs and replayed sources.
  std::string text() const;
};

/// What an instance takes of its chip.
struct Holdings {
  std::int64_t circuits = 0;
  std::int64_t rows = 0;
  std::int64_t synapses = 0;
  std::int64_t inputs = 0;    // input neurons that are sent to the chip
  std::int64_t replayed = 0;  // neurons of earlier instances that are
  std::int64_t generators = 0;
};
Holdings holdings_of(const Instance& instance);

struct PartitionOptions {
  std::int64_t max_instances = 0;  // 0: as many as it takes
};

struct PartitionResult {
  std::optional<PartitionedMapping> partition;
  std::vector<Misfit> misfits;  // as in MapResult
};

/// Maps `network` to as few instances as found. One where it fits, with the mapping of try_map. Else populations are
/// cut into ranges of neurons, layer by layer in topological order, each instance filled as far as the mapper routes
/// it; whole layers are preferred where that takes no more instances. Stay together: populations joined by projections
/// with a delay and what lies between them, populations with a wish for circuits, and those that wish the same
/// `execution_instance`; different wishes get different instances. Instances depend on earlier ones only.
/// Deterministic.
PartitionResult try_partition(const Network& network, const PartitionOptions& options = {});

/// The partition, or an Error that lists every misfit.
PartitionedMapping partition_network(const Network& network, const PartitionOptions& options = {});

/// Misfits that stand beside a partition: those that do not block a mapping.
std::vector<Misfit> open_misfits(const Network& network);

/// The only instance of a network that fits one chip.
PartitionedMapping single_instance(const Network& network, Mapping mapping);

/// The instance that holds `slices`, not mapped. Sources that it lacks become inputs. `slices` are ascending and do not
/// overlap. Throws where a projection with a delay would be cut.
Instance make_instance(const Network& network, std::int64_t number, const std::vector<PopulationSlice>& slices);

/// The integers of an instance.
Weights slice_weights(const Network& network, const Instance& instance, const Weights& weights);

/// Throws unless the partition was made for these populations.
void require_populations(const PartitionedMapping& partition, const Network& network);

/// Throws unless the instances hold each neuron once, depend on earlier ones only, and have mappings of their networks.
void validate(const PartitionedMapping& partition, const Network& network);

/// What differs, one sentence each, at most `limit` of them; empty iff equal.
std::vector<std::string> differences(const PartitionedMapping& a, const PartitionedMapping& b, std::size_t limit = 20);

/// Canonical JSON, format "gradspike.partition", version 1: slices and mappings. The networks of the instances follow
/// from the whole one, which the reader takes. Reading validates.
std::string to_json(const PartitionedMapping& partition);
PartitionedMapping partition_from_json(const std::string& text, const Network& network);

/// How a network is placed, as files hold it: to_json of the mapping of one instance, of the partition where it takes
/// several. Reads either.
std::string placement_to_json(const PartitionedMapping& partition);
PartitionedMapping placement_from_json(const std::string& text, const Network& network);

}  // namespace gradspike::chip
