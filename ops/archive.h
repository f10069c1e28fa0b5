// Archives: TorchScript files, and programs of torch.export, that carry the description, the integers and the mapping
// of their network. Programs keep integers as base64, `<name>.bin.base64`.
//
//   gradspike/network.json           chip::to_json of the network
//   gradspike/mapping.json           chip::placement_to_json; absent where the network fits no chip
//   gradspike/integers/<name>.bin    chip::to_record of each projection
//
// The parameters of the model are the truth: opening reads the graph again, quantises again and compares.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gradspike/deploy.h"
#include "ops/walker/graph_network.h"

namespace gradspike::ops {

struct StoredNetwork {
  std::string network;                         // JSON
  std::string mapping;                         // JSON, "" where there is none
  std::map<std::string, std::string> records;  // by projection
};

/// A network with its model, and what was noticed on the way, one sentence each.
struct OpenedNetwork {
  std::unique_ptr<GraphNetwork> graph;
  std::vector<std::string> warnings;
};

/// Reads the entries above. Throws with one sentence for a damaged or foreign file and for a TorchScript file that was
/// saved without them. The check sums of all entries are compared: PyTorch itself does not.
StoredNetwork read_entries(const std::string& path);

/// What reading the graph again needs to know from a stored description: name, wishes, card, sizes of inputs.
ReadOptions options_of(const chip::Network& stored);

/// Reads the graph of a module and compares it with what its archive says. Integers of other weights are a warning;
/// throws, and registers nothing, where the description is of another network, the mapping is wrong or absent, or the
/// integers are damaged.
OpenedNetwork open_stored(const torch::jit::Module& module, const StoredNetwork& stored);

/// The module of an archive, on the CPU: TorchScript as it is, a program as a module that does the same.
torch::jit::Module module_of(const std::string& path);

/// What PyTorch says about a file that it does not read, in one sentence without its own sources and advice.
std::string load_sentence(const std::string& text);

/// Opens an archive for deploy::load.
std::shared_ptr<deploy::Model> open_archive(const std::string& path, const deploy::LoadOptions& options);

}  // namespace gradspike::ops
