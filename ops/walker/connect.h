// Reads what lies between keyed operators: which tensor operations move signals along the neuron axis, and how.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "ops/walker/graph.h"
#include "ops/walker/signal.h"

namespace gradspike::ops {

/// Resolves values to signals. Tensors between keyed operators are [time, batch, neuron]; the neuron axis is the last.
class SignalResolver {
 public:
  /// `source` makes an input of the network of a value that is computed before the first keyed operator and has
  /// `expected` neurons (-1: the reader does not know).
  SignalResolver(const ModelGraph& graph, std::function<Signal(const torch::jit::Value*, std::int64_t)> source)
      : graph_(graph), source_(std::move(source)) {}

  /// The keyed operator whose input is resolved next.
  void read_by(const torch::jit::Node* reader) { reader_ = reader; }
  /// The signal of an output of a keyed operator.
  void define(const torch::jit::Value* value, Signal signal) { known_[value] = std::move(signal); }

  /// Whether a value is computed from an output of a keyed operator.
  bool depends_on_keyed(const torch::jit::Value* value) const;

  /// Throws Error naming operation and source line where `value` is made in a way that the chip has no wiring for.
  /// `expected` is the number of neurons that the reader of the value needs (-1: unknown).
  Signal resolve(const torch::jit::Value* value, std::int64_t expected);

 private:
  bool is_connection(const torch::jit::Node* node) const;
  bool is_host_wiring(const torch::jit::Node* node) const;
  bool is_full_slice(const torch::jit::Node* node) const;
  void require_float32(const torch::jit::Node* node) const;
  void require_unchanged(const torch::jit::Value* value) const;
  Signal apply(const torch::jit::Value* value, std::int64_t expected);
  Signal wire(const torch::jit::Value* value, std::int64_t expected);
  Signal add(const torch::jit::Node* node, std::int64_t expected);
  Signal concatenate(const torch::jit::Node* node);
  Signal element_of_list(const torch::jit::Node* unpack, std::int64_t element);
  Signal slice(const torch::jit::Node* node, std::int64_t expected);
  Signal pick(const torch::jit::Node* node);
  Signal repeat(const torch::jit::Node* node);
  std::vector<std::int64_t> part_sizes(const torch::jit::Node* split, std::int64_t size) const;
  std::int64_t dimension(const torch::jit::Node* node, std::size_t argument) const;
  c10::IValue constant(const torch::jit::Node* node, std::size_t argument) const;

  const ModelGraph& graph_;
  std::function<Signal(const torch::jit::Value*, std::int64_t)> source_;
  std::map<const torch::jit::Value*, Signal> known_;
  const torch::jit::Node* reader_ = nullptr;
};

}  // namespace gradspike::ops
