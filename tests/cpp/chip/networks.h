// Networks for the tests of the chip layer, and expansions of theirs that share no code with the library.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "csrc/chip/network.h"

namespace gradspike::chip::test {

using Random = std::mt19937_64;

inline std::int64_t pick(Random& random, std::int64_t lowest, std::int64_t highest) {
  return lowest + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(highest - lowest + 1));
}

inline bool chance(Random& random, double probability) {
  return static_cast<double>(random() % 1000000) < probability * 1e6;
}

/// Coefficients of tau = 10 steps, leak 0, reset 0, threshold 1, refractory as given.
inline Population population(const std::string& name, NeuronKind kind, std::int64_t size, float refractory = 0.0F) {
  Population p;
  p.name = name;
  p.kind = kind;
  p.size = size;
  p.columns = 1;
  p.coefficients = {0.1F, 1.0F, 0.9F, 0.0F};
  if (kind == NeuronKind::kLif) {
    p.coefficients.insert(p.coefficients.end(), {0.0F, 1.0F, refractory});
  }
  return p;
}

inline Projection dense(const std::string& name, NodeRef source, std::int64_t in, std::int32_t target, std::int64_t out,
                        Receptor receptor = Receptor::kSigned, std::int32_t position = 0) {
  Projection p;
  p.name = name;
  p.in_features = in;
  p.out_features = out;
  p.columns = {{source, 0, 1, in}};
  p.target = target;
  p.rows = {{0, 0, 1, out}};
  p.position = position;
  p.receptor = receptor;
  p.min_weight = receptor == Receptor::kExcitatory ? 0 : -63;
  p.max_weight = receptor == Receptor::kInhibitory ? 0 : 63;
  p.scale = 32.0F;
  p.factor = 1.0F / 32.0F;
  return p;
}

inline NodeRef input_node(std::int32_t index) { return {NodeRef::Kind::kInput, index}; }
inline NodeRef population_node(std::int32_t index) { return {NodeRef::Kind::kPopulation, index}; }

/// Dense layers; the last one is a leaky integrator.
inline Network layered(const std::vector<std::int64_t>& sizes, Receptor receptor = Receptor::kSigned) {
  Network network;
  network.name = "layered";
  network.inputs = {{"input0", sizes[0]}};
  for (std::size_t l = 1; l < sizes.size(); ++l) {
    const bool last = l + 1 == sizes.size();
    const auto target = static_cast<std::int32_t>(l - 1);
    network.populations.push_back(
        population("layer" + std::to_string(l), last ? NeuronKind::kLi : NeuronKind::kLif, sizes[l]));
    network.projections.push_back(dense("to" + std::to_string(l), l == 1 ? input_node(0) : population_node(target - 1),
                                        sizes[l - 1], target, sizes[l], receptor));
  }
  return network;
}

/// 5 inputs, repeated `repeat` times on the neuron axis, 120 hidden, 3 outputs.
inline Network yin_yang(std::int64_t repeat = 1) {
  Network network = layered({5, 120, 3});
  network.name = "yinyang";
  Projection& hidden = network.projections[0];
  hidden.in_features = 5 * repeat;
  hidden.columns.assign(static_cast<std::size_t>(repeat), {input_node(0), 0, 1, 5});
  return network;
}

/// A connection as a test sees it: projection, pre, post, row of the matrix, source node and neuron.
struct PlainConnection {
  std::size_t projection;
  std::int64_t pre;
  std::int64_t post;
  std::int64_t row;
  NodeRef source;
  std::int64_t neuron;
};

inline std::vector<PlainConnection> plain_connections(const Network& network) {
  std::vector<PlainConnection> result;
  for (std::size_t q = 0; q < network.projections.size(); ++q) {
    const Projection& p = network.projections[q];
    for (const RowRun& rows : p.rows) {
      for (std::int64_t k = 0; k < rows.count; ++k) {
        std::int64_t pre = 0;
        for (const ColumnRun& columns : p.columns) {
          for (std::int64_t c = 0; c < columns.count; ++c, ++pre) {
            const std::int64_t row = rows.row_first + k * rows.row_step;
            if (p.mask.empty() || p.mask[static_cast<std::size_t>(row * p.in_features + pre)]) {
              result.push_back({q, pre, rows.target_first + k, row, columns.source, columns.first + c * columns.step});
            }
          }
        }
      }
    }
  }
  return result;
}

inline std::int64_t plain_parts(const Projection& p, bool inhibitory) {
  if (p.receptor == (inhibitory ? Receptor::kExcitatory : Receptor::kInhibitory)) {
    return 0;
  }
  const std::int64_t bound = inhibitory ? -p.min_weight : p.max_weight;
  return bound <= 63 ? 1 : (bound % 63 == 0 ? bound / 63 : bound / 63 + 1);
}

