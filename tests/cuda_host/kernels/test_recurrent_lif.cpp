// recurrent_lif: forward and reverse loop give the bits of the CPU kernels.
#include "csrc/kernels/recurrent_lif.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

using kernels::WeightForm;
using math::kNumCoefficientGradients;
using math::kNumLifCoefficients;
using math::kNumRecurrentLifStates;

struct Shape {
  std::int64_t time;
  std::int64_t batch;
  std::int64_t in_features;
  std::int64_t neuron;

  std::int64_t chains() const { return batch * neuron; }
  std::int64_t elements() const { return time * batch * neuron; }
};

/// What is given and asked for.
struct Variant {
  WeightForm input = WeightForm::kInt8;
  WeightForm recurrent = WeightForm::kInt8;
  bool heterogeneous = false;
  std::int64_t refractory = 0;
  bool initial_state = false;
  std::int64_t measured_spikes = 0;  // steps
  std::int64_t measured_membrane = 0;
  bool counts = true;  // measured and initial spikes are whole numbers
  bool all_outputs = true;
  bool coefficients = true;
  bool wide = false;
  bool nan_weight = false;
  bool accumulate = false;
  std::int64_t checkpoint_steps = 3;
};

void trace(const Shape& s, const Variant& v, std::ostream& out) {
  out << "[" << s.time << ", " << s.batch << ", " << s.in_features << " -> " << s.neuron << "] forms "
      << static_cast<int>(v.input) << static_cast<int>(v.recurrent) << " heterogeneous " << v.heterogeneous
      << " refractory " << v.refractory << " initial " << v.initial_state << " measured " << v.measured_spikes << ", "
      << v.measured_membrane << " counts " << v.counts << " all outputs " << v.all_outputs << " coefficients "
      << v.coefficients << " wide " << v.wide << " nan " << v.nan_weight << " accumulate " << v.accumulate;
}

std::vector<Shape> shapes() {
  if (kSmallShapes) {
    return {{4, 3, 5, 33}};
  }
  return {{1, 1, 1, 1}, {7, 3, 5, 9}, {9, 4, 20, 32}, {6, 5, 33, 70}, {5, 1, 9, 130},
          {0, 2, 3, 4}, {4, 0, 3, 2}, {4, 2, 0, 3},   {4, 2, 3, 0}};
}

std::vector<Variant> variants() {
  constexpr WeightForm k8 = WeightForm::kInt8;
  constexpr WeightForm k16 = WeightForm::kInt16;
  constexpr WeightForm kReal = WeightForm::kReal;
  return {
      {},
      {k8, k8, true, 2, true},
      {k8, k8, false, 1, false, 4, 2},
      {k8, k8, true, 3, true, 3, 0, false},
      {k8, k8, false, 0, false, 100, 0, true, false, false},
      {k8, k8, true, 0, false, 0, 0, true, false, true, false, true},
      {k16, k16, true, 2, true, 2, 1, false},
      {k8, k16, false, 0, false, 0, 0, true, true, true, true},
      {k16, k8, false, 1, true, 0, 0, true, true, true, false, true, true, 1},
      {k16, k16, false, 0, false, 0, 0, true, true, true, true, true},
      {kReal, kReal, true, 2, true, 3, 0, false},
      {kReal, kReal, false, 0, false, 0, 0, true, false, false},
  };
}

/// The weights of a projection in each form; NaN integers are the lowest value.
template <class T>
struct Weights {
  std::vector<std::int8_t> bytes;
  std::vector<std::int16_t> shorts;
  std::vector<T> reals;

  Weights(Numbers& numbers, std::int64_t count, bool has_nan) {
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t q = numbers.integer(-63, 63);
      bytes.push_back(static_cast<std::int8_t>(q));
      shorts.push_back(static_cast<std::int16_t>(q * 5));
      reals.push_back(static_cast<T>(static_cast<double>(q) * 0.91));
    }
    if (has_nan && count > 2) {
      bytes[2] = math::nan_weight<std::int8_t>();
      shorts[2] = math::nan_weight<std::int16_t>();
    }
  }
};

template <class S, class T>
struct Data {
  Shape shape;
  Variant variant;
  Numbers numbers;
  std::int64_t columns;
  std::vector<S> spikes;
  Weights<T> input;
  Weights<T> recurrent;
  std::vector<T> coefficients;
  std::vector<T> initial;
  std::vector<T> measured_spikes;
  std::vector<T> measured_membrane;

