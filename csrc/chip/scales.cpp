#include "csrc/chip/scales.h"

#include <algorithm>
#include <cmath>

#include "csrc/chip/emulator.h"
#include "csrc/chip/geometry.h"
#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "csrc/math/lif.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

constexpr std::int64_t kQuietSteps = 10;  // before the spike: the membrane at rest
constexpr std::int64_t kShortestResponse = 40;
constexpr std::int64_t kLongestResponse = 2000;
constexpr std::int64_t kEntries = 16;   // batch entries that are averaged
constexpr double kTimeConstants = 5.0;  // of the slower one that are recorded

/// One projection alone: an input, and as many leaky integrators as a chip has circuits.
struct Probe {
  Network network;
  Weights weights;
  std::int64_t steps = 0;
};

std::int64_t response_steps(const Population& population) {
  double slowest = 1.0;  // decay rate per step
  for (std::int64_t c = 0; c < population.columns; ++c) {
    const auto row = [&](std::int32_t r) {
      return static_cast<double>(population.coefficients[at(r * population.columns + c)]);
    };
    const double membrane = row(math::kInputGain) * row(math::kLeakConductance);
    slowest = std::min({slowest, membrane, 1.0 - row(math::kCurrentDecay)});
  }
  const double steps = slowest > 0.0 ? kTimeConstants / slowest : static_cast<double>(kLongestResponse);
  return std::clamp(static_cast<std::int64_t>(std::ceil(steps)), kShortestResponse, kLongestResponse);
}

Population integrators(const Population& target) {
  Population population;
  population.name = "probe";
  population.kind = NeuronKind::kLi;
  population.size = kNeuronCircuits;
  population.columns = target.columns == 1 ? 1 : kNeuronCircuits;
  for (std::int32_t row = 0; row < math::kNumLiCoefficients; ++row) {
    for (std::int64_t c = 0; c < population.columns; ++c) {
      population.coefficients.push_back(target.coefficients[at(row * target.columns + c % target.columns)]);
    }
  }
  return population;
}

Probe probe_of(const Network& network, const Projection& projection) {
  Probe probe;
  const Population& target = network.populations[at(projection.target)];
  probe.steps = kQuietSteps + response_steps(target);
  probe.network.name = "probe";
  probe.network.dt = network.dt;
  probe.network.inputs = {{"input0", 1}};
  probe.network.populations = {integrators(target)};
  Projection p = projection;
  p.in_features = 1;
  p.out_features = kNeuronCircuits;
  p.columns = {{{NodeRef::Kind::kInput, 0}, 0, 1, 1}};
  p.target = 0;
  p.rows = {{0, 0, 1, kNeuronCircuits}};
  p.position = 0;
  p.delay_steps = 0;
  p.min_weight = std::max(p.min_weight, -kMaxSynapseWeight);
  p.max_weight = std::min(p.max_weight, kMaxSynapseWeight);
  p.mask.clear();
  p.chip_coordinate.clear();
  p.execution_instance.clear();
  p.circuits_per_neuron = 0;
  p.plasticity_rule.clear();
  p.plasticity_start = 0.0;
  p.plasticity_period = 0.0;
  p.plasticity_executions = 0;
  p.plasticity_recording.clear();
  IntegerMatrix matrix;
  matrix.out_features = kNeuronCircuits;
  matrix.in_features = 1;
  const std::int32_t range = p.max_weight - p.min_weight;
  for (std::int64_t n = 0; n < kNeuronCircuits; ++n) {
    matrix.values.push_back(static_cast<std::int16_t>(p.min_weight + n * range / (kNeuronCircuits - 1)));
  }
  matrix.hash = content_hash(p, matrix.values);
  probe.weights[p.name] = matrix;
  probe.network.projections = {p};
  return probe;
}

Observables run(const Backend& backend, const Probe& probe, const Mapping& mapping, const CompileOptions& options) {
  std::vector<std::uint8_t> spikes(at(probe.steps * kEntries), 0);
  std::fill_n(spikes.begin() + kQuietSteps * kEntries, kEntries, std::uint8_t{1});
  RunOptions run_options;
  run_options.record_membrane = {"probe"};
  run_options.inter_batch_wait = 2.0 * static_cast<double>(probe.steps) * probe.network.dt;
  const auto program = backend.compile(probe.network, mapping, probe.weights, options);
  Observables observed =
      backend.run(*program, {{SpikeTensor::Type::kUint8, spikes.data(), probe.steps, kEntries, 1}}, run_options);
  GRADSPIKE_REQUIRE(static_cast<std::int64_t>(observed.population("probe").membrane.size()) ==
                        probe.steps * kEntries * kNeuronCircuits,
                    "measure_scales: backend \"", backend.name(), "\" recorded no membranes");
  return observed;
}