inline Weights random_weights(const Network& network, Random& random, double zero_probability = 0.2) {
  Weights weights;
  for (const Projection& p : network.projections) {
    IntegerMatrix m;
    m.out_features = p.out_features;
    m.in_features = p.in_features;
    for (std::int64_t i = 0; i < p.out_features * p.in_features; ++i) {
      const bool zero = chance(random, zero_probability) || (!p.mask.empty() && !p.mask[static_cast<std::size_t>(i)]);
      m.values.push_back(static_cast<std::int16_t>(zero ? 0 : pick(random, p.min_weight, p.max_weight)));
    }
    m.hash = content_hash(p, m.values);
    weights[p.name] = std::move(m);
  }
  return weights;
}

/// How large the random networks get.
struct Shape {
  std::int64_t max_populations = 4;
  std::int64_t max_size = 60;
  std::int64_t max_fan_in = 60;
  bool several_scales = true;
  bool recurrent = false;
  bool background = false;  // some inputs are the chip's own
};

inline void randomise_coefficients(Population& p, Random& random) {
  const bool lif = p.kind == NeuronKind::kLif;
  p.columns = chance(random, 0.5) ? p.size : 1;
  const std::int64_t rows = lif ? 7 : 4;
  p.coefficients.assign(static_cast<std::size_t>(rows * p.columns), 0.0F);
  for (std::int64_t n = 0; n < p.columns; ++n) {
    const auto uniform = [&random] { return static_cast<float>(random() % 10000) / 10000.0F; };
    const float values[] = {0.1F + 0.3F * uniform(),
                            0.5F + uniform(),
                            0.7F + 0.25F * uniform(),
                            0.2F * uniform() - 0.1F,
                            0.2F * uniform() - 0.1F,
                            0.3F + uniform(),
                            std::vector<float>{0.0F, 1.0F, 3.0F}[random() % 3]};
    for (std::int64_t r = 0; r < rows; ++r) {
      p.coefficients[static_cast<std::size_t>(r * p.columns + n)] = values[r];
    }
  }
}

/// Column runs of about `budget` columns: slices, repeats, reversals and strides of inputs and earlier populations.
inline std::vector<ColumnRun> random_columns(const Network& network, std::int32_t target, std::int64_t budget,
                                             Random& random) {
  std::vector<ColumnRun> runs;
  while (budget > 0 && (runs.empty() || chance(random, 0.5))) {
    std::vector<NodeRef> nodes;
    for (std::size_t i = 0; i < network.inputs.size(); ++i) {
      nodes.push_back(input_node(static_cast<std::int32_t>(i)));
    }
    for (std::int32_t p = 0; p < target; ++p) {
      if (network.populations[static_cast<std::size_t>(p)].kind == NeuronKind::kLif) {
        nodes.push_back(population_node(p));
      }
    }
    ColumnRun run;
    run.source = nodes[random() % nodes.size()];
    const std::int64_t size = network.source_size(run.source);
    run.step = std::vector<std::int64_t>{1, 1, 1, 1, -1, 2, 0}[random() % 7];
    run.count = pick(random, 1, std::min(budget, run.step == 2 ? (size + 1) / 2 : (run.step == 0 ? 3 : size)));
    const std::int64_t span = (run.count - 1) * run.step;
    run.first = span >= 0 ? pick(random, 0, size - 1 - span) : pick(random, -span, size - 1);
    budget -= run.count;
    runs.push_back(run);
  }
  return runs;
}