  Data(const Shape& s, const Variant& v)
      : shape(s),
        variant(v),
        numbers(29),
        columns(v.heterogeneous ? s.neuron : 1),
        spikes(static_cast<std::size_t>(s.time * s.batch * s.in_features)),
        input(numbers, s.neuron * s.in_features, v.nan_weight),
        recurrent(numbers, s.neuron * s.neuron, v.nan_weight) {
    for (std::size_t k = 0; k < spikes.size(); ++k) {
      spikes[k] = numbers.chance(0.3) ? static_cast<S>(numbers.integer(1, 3)) : S{0};
    }
    if (!spikes.empty()) {
      spikes[0] = static_cast<S>(0.5);  // one row of the input is real-valued
    }
    const double lo[] = {0.1, 0.1, 0.8, -0.2, -0.3, 0.9, 0.0};
    const double hi[] = {0.3, 0.9, 0.95, 0.2, 0.1, 1.1, 0.0};
    for (std::int32_t row = 0; row < kNumLifCoefficients; ++row) {
      for (std::int64_t n = 0; n < columns; ++n) {
        const std::int64_t steps = v.heterogeneous ? numbers.integer(0, v.refractory) : v.refractory;
        coefficients.push_back(static_cast<T>(row == math::kRefractorySteps ? static_cast<double>(steps)
                                                                            : numbers.uniform(lo[row], hi[row])));
      }
    }
    initial = numbers.vector<T>(kNumRecurrentLifStates * s.chains(), -0.5, 1.5);
    for (std::int64_t e = 0; e < s.chains(); ++e) {
      initial[static_cast<std::size_t>(math::kStateRefractory * s.chains() + e)] =
          static_cast<T>(numbers.integer(0, v.refractory));
      initial[static_cast<std::size_t>(math::kStateSpikes * s.chains() + e)] = spike();
    }
    measured_spikes.resize(static_cast<std::size_t>(s.elements()));
    for (T& value : measured_spikes) {
      value = spike();
    }
    measured_membrane = numbers.vector<T>(s.elements(), -0.5, 1.5);
  }

  T spike() {
    const double size = variant.counts ? static_cast<double>(numbers.integer(1, 2)) : numbers.uniform(-0.5, 200.0);
    return static_cast<T>(numbers.chance(0.3) ? size : 0.0);
  }
  std::int64_t steps(std::int64_t wanted) const { return std::min(wanted, shape.time); }
  std::int64_t checkpoints() const { return (shape.time + variant.checkpoint_steps - 1) / variant.checkpoint_steps; }
};

template <class T>
struct Traces {
  std::vector<T> spikes;
  std::vector<T> membrane;
  std::vector<T> current;
  std::vector<T> saved;
  std::vector<T> checkpoints;
  std::vector<T> final_state;

  Traces(const Shape& s, std::int64_t points)
      : spikes(static_cast<std::size_t>(s.elements())),
        membrane(spikes.size()),
        current(spikes.size()),
        saved(spikes.size()),
        checkpoints(static_cast<std::size_t>(points * kNumRecurrentLifStates * s.chains())),
        final_state(static_cast<std::size_t>(kNumRecurrentLifStates * s.chains())) {}
};

const void* of_form(WeightForm form, const void* bytes, const void* shorts, const void* reals) {
  return form == WeightForm::kInt8 ? bytes : (form == WeightForm::kInt16 ? shorts : reals);
}

template <class T>
kernels::ProjectionWeights on_host(const Weights<T>& w, WeightForm form, bool wide) {
  return {of_form(form, w.bytes.data(), w.shorts.data(), w.reals.data()), form, 0.037F, wide};
}

template <class T>
struct DeviceWeights {
  explicit DeviceWeights(const Weights<T>& w) : bytes(w.bytes), shorts(w.shorts), reals(w.reals) {}
  kernels::ProjectionWeights get(WeightForm form, bool wide) {
    return {of_form(form, bytes.get(), shorts.get(), reals.get()), form, 0.037F, wide};
  }
  DeviceArray<std::int8_t> bytes;
  DeviceArray<std::int16_t> shorts;
  DeviceArray<T> reals;
};

template <class S, class T>
Traces<T> cpu_forward(Data<S, T>& data) {
  const Variant& v = data.variant;
  const Shape& s = data.shape;
  Traces<T> out(s, data.checkpoints());
  kernels::recurrent_lif_forward(CpuExec{}, kernels::RecurrentLifForwardArgs<S, T>{
                                                data.spikes.data(),
                                                on_host(data.input, v.input, v.wide),
                                                on_host(data.recurrent, v.recurrent, v.wide),
                                                {data.coefficients.data(), data.columns},
                                                data_or_null(data.initial, v.initial_state),
                                                {data.measured_spikes.data(), data.steps(v.measured_spikes)},
                                                {data.measured_membrane.data(), data.steps(v.measured_membrane)},
                                                out.spikes.data(),
                                                out.membrane.data(),
                                                out.current.data(),
                                                out.saved.data(),
                                                out.checkpoints.data(),
                                                v.checkpoint_steps,
                                                out.final_state.data(),
                                                s.time,
                                                s.batch,
                                                s.neuron,
                                                s.in_features});
  return out;
}

