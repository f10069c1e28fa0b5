// The arithmetic of a network without a mapping: matrix products in int64 and the neuron equations written out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "csrc/chip/backend.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip::test {

struct Recording {
  std::vector<std::vector<float>> spikes;  // by population, [time, batch, neuron]
  std::vector<std::vector<float>> membrane;
  std::vector<std::vector<float>> current;
};

/// Counts [time, batch, neuron] per input.
using Inputs = std::vector<std::vector<std::uint8_t>>;

inline Inputs random_inputs(const Network& network, std::int64_t steps, std::int64_t batch, Random& random, double rate,
                            std::int64_t most = 1) {
  Inputs inputs;
  for (const Input& input : network.inputs) {
    std::vector<std::uint8_t> counts;
    for (std::int64_t k = 0; k < steps * batch * input.size; ++k) {
      counts.push_back(static_cast<std::uint8_t>(chance(random, rate) ? pick(random, 1, most) : 0));
    }
    inputs.push_back(std::move(counts));
  }
  return inputs;
}

/// For one batch entry, in the order of the equations; compiled without contraction of products and sums.
class PlainLoop {
 public:
  PlainLoop(const Network& network, const Weights& weights, const Inputs& inputs, std::int64_t steps,
            std::int64_t batch)
      : network_(network), inputs_(inputs), batch_(batch), connections_(plain_connections(network)) {
    for (const PlainConnection& c : connections_) {
      const Projection& p = network.projections[c.projection];
      weight_.push_back(weights.at(p.name).values[static_cast<std::size_t>(c.row * p.in_features + c.pre)]);
    }
    for (const Population& p : network.populations) {
      const auto elements = static_cast<std::size_t>(steps * batch * p.size);
      result.spikes.emplace_back(elements, 0.0F);
      result.membrane.emplace_back(elements, 0.0F);
      result.current.emplace_back(elements, 0.0F);
    }
    for (std::int64_t b = 0; b < batch; ++b) {
      run(b, steps);
    }
  }

  Recording result;

 private:
  void run(std::int64_t b, std::int64_t steps) {
    std::vector<std::vector<float>> i, v, r;
    for (const Population& p : network_.populations) {
      i.emplace_back(p.size, 0.0F);
      r.emplace_back(p.size, 0.0F);
      v.emplace_back();
      for (std::int64_t n = 0; n < p.size; ++n) {
        v.back().push_back(value(p, 3, n));
      }
    }
    for (std::int64_t t = 0; t < steps; ++t) {
      for (std::size_t p = 0; p < network_.populations.size(); ++p) {
        const std::vector<float> x = input_of(p, t, b);
        for (std::size_t n = 0; n < x.size(); ++n) {
          step(p, n, x[n], i[p][n], v[p][n], r[p][n], t, b);
        }
      }
    }
  }

  static float value(const Population& p, std::int64_t row, std::int64_t n) {
    return p.coefficients[static_cast<std::size_t>(row * p.columns + (p.columns == 1 ? 0 : n))];
  }

  std::int64_t count_of(const NodeRef& node, std::int64_t neuron, std::int64_t t, std::int64_t b) const {
    const std::int64_t size = network_.source_size(node);
    const auto at = static_cast<std::size_t>((t * batch_ + b) * size + neuron);
    const auto index = static_cast<std::size_t>(node.index);
    return node.kind == NodeRef::Kind::kInput ? inputs_[index][at]
                                              : static_cast<std::int64_t>(result.spikes[index][at]);
  }

  std::vector<float> input_of(std::size_t p, std::int64_t t, std::int64_t b) const {
    const auto size = static_cast<std::size_t>(network_.populations[p].size);
    std::vector<std::vector<std::int64_t>> sums(network_.projections.size(), std::vector<std::int64_t>(size, 0));
    for (std::size_t k = 0; k < connections_.size(); ++k) {
      const PlainConnection& c = connections_[k];
      if (static_cast<std::size_t>(network_.projections[c.projection].target) == p) {
        const std::int64_t then = t - network_.projections[c.projection].delay_steps;
        sums[c.projection][static_cast<std::size_t>(c.post)] +=
            then < 0 ? 0 : weight_[k] * count_of(c.source, c.neuron, then, b);
      }
    }
    std::vector<std::pair<std::int32_t, std::size_t>> order;
    for (std::size_t q = 0; q < network_.projections.size(); ++q) {
      if (static_cast<std::size_t>(network_.projections[q].target) == p) {
        order.emplace_back(network_.projections[q].position, q);
      }
    }
    std::sort(order.begin(), order.end());
    std::vector<float> x(size, 0.0F);
    std::vector<bool> started(size, false);
    for (const auto& [position, q] : order) {
      for (const RowRun& run : network_.projections[q].rows) {
        for (std::int64_t k = run.target_first; k < run.target_first + run.count; ++k) {
          const auto n = static_cast<std::size_t>(k);
          const float term = static_cast<float>(sums[q][n]) * network_.projections[q].factor;
          x[n] = started[n] ? x[n] + term : term;
          started[n] = true;
        }
      }
    }
    return x;
  }

  void step(std::size_t p, std::size_t n, float x, float& i, float& v, float& r, std::int64_t t, std::int64_t b) {
    const Population& pop = network_.populations[p];
    const auto c = [&](std::int64_t row) { return value(pop, row, static_cast<std::int64_t>(n)); };
    const float leaking = c(1) * (c(3) - v);
    const float driven = i + leaking;
    const float before = v + c(0) * driven;
    const float kept = i * c(2);
    i = kept + x;
    v = before;
    float z = 0.0F;
    if (pop.kind == NeuronKind::kLif) {
      if (r > 0.0F) {
        v = c(4);
        r = r - 1.0F;
      } else if (before > c(5)) {
        z = 1.0F;
        v = c(4);
        r = c(6);
      }
    }
    const auto at = static_cast<std::size_t>((t * batch_ + b) * pop.size) + n;
    result.spikes[p][at] = z;
    result.membrane[p][at] = v;
    result.current[p][at] = i;
  }

  const Network& network_;
  const Inputs& inputs_;
  std::int64_t batch_;
  std::vector<PlainConnection> connections_;
  std::vector<std::int64_t> weight_;
};

inline std::vector<SpikeTensor> tensors(const Network& network, const Inputs& inputs, std::int64_t steps,
                                        std::int64_t batch) {
  std::vector<SpikeTensor> result;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    result.push_back({SpikeTensor::Type::kUint8, inputs[k].data(), steps, batch, network.inputs[k].size});
  }
  return result;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace gradspike::chip::test
