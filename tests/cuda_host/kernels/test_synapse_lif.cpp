// synapse_lif: forward and reverse scan give the bits of the CPU kernels, the weight gradient agrees up to its order.
#include <algorithm>
#include <vector>

#include "csrc/kernels/synapse_lif.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

using kernels::num_segments;
using kernels::SpikeFormat;
using math::kNumCoefficientGradients;
using math::kNumLifStates;

struct Shape {
  std::int64_t time;
  std::int64_t batch;
  std::int64_t in;
  std::int64_t neuron;

  std::int64_t chains() const { return batch * neuron; }
  std::int64_t elements() const { return time * batch * neuron; }
};

struct Variant {
  bool heterogeneous = false;
  std::int64_t refractory = 0;
  bool initial_state = false;
  bool measured = false;
  bool packed = false;     // input
  bool fractions = false;  // a row of spikes that are no counts
  bool wide = false;
  bool given_input = false;  // in place of spikes and weights
  SpikeFormat format = SpikeFormat::kFloat;
  std::int64_t segment_steps = 0;
  std::int64_t chunk_steps = 0;  // steps of synaptic input that a GPU has in memory at once
};

std::vector<Shape> shapes() {
  if (kSmallShapes) {
    return {{1, 1, 1, 1}, {4, 9, 33, 70}};
  }
  return {{1, 1, 1, 1}, {5, 3, 7, 5}, {6, 9, 130, 70}, {3, 2, 700, 64}, {0, 2, 3, 4}, {3, 0, 3, 4}, {3, 2, 0, 4}};
}

std::vector<Variant> variants() {
  Variant plain, compact, bits, rest;
  compact.format = SpikeFormat::kPacked;
  compact.fractions = true;
  bits.packed = true;
  bits.format = SpikeFormat::kUint8;
  bits.segment_steps = 2;
  rest.heterogeneous = true;
  rest.refractory = 2;
  rest.initial_state = true;
  Variant measured = rest, segments = rest, wide = rest, given = rest;
  measured.measured = true;
  segments.segment_steps = 3;
  wide.wide = true;
  given.given_input = true;
  Variant chunks = measured, chunked_bits = compact, chunks_of_segments = segments;
  chunks.chunk_steps = 2;
  chunked_bits.chunk_steps = 1;
  chunks_of_segments.chunk_steps = 2;  // of three
  return {plain, compact, bits, rest, measured, segments, wide, given, chunks, chunked_bits, chunks_of_segments};
}

template <class S, class Q, class T>
struct Data {
  Shape shape;
  Variant v;
  std::int64_t columns;
  std::vector<T> coefficients, initial, measured_spikes, measured_membrane, input, grad_spikes, grad_membrane,
      grad_state;
  std::vector<S> spikes;
  std::vector<Q> weights;

  Data(const Shape& s, const Variant& variant) : shape(s), v(variant), columns(v.heterogeneous ? s.neuron : 1) {
    Numbers numbers(23);
    for (std::int32_t row = 0; row < math::kNumLifCoefficients; ++row) {
      const double lo[] = {0.1, 0.1, 0.8, -0.2, -0.3, 0.9, 0.0};
      const double hi[] = {0.3, 0.9, 0.95, 0.2, 0.1, 1.1, 0.0};
      for (std::int64_t n = 0; n < columns; ++n) {
        coefficients.push_back(static_cast<T>(row == math::kRefractorySteps
                                                  ? static_cast<double>(numbers.integer(0, v.refractory))
                                                  : numbers.uniform(lo[row], hi[row])));
      }
    }
    initial = numbers.vector<T>(kNumLifStates * s.chains(), -0.5, 1.5);
    for (std::int64_t e = 0; e < s.chains(); ++e) {
      initial[static_cast<std::size_t>(math::kStateRefractory * s.chains() + e)] =
          static_cast<T>(numbers.integer(0, v.refractory));
    }
    measured_spikes.resize(static_cast<std::size_t>(s.elements()));
    for (T& z : measured_spikes) {
      z = numbers.chance(0.2) ? T{1} : T{0};
    }
    measured_membrane = numbers.vector<T>(s.elements(), -0.5, 1.5);
    input = numbers.vector<T>(s.elements(), -1.0, 3.0);
    grad_spikes = numbers.vector<T>(s.elements(), -1.0, 1.0);
    grad_membrane = numbers.vector<T>(s.elements(), -1.0, 1.0);
    grad_state = numbers.vector<T>(kNumLifStates * s.chains(), -1.0, 1.0);
    const std::int64_t length = v.packed ? math::packed_bytes(s.in) : s.in;
    spikes.resize(static_cast<std::size_t>(s.time * s.batch * length));
    for (S& z : spikes) {
      z = v.packed ? static_cast<S>(numbers.integer(0, 255))
                   : (numbers.chance(0.2) ? static_cast<S>(numbers.integer(1, 3)) : S{0});
    }
    if (v.packed && s.in % 8 != 0) {  // padding bits are 0
      for (std::size_t k = static_cast<std::size_t>(length) - 1; k < spikes.size();
           k += static_cast<std::size_t>(length)) {
        spikes[k] = static_cast<S>(static_cast<unsigned>(spikes[k]) & ((1U << (s.in % 8)) - 1U));
      }
    }
    if (v.fractions && !v.packed && sizeof(S) > 1 && !spikes.empty()) {
      spikes[0] = static_cast<S>(0.5);
    }
    weights.resize(static_cast<std::size_t>(s.neuron * s.in));
    for (Q& q : weights) {
      q = static_cast<Q>(numbers.integer(-63, 63));
    }
    if (weights.size() > 5) {
      weights[5] = math::nan_weight<Q>();
    }
  }

