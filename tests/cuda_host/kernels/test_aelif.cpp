// aelif: forward, reverse scan and coefficient gradients give the bits of the CPU kernels, and those the bits of a
// plain loop with the same exponential.
#include <algorithm>
#include <vector>

#include "csrc/kernels/aelif.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

using math::kNumAdexCoefficientGradients;
using math::kNumAdexCoefficients;
using math::kNumAdexStates;

struct Shape {
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;

  std::int64_t chains() const { return batch * neuron; }
  std::int64_t elements() const { return time * batch * neuron; }
};

/// What is given and asked for.
struct Variant {
  math::AdexTerms terms{true, true, true, true, true};
  bool heterogeneous = true;
  std::int64_t refractory = 0;  // steps; with `heterogeneous` 0 to this number
  bool initial_state = false;
  const char* measured = "";  // of the letters z, v and w
  bool all_outputs = true;
  bool coefficients = true;  // gradients to them
  math::Surrogate surrogate = math::Surrogate::kSuperspike;
  std::int64_t unmeasured_steps = 0;  // at the end

  bool measures(char what) const { return std::string(measured).find(what) != std::string::npos; }
  double alpha() const { return surrogate == math::Surrogate::kSuperspike ? 50.0 : 2.0; }
};

std::string describe(const Shape& s, const Variant& v) {
  std::ostringstream out;
  out << "[" << s.time << ", " << s.batch << ", " << s.neuron << "] leaky " << v.terms.leaky << " fire " << v.terms.fire
      << " exponential " << v.terms.exponential << " subthreshold " << v.terms.subthreshold << " triggered "
      << v.terms.spike_triggered << " heterogeneous " << v.heterogeneous << " refractory " << v.refractory
      << " initial " << v.initial_state << " measured '" << v.measured << "' all outputs " << v.all_outputs
      << " coefficients " << v.coefficients << " surrogate " << math::kSurrogateNames[static_cast<int>(v.surrogate)]
      << " unmeasured " << v.unmeasured_steps;
  return out.str();
}

std::vector<Shape> shapes() {
  if (kSmallShapes) {
    return {{1, 1, 1}, {6, 3, 45}};
  }
  return {{1, 1, 1}, {7, 3, 5}, {8, 2, 64}, {33, 4, 70}, {0, 2, 3}, {5, 0, 3}, {5, 3, 0}};
}

/// Every choice of terms, and then what can be given and asked for.
std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (unsigned bits = 0; bits < 32; ++bits) {
    const auto bit = [&](unsigned k) { return ((bits >> k) & 1U) == 0; };
    Variant v;
    v.terms = {bit(0), bit(1), bit(2), bit(3), bit(4)};
    v.heterogeneous = bits % 3 != 0;
    v.refractory = bits % 4;
    v.initial_state = bits % 2 == 0;
    v.coefficients = bits % 5 != 0;
    all.push_back(v);
  }
  const math::AdexTerms full{true, true, true, true, true};
  const math::AdexTerms plain{true, true, false, true, true};
  const math::AdexTerms silent{true, false, true, true, false};
  for (const Variant& v : {
           Variant{full, true, 3, true, "z", true, true},
           Variant{full, false, 3, false, "v", true, true},
           Variant{plain, true, 1, true, "w", true, true},
           Variant{plain, true, 2, false, "zvw", true, true},
           Variant{full, true, 2, false, "zvw", false, false},
           Variant{full, false, 0, false, "zw", true, false, math::Surrogate::kSuperspike, 3},
           Variant{plain, true, 3, true, "v", false, true, math::Surrogate::kSuperspike, 2},
           Variant{full, true, 0, false, "w", true, true, math::Surrogate::kSuperspike, 4},
           Variant{silent, true, 0, false, "vw", true, true},
           Variant{full, true, 3, true, "", false, false},
           Variant{full, false, 0, false, "", true, true, math::Surrogate::kFastSigmoid},
           Variant{plain, true, 2, false, "", true, false, math::Surrogate::kSigmoid},
           Variant{full, true, 1, false, "", true, false, math::Surrogate::kArctan},
           Variant{plain, false, 0, false, "", true, true, math::Surrogate::kTriangular},
           Variant{full, true, 0, false, "z", true, true, math::Surrogate::kGaussian},
           Variant{full, false, 2, false, "", true, true, math::Surrogate::kBox},
       }) {
    all.push_back(v);
  }
  return all;
}

