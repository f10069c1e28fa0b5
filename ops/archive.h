// Archives: TorchScript files that carry the description, the integers and the mapping of their network.
//
//   gradspike/network.json           chip::to_json of the network
//   gradspike/mapping.json           chip::to_json of the mapping; absent where the network fits no chip
//   gradspike/integers/<name>.bin    chip::to_record of each projection
//
// The parameters of the model are the truth: opening reads the graph again, quantises again and compares.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gradspike/deploy.h"
#include "ops/walker/graph_network.h"

namespace gradspike::ops {

struct StoredNetwork {
  std::string network;               // JSON
  std::string mapping;               // JSON, "" where there is none
  std::vector<std::string> records;  // by projection of the network
};

/// Reads the entries above. Throws with one sentence for a damaged or foreign file and for a TorchScript file that was
/// saved without them.
StoredNetwork read_entries(const std::string& path);

/// What reading the graph again needs to know from a stored description: name, wishes, card, sizes of inputs.
ReadOptions options_of(const chip::Network& stored);

/// Compares a network that was read with what its archive says; returns what differs, one sentence each. Throws where
/// the description is of another network.
std::vector<std::string> compare_stored(const StoredNetwork& stored, const GraphNetwork& read);

/// Opens an archive for deploy::load.
std::shared_ptr<deploy::Model> open_archive(const std::string& path);

}  // namespace gradspike::ops