template <class S, class T>
void check_forward(const Shape& s, const Variant& v) {
  std::ostringstream where;
  trace(s, v, where);
  SCOPED_TRACE(where.str());
  Data<S, T> data(s, v);
  const Traces<T> expected = cpu_forward(data);
  for_each_run([&](const KernelRun& run) {
    DeviceArray<S> spikes(data.spikes);
    DeviceWeights<T> input(data.input);
    DeviceWeights<T> recurrent(data.recurrent);
    DeviceArray<T> coefficients(data.coefficients);
    DeviceArray<T> initial(data.initial);
    DeviceArray<T> measured_spikes(data.measured_spikes);
    DeviceArray<T> measured_membrane(data.measured_membrane);
    DeviceArray<T> out(s.elements(), run.fill);
    DeviceArray<T> membrane(s.elements(), run.fill);
    DeviceArray<T> current(s.elements(), run.fill);
    DeviceArray<T> saved(s.elements(), run.fill);
    DeviceArray<T> checkpoints(static_cast<std::int64_t>(expected.checkpoints.size()), run.fill);
    DeviceArray<T> final_state(kNumRecurrentLifStates * s.chains(), run.fill);
    const auto asked = [&](DeviceArray<T>& array) { return v.all_outputs ? array.get() : nullptr; };
    kernels::recurrent_lif_forward(
        run.exec, kernels::RecurrentLifForwardArgs<S, T>{spikes.get(),
                                                         input.get(v.input, v.wide),
                                                         recurrent.get(v.recurrent, v.wide),
                                                         {coefficients.get(), data.columns},
                                                         v.initial_state ? initial.get() : nullptr,
                                                         {measured_spikes.get(), data.steps(v.measured_spikes)},
                                                         {measured_membrane.get(), data.steps(v.measured_membrane)},
                                                         asked(out),
                                                         membrane.get(),
                                                         asked(current),
                                                         asked(saved),
                                                         asked(checkpoints),
                                                         v.checkpoint_steps,
                                                         final_state.get(),
                                                         s.time,
                                                         s.batch,
                                                         s.neuron,
                                                         s.in_features});
    expect_same_bits(membrane.read(), expected.membrane, "membrane");
    expect_same_bits(final_state.read(), expected.final_state, "final_state");
    if (v.all_outputs) {
      expect_same_bits(out.read(), expected.spikes, "spikes");
      expect_same_bits(current.read(), expected.current, "current");
      expect_same_bits(saved.read(), expected.saved, "saved");
      expect_same_bits(checkpoints.read(), expected.checkpoints, "checkpoints");
    }
  });
}

/// Incoming gradients, and the sums that a later segment has left.
template <class T>
struct Gradients {
  std::vector<T> spikes;
  std::vector<T> membrane;
  std::vector<T> current;
  std::vector<T> final_state;
  std::vector<T> sums;

  explicit Gradients(const Shape& s) {
    Numbers numbers(23);
    spikes = numbers.vector<T>(s.elements(), -1.0, 1.0);
    membrane = numbers.vector<T>(s.elements(), -1.0, 1.0);
    current = numbers.vector<T>(s.elements(), -1.0, 1.0);
    final_state = numbers.vector<T>(kNumRecurrentLifStates * s.chains(), -1.0, 1.0);
    sums = numbers.vector<T>(kNumCoefficientGradients * s.chains(), -1.0, 1.0);
  }
};