/// Inputs of one call. The membrane crosses its threshold now and then, and once is no number.
template <class T>
struct AelifData {
  Shape shape;
  Variant variant;
  std::int64_t columns;
  std::vector<T> coefficients, input, initial, spikes, membrane, adaptation;

  std::int64_t measured_steps() const { return std::max<std::int64_t>(0, shape.time - variant.unmeasured_steps); }

  AelifData(const Shape& s, const Variant& v) : shape(s), variant(v), columns(v.heterogeneous ? s.neuron : 1) {
    Numbers numbers(19);
    const double lo[] = {0.1, 0.1, 0.8, -0.2, -0.3, 0.9, 0.0, 0.05, 0.1, 0.6, 0.9, 0.01, 0.1};
    const double hi[] = {0.3, 0.9, 0.95, 0.2, 0.1, 1.1, 0.0, 0.1, 0.2, 0.8, 0.99, 0.05, 0.4};
    for (std::int32_t row = 0; row < kNumAdexCoefficients; ++row) {
      for (std::int64_t n = 0; n < columns; ++n) {
        const std::int64_t steps = v.heterogeneous ? numbers.integer(0, v.refractory) : v.refractory;
        coefficients.push_back(static_cast<T>(row == math::kRefractorySteps ? static_cast<double>(steps)
                                                                            : numbers.uniform(lo[row], hi[row])));
      }
    }
    input = numbers.vector<T>(s.elements(), -1.0, 2.0);
    if (!input.empty()) {
      input[input.size() / 2] = std::numeric_limits<T>::quiet_NaN();
      input[input.size() / 3] = T{3000};  // drives the exponential beyond the range of T
    }
    initial = numbers.vector<T>(kNumAdexStates * s.chains(), -0.5, 1.5);
    for (std::int64_t e = 0; e < s.chains(); ++e) {
      initial[static_cast<std::size_t>(math::kStateRefractory * s.chains() + e)] =
          static_cast<T>(numbers.integer(0, v.refractory));
    }
    membrane = numbers.vector<T>(s.elements(), -0.5, 1.5);
    adaptation = numbers.vector<T>(s.elements(), -0.5, 0.5);
    spikes.resize(input.size());
    for (T& spike : spikes) {
      spike = numbers.chance(0.2) ? static_cast<T>(numbers.integer(1, 2)) : T{0};
    }
  }
};

template <class T>
struct AelifTraces {
  std::vector<T> spikes, membrane, current, adaptation, saved, final_state;
  std::vector<std::uint8_t> blocked;

  explicit AelifTraces(const Shape& s)
      : spikes(static_cast<std::size_t>(s.elements())),
        membrane(spikes.size()),
        current(spikes.size()),
        adaptation(spikes.size()),
        saved(spikes.size()),
        final_state(static_cast<std::size_t>(kNumAdexStates * s.chains())),
        blocked(spikes.size()) {}
};

template <class T>
AelifTraces<T> cpu_forward(AelifData<T>& data) {
  AelifTraces<T> out(data.shape);
  const Variant& v = data.variant;
  const auto given = [&](std::vector<T>& values, char what) {
    return kernels::Measurement<T>(data_or_null(values, v.measures(what)), data.measured_steps());
  };
  kernels::aelif_forward(CpuExec{}, kernels::AdexForwardArgs<T>{data.input.data(),
                                                                {data.coefficients.data(), data.columns},
                                                                v.terms,
                                                                data_or_null(data.initial, v.initial_state),
                                                                given(data.spikes, 'z'),
                                                                given(data.membrane, 'v'),
                                                                given(data.adaptation, 'w'),
                                                                out.spikes.data(),
                                                                out.membrane.data(),
                                                                out.current.data(),
                                                                out.adaptation.data(),
                                                                out.saved.data(),
                                                                out.blocked.data(),
                                                                out.final_state.data(),
                                                                data.shape.time,
                                                                data.shape.batch,
                                                                data.shape.neuron});
  return out;
}