/// Mean of a membrane over the batch entries, [time][neuron], and what it was at rest.
struct Response {
  std::vector<double> mean;  // [time, neuron], above rest
  std::vector<double> rest;  // by neuron
  double noise = 0.0;
};

Response response_of(const Observables& observed, std::int64_t steps) {
  const std::vector<float>& membrane = observed.population("probe").membrane;
  Response r;
  r.mean.assign(at(steps * kNeuronCircuits), 0.0);
  r.rest.assign(kNeuronCircuits, 0.0);
  double squares = 0.0;
  for (std::int64_t t = 0; t < steps; ++t) {
    for (std::int64_t n = 0; n < kNeuronCircuits; ++n) {
      double sum = 0.0;
      double square = 0.0;
      for (std::int64_t b = 0; b < kEntries; ++b) {
        const double value = membrane[at((t * kEntries + b) * kNeuronCircuits + n)];
        sum += value;
        square += value * value;
      }
      const double mean = sum / kEntries;
      r.mean[at(t * kNeuronCircuits + n)] = mean;
      if (t < kQuietSteps) {
        r.rest[at(n)] += mean / kQuietSteps;
        squares += std::max(square / kEntries - mean * mean, 0.0);
      }
    }
  }
  r.noise = std::sqrt(squares / (kQuietSteps * kNeuronCircuits) * kEntries / (kEntries - 1));
  for (std::int64_t k = 0; k < steps * kNeuronCircuits; ++k) {
    r.mean[at(k)] -= r.rest[at(k % kNeuronCircuits)];
  }
  return r;
}

double spread_of(const std::vector<double>& values, double& mean) {
  mean = 0.0;
  double squares = 0.0;
  for (const double value : values) {
    mean += value / static_cast<double>(values.size());
  }
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  return std::sqrt(squares / static_cast<double>(values.size()));
}

void fit(const Response& expected, const Response& measured, std::int64_t steps, ScaleMeasurement& result) {
  double products = 0.0;
  double squares = 0.0;
  std::vector<double> gains;
  std::vector<double> offsets;
  for (std::int64_t n = 0; n < kNeuronCircuits; ++n) {
    double product = 0.0;
    double square = 0.0;
    for (std::int64_t t = 0; t < steps; ++t) {
      const double x = expected.mean[at(t * kNeuronCircuits + n)];
      product += x * measured.mean[at(t * kNeuronCircuits + n)];
      square += x * x;
    }
    products += product;
    squares += square;
    offsets.push_back(measured.rest[at(n)] - expected.rest[at(n)]);
    if (square > 0.0) {
      gains.push_back(product / square);
    }
  }
  result.neurons = static_cast<std::int64_t>(gains.size());
  double mean_of_gains = 0.0;
  result.gain_spread = gains.empty() ? 0.0 : spread_of(gains, mean_of_gains);
  result.gain = squares > 0.0 ? products / squares : 0.0;
  result.offset_spread = spread_of(offsets, result.offset);
  result.noise = measured.noise;
}

}  // namespace

std::vector<ScaleMeasurement> measure_scales(const Network& network, const Backend& backend,
                                             const CompileOptions& options) {
  std::vector<ScaleMeasurement> results;
  for (const Projection& projection : network.projections) {
    const Probe probe = probe_of(network, projection);
    const Mapping mapping = map_network(probe.network);
    const Observables measured = run(backend, probe, mapping, options);
    ScaleMeasurement result;
    result.projection = projection.name;
    result.target = measured.target;
    result.scale = projection.scale;
    const auto clipped = measured.losses.find("cadc_samples_clipped");
    result.clipped = clipped == measured.losses.end() ? 0 : clipped->second;
    fit(response_of(run(Emulator(), probe, mapping, {}), probe.steps), response_of(measured, probe.steps), probe.steps,
        result);
    GRADSPIKE_REQUIRE(result.gain > 0.0, "measure_scales: projection \"", projection.name, "\" on ", result.target,
                      ": the response to a spike must grow with the weight, got a gain of ", result.gain);
    result.suggested_scale = result.scale / result.gain;
    results.push_back(result);
  }
  return results;
}

}  // namespace gradspike::chip
