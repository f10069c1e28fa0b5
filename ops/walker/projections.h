// Projections of a graph as parts of the network description.
#pragma once

#include "csrc/chip/network.h"
#include "ops/walker/weights.h"

namespace gradspike::ops {

/// Columns of the matrix, or -1 where only the spikes tell: a list of connections says nothing of the last neurons.
std::int64_t expected_in_features(const ModelGraph& graph, const ProjectionWeight& weight);

/// Everything but columns, rows, target and position.
chip::Projection projection_description(const ModelGraph& graph, const ProjectionWeight& weight,
                                        std::int64_t in_features);

/// Whether two descriptions make the same integers and sums of a weight.
bool same_transform(const chip::Projection& a, const chip::Projection& b);

}  // namespace gradspike::ops