template <class T>
void check_forward(const Shape& shape, const Variant& v) {
  SCOPED_TRACE(describe(shape, v));
  AelifData<T> data(shape, v);
  const AelifTraces<T> expected = cpu_forward(data);
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(data.input), coefficients(data.coefficients), initial(data.initial);
    DeviceArray<T> z_measured(data.spikes), v_measured(data.membrane), w_measured(data.adaptation);
    DeviceArray<T> spikes(shape.elements(), run.fill), membrane(shape.elements(), run.fill);
    DeviceArray<T> current(shape.elements(), run.fill), adaptation(shape.elements(), run.fill);
    DeviceArray<T> saved(shape.elements(), run.fill), final_state(kNumAdexStates * shape.chains(), run.fill);
    DeviceArray<std::uint8_t> blocked(shape.elements(), run.fill);
    const auto asked = [&](auto& array) { return v.all_outputs ? array.get() : nullptr; };
    const auto given = [&](DeviceArray<T>& values, char what) {
      return kernels::Measurement<T>(v.measures(what) ? values.get() : nullptr, data.measured_steps());
    };
    kernels::aelif_forward(run.exec, kernels::AdexForwardArgs<T>{input.get(),
                                                                 {coefficients.get(), data.columns},
                                                                 v.terms,
                                                                 v.initial_state ? initial.get() : nullptr,
                                                                 given(z_measured, 'z'),
                                                                 given(v_measured, 'v'),
                                                                 given(w_measured, 'w'),
                                                                 spikes.get(),
                                                                 asked(membrane),
                                                                 asked(current),
                                                                 asked(adaptation),
                                                                 asked(saved),
                                                                 asked(blocked),
                                                                 final_state.get(),
                                                                 shape.time,
                                                                 shape.batch,
                                                                 shape.neuron});
    expect_same_bits(spikes.read(), expected.spikes, "spikes");
    expect_same_bits(final_state.read(), expected.final_state, "final_state");
    if (v.all_outputs) {
      expect_same_bits(membrane.read(), expected.membrane, "membrane");
      expect_same_bits(current.read(), expected.current, "current");
      expect_same_bits(adaptation.read(), expected.adaptation, "adaptation");
      expect_same_bits(saved.read(), expected.saved, "saved");
      expect_same_bits(blocked.read(), expected.blocked, "blocked");
    }
  });
}

template <class T>
struct AelifGradients {
  std::vector<T> spikes, membrane, current, adaptation, final_state;

  explicit AelifGradients(const Shape& shape) {
    Numbers numbers(23);
    for (std::vector<T>* trace : {&spikes, &membrane, &current, &adaptation}) {
      *trace = numbers.vector<T>(shape.elements(), -1.0, 1.0);
    }
    final_state = numbers.vector<T>(kNumAdexStates * shape.chains(), -1.0, 1.0);
  }
};

template <class T>
void check_backward(const Shape& shape, const Variant& v) {
  SCOPED_TRACE(describe(shape, v));
  AelifData<T> data(shape, v);
  AelifTraces<T> forward = cpu_forward(data);
  AelifGradients<T> grad(shape);
  std::vector<T> grad_input(grad.spikes.size()), grad_initial(grad.final_state.size());
  std::vector<T> sums(static_cast<std::size_t>(kNumAdexCoefficientGradients * shape.chains()));
  // The arguments, from where each array lies.
  const auto arguments = [&](const auto& at, const std::uint8_t* blocked, T* out_input, T* out_initial, T* out_sums) {
    const auto optional = [&](std::vector<T>& values) -> const T* { return v.all_outputs ? at(values) : nullptr; };
    const auto given = [&](std::vector<T>& values, char what) {
      return kernels::Measurement<T>(v.measures(what) ? at(values) : nullptr, data.measured_steps());
    };
    return kernels::AdexBackwardArgs<T>{at(grad.spikes),
                                        optional(grad.membrane),
                                        optional(grad.current),
                                        optional(grad.adaptation),
                                        optional(grad.final_state),
                                        at(forward.saved),
                                        blocked,
                                        at(forward.current),
                                        at(forward.adaptation),
                                        {at(data.coefficients), data.columns},
                                        v.terms,
                                        v.initial_state ? at(data.initial) : nullptr,
                                        given(data.spikes, 'z'),
                                        given(data.membrane, 'v'),
                                        v.surrogate,
                                        v.alpha(),
                                        out_input,
                                        v.all_outputs ? out_initial : nullptr,
                                        v.coefficients ? out_sums : nullptr,
                                        shape.time,
                                        shape.batch,
                                        shape.neuron};
  };
  kernels::aelif_backward(
      CpuExec{}, arguments([](std::vector<T>& values) -> const T* { return values.data(); }, forward.blocked.data(),
                           grad_input.data(), grad_initial.data(), sums.data()));
  for_each_run([&](const KernelRun& run) {
    std::vector<std::unique_ptr<DeviceArray<T>>> arrays;
    const auto on_device = [&](std::vector<T>& values) -> const T* {
      return arrays.emplace_back(std::make_unique<DeviceArray<T>>(values))->get();
    };
    DeviceArray<std::uint8_t> blocked(forward.blocked);
    DeviceArray<T> out_input(shape.elements(), run.fill);
    DeviceArray<T> out_initial(kNumAdexStates * shape.chains(), run.fill);
    DeviceArray<T> out_sums(kNumAdexCoefficientGradients * shape.chains(), run.fill);
    kernels::aelif_backward(run.exec,
                            arguments(on_device, blocked.get(), out_input.get(), out_initial.get(), out_sums.get()));
    expect_same_bits(out_input.read(), grad_input, "grad_input");
    if (v.all_outputs) {
      expect_same_bits(out_initial.read(), grad_initial, "grad_initial_state");
    }
    if (v.coefficients) {
      expect_same_bits(out_sums.read(), sums, "grad_coefficients");
    }
  });
}