inline Projection random_projection(const Network& network, std::int32_t target, std::int64_t budget,
                                    std::int32_t position, const Shape& shape, Random& random) {
  Projection p;
  p.target = target;
  p.position = position;
  p.columns = random_columns(network, target, budget, random);
  for (const ColumnRun& run : p.columns) {
    p.in_features += run.count;
  }
  const std::int64_t size = network.populations[static_cast<std::size_t>(target)].size;
  p.out_features = size + pick(random, 0, 2);
  if (chance(random, 0.3) && size > 2) {
    const std::int64_t half = pick(random, 1, size - 1);
    p.rows = {{size - half, 0, 1, half}};  // the rest of the population gets nothing
    if (chance(random, 0.5)) {
      p.rows.push_back({0, p.out_features - 1, -1, size - half});
    }
  } else {
    p.rows = {{0, p.out_features - size, 1, size}};
  }
  const std::int64_t kind = pick(random, 0, 3);
  p.receptor = kind == 2 ? Receptor::kExcitatory : (kind == 3 ? Receptor::kInhibitory : Receptor::kSigned);
  const std::int32_t bound = std::vector<std::int32_t>{63, 63, 63, 31, 100, 126, 127, 189}[random() % 8];
  p.min_weight = p.receptor == Receptor::kExcitatory ? 0 : -bound;
  p.max_weight = p.receptor == Receptor::kInhibitory ? 0 : bound;
  p.units = chance(random, 0.3) ? Units::kLsb : Units::kModel;
  p.scale = shape.several_scales ? 20.0F + static_cast<float>(random() % 1000) / 7.0F : 55.0F;
  if (!shape.several_scales) {
    p.units = Units::kModel;
  }
  p.factor = p.units == Units::kModel ? 1.0F / p.scale : 1.0F;
  if (chance(random, 0.3)) {
    const double density = static_cast<double>(pick(random, 1, 9)) / 10.0;
    for (std::int64_t i = 0; i < p.in_features * p.out_features; ++i) {
      p.mask.push_back(chance(random, density));
    }
  }
  return p;
}

inline Input random_background(const std::string& name, Random& random) {
  Background background;
  background.random = chance(random, 0.8);
  background.rate = static_cast<double>(pick(random, 5000, 200000));
  background.seed = static_cast<std::uint32_t>(random());
  return {name, background.random ? std::int64_t{1} << pick(random, 0, 8) : 1, background};
}

/// A feed-forward network with branches, skips, several projections per target, masks and stacked synapses.
inline Network random_network(Random& random, const Shape& shape = {}) {
  Network network;
  network.name = "random";
  network.dt = 1e-6 * static_cast<double>(pick(random, 1, 5));
  const std::int64_t inputs = pick(random, 1, shape.background ? 4 : 2);
  for (std::int64_t i = 0; i < inputs; ++i) {
    network.inputs.push_back({"input" + std::to_string(i), pick(random, 1, shape.max_size)});
  }
  for (std::size_t i = 0; shape.background && i < network.inputs.size(); ++i) {
    if (chance(random, 0.7)) {
      network.inputs[i] = random_background(network.inputs[i].name, random);
    }
  }
  const std::int64_t populations = pick(random, 1, shape.max_populations);
  for (std::int64_t p = 0; p < populations; ++p) {
    const bool lif = p + 1 < populations ? !chance(random, 0.1) : chance(random, 0.5);
    network.populations.push_back(population("pop" + std::to_string(p), lif ? NeuronKind::kLif : NeuronKind::kLi,
                                             pick(random, 1, shape.max_size)));
    randomise_coefficients(network.populations.back(), random);
  }
  for (std::int32_t p = 0; p < populations; ++p) {
    const std::int64_t count = chance(random, 0.05) ? 0 : pick(random, 1, 3);
    std::int64_t budget = pick(random, 1, shape.max_fan_in);
    for (std::int32_t k = 0; k < count && budget > 0; ++k) {
      Projection q = random_projection(network, p, budget, static_cast<std::int32_t>((k * 7) % 3), shape, random);
      q.name = "proj" + std::to_string(p) + "_" + std::to_string(k);
      budget -= q.in_features;
      network.projections.push_back(std::move(q));
    }
  }
  for (std::int32_t p = 0; shape.recurrent && p < populations; ++p) {
    const Population& target = network.populations[static_cast<std::size_t>(p)];
    std::vector<std::int32_t> sources;
    for (std::int32_t s = 0; s < populations; ++s) {
      if (network.populations[static_cast<std::size_t>(s)].kind == NeuronKind::kLif) {
        sources.push_back(s);
      }
    }
    if (sources.empty() || chance(random, 0.4)) {
      continue;
    }
    const std::int32_t source = sources[random() % sources.size()];
    Projection q = dense("recurrent" + std::to_string(p), population_node(source),
                         network.populations[static_cast<std::size_t>(source)].size, p, target.size, Receptor::kSigned,
                         static_cast<std::int32_t>(pick(random, 7, 9)));
    q.delay_steps = 1;
    for (std::int64_t i = 0; i < q.in_features * q.out_features; ++i) {
      q.mask.push_back(chance(random, 0.3));
    }
    network.projections.push_back(std::move(q));
  }
  return network;
}

/// One recurrent layer and a readout.
inline Network recurrent(std::int64_t in, std::int64_t hidden, std::int64_t out) {
  Network network = layered({in, hidden, out});
  network.projections.push_back(dense("recurrent", population_node(0), hidden, 0, hidden, Receptor::kSigned, 1));
  network.projections.back().delay_steps = 1;
  return network;
}

}  // namespace gradspike::chip::test