template <class T>
void check_backward(const Shape& s, const Variant& v) {
  std::ostringstream where;
  trace(s, v, where);
  SCOPED_TRACE(where.str());
  Data<float, T> data(s, v);
  Traces<T> forward = cpu_forward(data);
  Gradients<T> grad(s);
  std::vector<T> grad_input(static_cast<std::size_t>(s.elements()));
  std::vector<T> previous(grad_input.size());
  std::vector<T> grad_initial(static_cast<std::size_t>(kNumRecurrentLifStates * s.chains()));
  std::vector<T> sums = grad.sums;
  const auto optional = [&](std::vector<T>& values) { return data_or_null(values, v.all_outputs); };
  kernels::recurrent_lif_backward(
      CpuExec{}, kernels::RecurrentLifBackwardArgs<T>{{optional(grad.spikes),
                                                       optional(grad.membrane),
                                                       grad.current.data(),
                                                       optional(grad.final_state),
                                                       forward.saved.data(),
                                                       forward.current.data(),
                                                       {data.coefficients.data(), data.columns},
                                                       data_or_null(data.initial, v.initial_state),
                                                       {data.measured_spikes.data(), data.steps(v.measured_spikes)},
                                                       {data.measured_membrane.data(), data.steps(v.measured_membrane)},
                                                       math::Surrogate::kSuperspike,
                                                       5.0,
                                                       grad_input.data(),
                                                       optional(grad_initial),
                                                       data_or_null(sums, v.coefficients),
                                                       s.time,
                                                       s.batch,
                                                       s.neuron},
                                                      on_host(data.recurrent, v.recurrent, v.wide),
                                                      optional(previous),
                                                      v.accumulate});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> grad_spikes(grad.spikes);
    DeviceArray<T> grad_membrane(grad.membrane);
    DeviceArray<T> grad_current(grad.current);
    DeviceArray<T> grad_final(grad.final_state);
    DeviceArray<T> saved(forward.saved);
    DeviceArray<T> current(forward.current);
    DeviceArray<T> coefficients(data.coefficients);
    DeviceArray<T> initial(data.initial);
    DeviceArray<T> measured_spikes(data.measured_spikes);
    DeviceArray<T> measured_membrane(data.measured_membrane);
    DeviceWeights<T> recurrent(data.recurrent);
    DeviceArray<T> out(s.elements(), run.fill);
    DeviceArray<T> spikes_before(s.elements(), run.fill);
    DeviceArray<T> out_initial(kNumRecurrentLifStates * s.chains(), run.fill);
    DeviceArray<T> out_sums(grad.sums);
    const auto asked = [&](DeviceArray<T>& array) { return v.all_outputs ? array.get() : nullptr; };
    kernels::recurrent_lif_backward(
        run.exec, kernels::RecurrentLifBackwardArgs<T>{{asked(grad_spikes),
                                                        asked(grad_membrane),
                                                        grad_current.get(),
                                                        asked(grad_final),
                                                        saved.get(),
                                                        current.get(),
                                                        {coefficients.get(), data.columns},
                                                        v.initial_state ? initial.get() : nullptr,
                                                        {measured_spikes.get(), data.steps(v.measured_spikes)},
                                                        {measured_membrane.get(), data.steps(v.measured_membrane)},
                                                        math::Surrogate::kSuperspike,
                                                        5.0,
                                                        out.get(),
                                                        asked(out_initial),
                                                        v.coefficients ? out_sums.get() : nullptr,
                                                        s.time,
                                                        s.batch,
                                                        s.neuron},
                                                       recurrent.get(v.recurrent, v.wide),
                                                       asked(spikes_before),
                                                       v.accumulate});
    expect_same_bits(out.read(), grad_input, "grad_input");
    if (v.all_outputs) {
      expect_same_bits(out_initial.read(), grad_initial, "grad_initial_state");
      expect_same_bits(spikes_before.read(), previous, "previous_spikes");
    }
    if (v.coefficients) {
      expect_same_bits(out_sums.read(), sums, "grad_coefficients");
    }
  });
}

template <class T>
class RecurrentLif : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(RecurrentLif, Types);

TYPED_TEST(RecurrentLif, ForwardBits) {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      check_forward<float, TypeParam>(shape, variant);
    }
  }
}

TYPED_TEST(RecurrentLif, ForwardBitsOfOtherSpikes) {
  const Shape shape{5, 2, 9, 33};
  for (const Variant& variant : variants()) {
    check_forward<std::uint8_t, TypeParam>(shape, variant);
    if constexpr (std::is_same_v<TypeParam, double>) {
      check_forward<double, double>(shape, variant);
    }
  }
}

TYPED_TEST(RecurrentLif, BackwardBits) {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      check_backward<TypeParam>(shape, variant);
    }
  }
}

/// The largest resident size, one neuron more, and a size whose exchange does not fit into shared memory.
TYPED_TEST(RecurrentLif, LargeNetworks) {
  if (!kSmallShapes) {
    for (const std::int64_t neurons : {256, 257}) {
      check_forward<float, TypeParam>({6, 3, 10, neurons}, variants()[1]);
      check_forward<float, TypeParam>({6, 3, 10, neurons}, variants()[3]);
      check_backward<TypeParam>({4, 3, 10, neurons}, variants()[1]);
    }
    check_backward<TypeParam>({2, 1, 3, 1600}, variants()[4]);
  }
}

/// A long run: one rounding that differs anywhere would grow.
TYPED_TEST(RecurrentLif, LongRunBits) {
  if (!kSmallShapes) {
    check_forward<float, TypeParam>({301, 3, 20, 70}, variants()[1]);
    check_backward<TypeParam>({301, 3, 20, 70}, variants()[1]);
  }
}

}  // namespace
}  // namespace gradspike::testing