template <class T>
class Aelif : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Aelif, Types);

TYPED_TEST(Aelif, ForwardBits) {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      check_forward<TypeParam>(shape, variant);
    }
  }
}

TYPED_TEST(Aelif, BackwardBits) {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      check_backward<TypeParam>(shape, variant);
    }
  }
}

/// A long run: one rounding that differs anywhere would grow.
TYPED_TEST(Aelif, LongRunBits) {
  if (!kSmallShapes) {
    Variant v;
    v.refractory = 3;
    check_forward<TypeParam>({501, 3, 130}, v);
    check_backward<TypeParam>({501, 3, 130}, v);
  }
}

/// The equations of the operator in the plainest form, with the library's exponential.
TYPED_TEST(Aelif, CpuKernelGivesTheBitsOfAPlainLoop) {
  using T = TypeParam;
  const Shape shape{200, 2, 65};
  for (const bool exponential : {false, true}) {
    Variant v;
    v.terms.exponential = exponential;
    v.refractory = 2;
    AelifData<T> data(shape, v);
    const AelifTraces<T> actual = cpu_forward(data);
    AelifTraces<T> expected(shape);
    for (std::int64_t chain = 0; chain < shape.chains(); ++chain) {
      const auto c = [&](int row) {
        return data.coefficients[static_cast<std::size_t>(row * data.columns + chain % shape.neuron)];
      };
      const T k = c(0), g = c(1), d = c(2), leak = c(3), reset = c(4), threshold = c(5), steps = c(6);
      const T gain = c(7), slope = c(8), onset = c(9), decay = c(10), factor = c(11), increment = c(12);
      T i = 0, v_now = leak, w = 0, counter = 0;
      for (std::int64_t t = 0; t < shape.time; ++t) {
        const auto at = static_cast<std::size_t>(t * shape.chains() + chain);
        T drive = i + g * (leak - v_now);
        if (exponential) {
          drive = drive + gain * math::exponential((v_now - onset) / slope);
        }
        const T dv = k * (drive - w);
        i = i * d + data.input[at];
        v_now = v_now + dv;
        const bool crosses = v_now > threshold;
        w = w * decay + factor * (v_now - leak) + increment * (crosses ? T{1} : T{0});
        const bool blocked = counter > 0;
        v_now = crosses || blocked ? reset : v_now;
        expected.spikes[at] = crosses && !blocked ? T{1} : T{0};
        counter = crosses && !blocked ? steps : std::max(counter - (blocked ? T{1} : T{0}), T{0});
        expected.membrane[at] = v_now;
        expected.adaptation[at] = w;
      }
    }
    expect_same_bits(actual.spikes, expected.spikes, "spikes");
    expect_same_bits(actual.membrane, expected.membrane, "membrane");
    expect_same_bits(actual.adaptation, expected.adaptation, "adaptation");
  }
}