  std::int64_t segments() const { return num_segments(shape.time, v.segment_steps); }
  std::int64_t spike_bytes() const {
    return v.format == SpikeFormat::kFloat   ? shape.elements() * static_cast<std::int64_t>(sizeof(T))
           : v.format == SpikeFormat::kUint8 ? shape.elements()
                                             : shape.time * shape.batch * math::packed_bytes(shape.neuron);
  }
};

/// Memory of the host with the interface of DeviceArray.
template <class T>
class HostArray {
 public:
  HostArray(std::int64_t count, int fill) : values_(static_cast<std::size_t>(count)) {
    if (!values_.empty()) {
      std::memset(static_cast<void*>(values_.data()), fill, values_.size() * sizeof(T));
    }
  }
  explicit HostArray(const std::vector<T>& values) : values_(values) {}
  T* get() { return values_.data(); }
  std::vector<T> read() const { return values_; }

 private:
  std::vector<T> values_;
};

template <class T>
struct Results {
  std::vector<std::uint8_t> spikes;
  std::vector<T> membrane;
  std::vector<T> current;
  std::vector<T> saved;
  std::vector<T> final_state;
  std::vector<T> grad_input;
  std::vector<T> grad_state;
  std::vector<T> grad_coefficients;
  std::vector<T> grad_weight;
};

