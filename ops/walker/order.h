// The canonical order of a network that was read, so that equal networks have equal descriptions.
#pragma once

#include "ops/walker/reader.h"

namespace gradspike::ops {

/// A projection whose target may not be known yet.
struct OpenProjection {
  chip::Projection description;
  ProjectionWeight weight;
  bool has_target = false;
};

/// Puts the populations of `read` in topological order, ties by name, and adds the projections by target and name.
/// Those without a target are left out with a warning.
void put_in_order(ReadNetwork& read, std::vector<OpenProjection> projections);

}  // namespace gradspike::ops