/// Parameters as the caller gives them: numbers, single elements or one value per neuron, in any mixture.
template <class T>
struct Parameters {
  static constexpr int kCount = 12;
  std::vector<T> values[kCount];
  int kind[kCount];  // 0 number, 1 one element, 2 one per neuron
  double number[kCount];

  Parameters(std::int64_t neurons, std::uint32_t seed) {
    Numbers numbers(seed);
    const double lo[] = {-0.1, -0.2, 0.9, 8e-6, 5e-6, 9e-6, 0.0, 0.1, 0.6, 0.1, 0.1, 5e-5};
    const double hi[] = {0.1, 0.0, 1.1, 2e-5, 1e-5, 2e-5, 4e-6, 0.2, 0.8, 0.5, 0.5, 2e-4};
    for (int k = 0; k < kCount; ++k) {
      kind[k] = static_cast<int>(numbers.integer(0, 2));
      number[k] = numbers.uniform(lo[k], hi[k]);
      values[k] = numbers.vector<T>(neurons == 0 ? 1 : neurons, lo[k], hi[k]);
    }
  }

  template <class Data>
  kernels::AdexParameters<T> at(Data&& data) {
    const auto parameter = [&](int k) {
      return kernels::Parameter<T>{kind[k] == 0 ? nullptr : data(values[k]), kind[k] == 2 ? 1 : 0, number[k],
                                   kind[k] == 0};
    };
    return {{parameter(0), parameter(1), parameter(2), parameter(3), parameter(4), parameter(5), parameter(6), 1e-6},
            parameter(7),
            parameter(8),
            parameter(9),
            parameter(10),
            parameter(11)};
  }
};

template <class T>
void check_parameters(std::int64_t batch, std::int64_t neuron, std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Parameters<T> parameters(neuron, seed);
  const math::AdexTerms terms{true, true, seed % 2 == 0, seed % 3 != 0, seed % 5 != 0};
  const auto on_host = [](std::vector<T>& values) -> const T* { return values.data(); };
  std::vector<T> table(static_cast<std::size_t>(kNumAdexCoefficients * neuron));
  const std::vector<T> grad = Numbers(31).vector<T>(kNumAdexCoefficientGradients * batch * neuron, -1.0, 1.0);
  std::vector<double> result(static_cast<std::size_t>(math::kNumAdexParameterGradients * neuron));
  kernels::aelif_coefficients(CpuExec{},
                              kernels::AdexCoefficientsArgs<T>{parameters.at(on_host), table.data(), neuron});
  kernels::aelif_parameter_gradients(
      CpuExec{},
      kernels::AdexParameterGradientsArgs<T>{grad.data(), parameters.at(on_host), terms, result.data(), batch, neuron});
  for_each_run([&](const KernelRun& run) {
    std::vector<std::unique_ptr<DeviceArray<T>>> arrays;
    const auto on_device = [&](std::vector<T>& values) -> const T* {
      return arrays.emplace_back(std::make_unique<DeviceArray<T>>(values))->get();
    };
    DeviceArray<T> grad_in(grad);
    DeviceArray<T> table_out(kNumAdexCoefficients * neuron, run.fill);
    DeviceArray<double> out(math::kNumAdexParameterGradients * neuron, run.fill);
    kernels::aelif_coefficients(run.exec,
                                kernels::AdexCoefficientsArgs<T>{parameters.at(on_device), table_out.get(), neuron});
    kernels::aelif_parameter_gradients(
        run.exec, kernels::AdexParameterGradientsArgs<T>{grad_in.get(), parameters.at(on_device), terms, out.get(),
                                                         batch, neuron});
    expect_same_bits(table_out.read(), table, "coefficients");
    expect_same_bits(out.read(), result, "grad_parameters");
  });
}

TYPED_TEST(Aelif, CoefficientAndParameterGradientBits) {
  for (std::uint32_t seed = 1; seed <= 12; ++seed) {
    check_parameters<TypeParam>(7, 150, seed);
    check_parameters<TypeParam>(1, 1, seed);
    check_parameters<TypeParam>(0, 3, seed);
    check_parameters<TypeParam>(3, 0, seed);
  }
}

}  // namespace
}  // namespace gradspike::testing