/// Forward, and a backward from what the forward saved.
template <template <class> class Array, class Exec, class S, class Q, class T>
Results<T> run(const Exec& exec, Data<S, Q, T>& d, int fill) {
  const Shape& s = d.shape;
  const Variant& v = d.v;
  Array<S> spikes(d.spikes);
  Array<Q> weights(d.weights);
  Array<T> input(d.input), coefficients(d.coefficients), initial(d.initial), z_measured(d.measured_spikes),
      v_measured(d.measured_membrane), grad_spikes(d.grad_spikes), grad_membrane(d.grad_membrane),
      grad_final(d.grad_state);
  const std::int64_t kept = v.segment_steps > 0 ? d.segments() * kNumLifStates * s.chains() : s.elements();
  Array<std::uint8_t> z(d.spike_bytes(), fill);
  Array<T> membrane(s.elements(), fill), current(s.elements(), fill), saved(kept, fill),
      final_state(kNumLifStates * s.chains(), fill), grad_input(s.elements(), fill),
      grad_state(kNumLifStates * s.chains(), fill), grad_coefficients(kNumCoefficientGradients * s.chains(), fill),
      grad_weight(s.neuron * s.in, fill);
  const kernels::SynapseDrive<S, Q, T> drive{
      spikes.get(), weights.get(), v.given_input ? input.get() : nullptr, s.in, 1.0F / 48.0F, v.wide, v.packed};
  const kernels::CoefficientTable<T> table{coefficients.get(), d.columns};
  const kernels::Measurement<T> spike_measurement(v.measured ? z_measured.get() : nullptr, s.time / 2);
  const kernels::Measurement<T> membrane_measurement(v.measured ? v_measured.get() : nullptr, s.time / 3);
  T* const start = v.initial_state ? initial.get() : nullptr;
  const bool segments = v.segment_steps > 0;
  kernels::synapse_lif_forward(
      exec, kernels::SynapseLifForwardArgs<S, Q, T>{drive, table, start, spike_measurement, membrane_measurement,
                                                    z.get(), v.format, membrane.get(), current.get(),
                                                    segments ? nullptr : saved.get(), segments ? saved.get() : nullptr,
                                                    final_state.get(), v.segment_steps, s.time, s.batch, s.neuron,
                                                    v.chunk_steps * s.chains() * static_cast<std::int64_t>(sizeof(T))});
  kernels::SynapseLifBackwardArgs<S, Q, T> backward{
      drive,
      {grad_spikes.get(), grad_membrane.get(), nullptr, grad_final.get(), segments ? nullptr : saved.get(),
       segments ? nullptr : current.get(), table, start, spike_measurement, membrane_measurement,
       math::Surrogate::kSuperspike, 50.0, grad_input.get(), grad_state.get(), grad_coefficients.get(), s.time, s.batch,
       s.neuron},
      segments ? saved.get() : nullptr,
      v.segment_steps,
      1.0F / 48.0F,
      grad_weight.get()};
  kernels::synapse_lif_backward(exec, backward);
  backward.neurons.grad_input = nullptr;  // the weight gradient does not need it in memory
  kernels::synapse_lif_backward(exec, backward);
  return {z.read(),          membrane.read(),   current.read(),           saved.read(),      final_state.read(),
          grad_input.read(), grad_state.read(), grad_coefficients.read(), grad_weight.read()};
}

template <class T>
void expect_close(const std::vector<T>& actual, const std::vector<T>& expected) {
  T largest{0};
  for (const T x : expected) {
    largest = std::max(largest, std::abs(x));
  }
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t k = 0; k < actual.size(); ++k) {
    ASSERT_TRUE(std::abs(actual[k] - expected[k]) <= T(1e-5) * largest) << k << ": " << actual[k] << " " << expected[k];
  }
}

template <class S, class Q, class T>
void compare() {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      if (variant.packed && sizeof(S) > 1) {
        continue;
      }
      SCOPED_TRACE(::testing::Message() << "[" << shape.time << ", " << shape.batch << ", " << shape.in << " -> "
                                        << shape.neuron << "] format " << static_cast<int>(variant.format) << " packed "
                                        << variant.packed << " segments " << variant.segment_steps << " measured "
                                        << variant.measured << " wide " << variant.wide);
      Data<S, Q, T> data(shape, variant);
      const Results<T> expected = run<HostArray>(CpuExec{}, data, 0xFF);
      for_each_run([&](const KernelRun& where) {
        const Results<T> actual = run<DeviceArray>(where.exec, data, where.fill);
        expect_same_bits(actual.spikes, expected.spikes, "spikes");
        expect_same_bits(actual.membrane, expected.membrane, "membrane");
        expect_same_bits(actual.current, expected.current, "current");
        expect_same_bits(actual.saved, expected.saved, "saved");
        expect_same_bits(actual.final_state, expected.final_state, "final_state");
        expect_same_bits(actual.grad_input, expected.grad_input, "grad_input");
        expect_same_bits(actual.grad_state, expected.grad_state, "grad_initial_state");
        expect_same_bits(actual.grad_coefficients, expected.grad_coefficients, "grad_coefficients");
        if (std::none_of(expected.grad_weight.begin(), expected.grad_weight.end(), [](T x) { return x != x; })) {
          expect_close(actual.grad_weight, expected.grad_weight);
        }
      });
    }
  }
}

TEST(SynapseLif, FloatSpikesAndShortWeights) { compare<float, std::int8_t, float>(); }
TEST(SynapseLif, ByteOrPackedSpikes) { compare<std::uint8_t, std::int8_t, float>(); }
TEST(SynapseLif, LongWeights) { compare<float, std::int16_t, float>(); }
TEST(SynapseLif, Doubles) { compare<double, std::int16_t, double>(); }

}  // namespace
}  // namespace gradspike::testing
