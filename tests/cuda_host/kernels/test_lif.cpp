// lif and li: forward, reverse scan and coefficient gradients give the bits of the CPU kernels.
#include <algorithm>
#include <vector>

#include "csrc/kernels/lif.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

using math::kNumCoefficientGradients;
using math::kNumLifCoefficients;
using math::kNumLifStates;
using math::kNumLiStates;

struct Shape {
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;

  std::int64_t chains() const { return batch * neuron; }
  std::int64_t elements() const { return time * batch * neuron; }
};

/// What is given and asked for.
struct Variant {
  bool heterogeneous = false;
  std::int64_t refractory = 0;  // steps; with `heterogeneous` 0 to this number
  bool initial_state = false;
  bool measured_spikes = false;
  bool measured_membrane = false;
  bool all_outputs = true;
  bool coefficients = true;  // gradients to them
  math::Surrogate surrogate = math::Surrogate::kSuperspike;
  std::int64_t unmeasured_steps = 0;  // at the end

  double alpha() const { return surrogate == math::Surrogate::kSuperspike ? 50.0 : 2.0; }
};

void trace(const Shape& s, const Variant& v, std::ostream& out) {
  out << "[" << s.time << ", " << s.batch << ", " << s.neuron << "] heterogeneous " << v.heterogeneous << " refractory "
      << v.refractory << " initial " << v.initial_state << " measured " << v.measured_spikes << v.measured_membrane
      << " all outputs " << v.all_outputs << " coefficients " << v.coefficients << " surrogate "
      << math::kSurrogateNames[static_cast<int>(v.surrogate)] << " unmeasured " << v.unmeasured_steps;
}

std::vector<Shape> shapes() {
  if (kSmallShapes) {
    return {{1, 1, 1}, {6, 3, 45}};
  }
  return {{1, 1, 1}, {7, 3, 5}, {8, 2, 64}, {33, 4, 70}, {0, 2, 3}, {5, 0, 3}, {5, 3, 0}};
}

std::vector<Variant> variants() {
  return {
      {false, 0, false, false, false, true, true},
      {true, 0, true, false, false, true, true},
      {false, 1, false, false, false, false, true},
      {true, 3, true, false, false, true, true},
      {false, 3, false, true, false, true, true},
      {true, 3, true, false, true, true, true},
      {true, 1, false, true, true, true, true},
      {true, 3, false, false, false, false, false},
      {false, 3, true, true, false, true, false},
      {false, 0, false, false, true, true, false},
      {true, 1, true, true, true, false, false},
      {false, 1, false, true, false, true, true, math::Surrogate::kSuperspike, 3},
      {true, 3, true, false, true, true, true, math::Surrogate::kSuperspike, 2},
      {false, 0, false, false, false, true, true, math::Surrogate::kFastSigmoid},
      {false, 0, false, false, false, true, true, math::Surrogate::kSigmoid},
      {true, 1, false, false, false, true, false, math::Surrogate::kArctan},
      {false, 0, false, false, false, true, false, math::Surrogate::kTriangular},
      {true, 0, false, true, false, true, true, math::Surrogate::kGaussian},
      {false, 2, false, false, false, true, true, math::Surrogate::kBox},
  };
}

/// Inputs of one call. The membrane crosses its threshold in about one step in ten, and now and then is no number.
template <class T>
struct LifData {
  Shape shape;
  Variant variant;
  std::int64_t columns;
  std::vector<T> coefficients;
  std::vector<T> input;
  std::vector<T> initial;
  std::vector<T> measured_spikes;
  std::vector<T> measured_membrane;

  std::int64_t measured_steps() const { return std::max<std::int64_t>(0, shape.time - variant.unmeasured_steps); }

  LifData(const Shape& s, const Variant& v) : shape(s), variant(v), columns(v.heterogeneous ? s.neuron : 1) {
    Numbers numbers(17);
    for (std::int32_t row = 0; row < kNumLifCoefficients; ++row) {
      const double lo[] = {0.1, 0.1, 0.8, -0.2, -0.3, 0.9, 0.0};
      const double hi[] = {0.3, 0.9, 0.95, 0.2, 0.1, 1.1, 0.0};
      for (std::int64_t n = 0; n < columns; ++n) {
        const std::int64_t steps = v.heterogeneous ? numbers.integer(0, v.refractory) : v.refractory;
        coefficients.push_back(static_cast<T>(row == math::kRefractorySteps ? static_cast<double>(steps)
                                                                            : numbers.uniform(lo[row], hi[row])));
      }
    }
    input = numbers.vector<T>(s.elements(), -1.0, 2.0);
    if (!input.empty()) {
      input[input.size() / 2] = std::numeric_limits<T>::quiet_NaN();
    }
    initial = numbers.vector<T>(kNumLifStates * s.chains(), -0.5, 1.5);
    for (std::int64_t e = 0; e < s.chains(); ++e) {
      initial[static_cast<std::size_t>(math::kStateRefractory * s.chains() + e)] =
          static_cast<T>(numbers.integer(0, v.refractory));
    }
    measured_membrane = numbers.vector<T>(s.elements(), -0.5, 1.5);
    measured_spikes.resize(input.size());
    for (T& spike : measured_spikes) {
      spike = numbers.chance(0.2) ? static_cast<T>(numbers.integer(1, 2)) : T{0};
    }
  }
};

// ---- LIF ---------------------------------------------------------------------------------------------------------

template <class T>
struct LifTraces {
  std::vector<T> spikes;
  std::vector<T> membrane;
  std::vector<T> current;
  std::vector<T> saved;
  std::vector<T> final_state;
};

template <class T>
LifTraces<T> cpu_forward(LifData<T>& data) {
  const std::size_t count = data.input.size();
  LifTraces<T> out{std::vector<T>(count), std::vector<T>(count), std::vector<T>(count), std::vector<T>(count),
                   std::vector<T>(static_cast<std::size_t>(kNumLifStates * data.shape.chains()))};
  kernels::lif_forward(
      CpuExec{}, kernels::LifForwardArgs<T>{
                     data.input.data(),
                     {data.coefficients.data(), data.columns},
                     data_or_null(data.initial, data.variant.initial_state),
                     {data_or_null(data.measured_spikes, data.variant.measured_spikes), data.measured_steps()},
                     {data_or_null(data.measured_membrane, data.variant.measured_membrane), data.measured_steps()},
                     out.spikes.data(),
                     out.membrane.data(),
                     out.current.data(),
                     out.saved.data(),
                     out.final_state.data(),
                     data.shape.time,
                     data.shape.batch,
                     data.shape.neuron});
  return out;
}

template <class T>
void check_lif_forward(const Shape& shape, const Variant& v) {
  std::ostringstream where;
  trace(shape, v, where);
  SCOPED_TRACE(where.str());
  LifData<T> data(shape, v);
  const LifTraces<T> expected = cpu_forward(data);
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(data.input);
    DeviceArray<T> coefficients(data.coefficients);
    DeviceArray<T> initial(data.initial);
    DeviceArray<T> measured_spikes(data.measured_spikes);
    DeviceArray<T> measured_membrane(data.measured_membrane);
    DeviceArray<T> spikes(shape.elements(), run.fill);
    DeviceArray<T> membrane(shape.elements(), run.fill);
    DeviceArray<T> current(shape.elements(), run.fill);
    DeviceArray<T> saved(shape.elements(), run.fill);
    DeviceArray<T> final_state(kNumLifStates * shape.chains(), run.fill);
    const auto asked = [&](DeviceArray<T>& array) { return v.all_outputs ? array.get() : nullptr; };
    kernels::lif_forward(run.exec, kernels::LifForwardArgs<T>{
                                       input.get(),
                                       {coefficients.get(), data.columns},
                                       v.initial_state ? initial.get() : nullptr,
                                       {v.measured_spikes ? measured_spikes.get() : nullptr, data.measured_steps()},
                                       {v.measured_membrane ? measured_membrane.get() : nullptr, data.measured_steps()},
                                       spikes.get(),
                                       asked(membrane),
                                       asked(current),
                                       asked(saved),
                                       final_state.get(),
                                       shape.time,
                                       shape.batch,
                                       shape.neuron});
    expect_same_bits(spikes.read(), expected.spikes, "spikes");
    expect_same_bits(final_state.read(), expected.final_state, "final_state");
    if (v.all_outputs) {
      expect_same_bits(membrane.read(), expected.membrane, "membrane");
      expect_same_bits(current.read(), expected.current, "current");
      expect_same_bits(saved.read(), expected.saved, "saved");
    }
  });
}

/// Incoming gradients of a backward call; those that are not given count as zero.
template <class T>
struct LifGradients {
  std::vector<T> spikes;
  std::vector<T> membrane;
  std::vector<T> current;
  std::vector<T> final_state;

  explicit LifGradients(const Shape& shape) {
    Numbers numbers(23);
    spikes = numbers.vector<T>(shape.elements(), -1.0, 1.0);
    membrane = numbers.vector<T>(shape.elements(), -1.0, 1.0);
    current = numbers.vector<T>(shape.elements(), -1.0, 1.0);
    final_state = numbers.vector<T>(kNumLifStates * shape.chains(), -1.0, 1.0);
  }
};

/// The three results of a backward call.
template <class T>
struct LifResults {
  std::vector<T> input;
  std::vector<T> initial;
  std::vector<T> coefficients;

  LifResults(const Shape& shape, std::int64_t states)
      : input(static_cast<std::size_t>(shape.elements())),
        initial(static_cast<std::size_t>(states * shape.chains())),
        coefficients(static_cast<std::size_t>(kNumCoefficientGradients * shape.chains())) {}
};

template <class T>
void check_lif_backward(const Shape& shape, const Variant& v) {
  std::ostringstream where;
  trace(shape, v, where);
  SCOPED_TRACE(where.str());
  LifData<T> data(shape, v);
  LifTraces<T> forward = cpu_forward(data);
  LifGradients<T> grad(shape);
  LifResults<T> expected(shape, kNumLifStates);
  const auto optional = [&](std::vector<T>& values) { return data_or_null(values, v.all_outputs); };
  kernels::lif_backward(
      CpuExec{},
      kernels::LifBackwardArgs<T>{grad.spikes.data(),
                                  optional(grad.membrane),
                                  optional(grad.current),
                                  optional(grad.final_state),
                                  forward.saved.data(),
                                  forward.current.data(),
                                  {data.coefficients.data(), data.columns},
                                  data_or_null(data.initial, v.initial_state),
                                  {data_or_null(data.measured_spikes, v.measured_spikes), data.measured_steps()},
                                  {data_or_null(data.measured_membrane, v.measured_membrane), data.measured_steps()},
                                  v.surrogate,
                                  v.alpha(),
                                  expected.input.data(),
                                  optional(expected.initial),
                                  data_or_null(expected.coefficients, v.coefficients),
                                  shape.time,
                                  shape.batch,
                                  shape.neuron});
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
    DeviceArray<T> grad_input(shape.elements(), run.fill);
    DeviceArray<T> grad_initial(kNumLifStates * shape.chains(), run.fill);
    DeviceArray<T> grad_coefficients(kNumCoefficientGradients * shape.chains(), run.fill);
    const auto asked = [&](DeviceArray<T>& array) { return v.all_outputs ? array.get() : nullptr; };
    kernels::lif_backward(
        run.exec,
        kernels::LifBackwardArgs<T>{grad_spikes.get(),
                                    asked(grad_membrane),
                                    asked(grad_current),
                                    asked(grad_final),
                                    saved.get(),
                                    current.get(),
                                    {coefficients.get(), data.columns},
                                    v.initial_state ? initial.get() : nullptr,
                                    {v.measured_spikes ? measured_spikes.get() : nullptr, data.measured_steps()},
                                    {v.measured_membrane ? measured_membrane.get() : nullptr, data.measured_steps()},
                                    v.surrogate,
                                    v.alpha(),
                                    grad_input.get(),
                                    asked(grad_initial),
                                    v.coefficients ? grad_coefficients.get() : nullptr,
                                    shape.time,
                                    shape.batch,
                                    shape.neuron});
    expect_same_bits(grad_input.read(), expected.input, "grad_input");
    if (v.all_outputs) {
      expect_same_bits(grad_initial.read(), expected.initial, "grad_initial_state");
    }
    if (v.coefficients) {
      expect_same_bits(grad_coefficients.read(), expected.coefficients, "grad_coefficients");
    }
  });
}

template <class T>
class Lif : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Lif, Types);

TYPED_TEST(Lif, ForwardBits) {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      check_lif_forward<TypeParam>(shape, variant);
    }
  }
}

TYPED_TEST(Lif, BackwardBits) {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      check_lif_backward<TypeParam>(shape, variant);
    }
  }
}

/// Chains that are many enough for the kernels that read ahead in registers.
TYPED_TEST(Lif, ManyChainsBits) {
  if (!kSmallShapes) {
    for (const Variant& variant :
         {Variant{true, 3, true, false, false, true, true}, Variant{false, 0, false, false, false, false, false}}) {
      check_lif_forward<TypeParam>({19, 1, 65537}, variant);
      check_lif_backward<TypeParam>({19, 1, 65537}, variant);
    }
  }
}

/// A long run: one rounding that differs anywhere would grow.
TYPED_TEST(Lif, LongRunBits) {
  if (!kSmallShapes) {
    check_lif_forward<TypeParam>({501, 3, 130}, {true, 3, false, false, false, true, true});
    check_lif_backward<TypeParam>({501, 3, 130}, {true, 3, false, false, false, true, true});
  }
}

/// T steps at once and T times one step are the same bits.
TYPED_TEST(Lif, StreamingBits) {
  using T = TypeParam;
  const Shape shape{9, 2, 33};
  LifData<T> data(shape, {true, 3, true, false, false, true, true});
  const LifTraces<T> expected = cpu_forward(data);
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(data.input);
    DeviceArray<T> coefficients(data.coefficients);
    DeviceArray<T> state(data.initial);
    DeviceArray<T> spikes(shape.elements(), run.fill);
    for (std::int64_t t = 0; t < shape.time; ++t) {
      kernels::lif_forward(run.exec, kernels::LifForwardArgs<T>{input.get() + t * shape.chains(),
                                                                {coefficients.get(), data.columns},
                                                                state.get(),
                                                                {},
                                                                {},
                                                                spikes.get() + t * shape.chains(),
                                                                nullptr,
                                                                nullptr,
                                                                nullptr,
                                                                state.get(),
                                                                1,
                                                                shape.batch,
                                                                shape.neuron});
    }
    expect_same_bits(spikes.read(), expected.spikes, "spikes");
    expect_same_bits(state.read(), expected.final_state, "final_state");
  });
}

// ---- LI ----------------------------------------------------------------------------------------------------------

template <class T>
struct LiTraces {
  std::vector<T> membrane;
  std::vector<T> current;
  std::vector<T> final_state;
};

template <class T>
LiTraces<T> cpu_li_forward(LifData<T>& data) {
  const std::size_t count = data.input.size();
  LiTraces<T> out{std::vector<T>(count), std::vector<T>(count),
                  std::vector<T>(static_cast<std::size_t>(kNumLiStates * data.shape.chains()))};
  kernels::li_forward(CpuExec{},
                      kernels::LiForwardArgs<T>{
                          data.input.data(),
                          {data.coefficients.data(), data.columns},
                          data_or_null(data.initial, data.variant.initial_state),
                          {data_or_null(data.measured_membrane, data.variant.measured_membrane), data.measured_steps()},
                          out.membrane.data(),
                          out.current.data(),
                          out.final_state.data(),
                          data.shape.time,
                          data.shape.batch,
                          data.shape.neuron});
  return out;
}

template <class T>
void check_li(const Shape& shape, const Variant& v) {
  std::ostringstream where;
  trace(shape, v, where);
  SCOPED_TRACE(where.str());
  LifData<T> data(shape, v);
  LiTraces<T> forward = cpu_li_forward(data);
  LifGradients<T> grad(shape);
  LifResults<T> expected(shape, kNumLiStates);
  kernels::li_backward(CpuExec{}, kernels::LiBackwardArgs<T>{grad.membrane.data(),
                                                             data_or_null(grad.current, v.all_outputs),
                                                             data_or_null(grad.final_state, v.all_outputs),
                                                             forward.membrane.data(),
                                                             forward.current.data(),
                                                             {data.coefficients.data(), data.columns},
                                                             data_or_null(data.initial, v.initial_state),
                                                             expected.input.data(),
                                                             data_or_null(expected.initial, v.all_outputs),
                                                             data_or_null(expected.coefficients, v.coefficients),
                                                             shape.time,
                                                             shape.batch,
                                                             shape.neuron});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(data.input);
    DeviceArray<T> coefficients(data.coefficients);
    DeviceArray<T> initial(data.initial);
    DeviceArray<T> measured(data.measured_membrane);
    DeviceArray<T> membrane(shape.elements(), run.fill);
    DeviceArray<T> current(shape.elements(), run.fill);
    DeviceArray<T> final_state(kNumLiStates * shape.chains(), run.fill);
    const auto asked = [&](DeviceArray<T>& array) { return v.all_outputs ? array.get() : nullptr; };
    kernels::li_forward(
        run.exec, kernels::LiForwardArgs<T>{input.get(),
                                            {coefficients.get(), data.columns},
                                            v.initial_state ? initial.get() : nullptr,
                                            {v.measured_membrane ? measured.get() : nullptr, data.measured_steps()},
                                            membrane.get(),
                                            asked(current),
                                            final_state.get(),
                                            shape.time,
                                            shape.batch,
                                            shape.neuron});
    expect_same_bits(membrane.read(), forward.membrane, "membrane");
    expect_same_bits(final_state.read(), forward.final_state, "final_state");
    if (v.all_outputs) {
      expect_same_bits(current.read(), forward.current, "current");
    }

    DeviceArray<T> membrane_trace(forward.membrane);
    DeviceArray<T> current_trace(forward.current);
    DeviceArray<T> grad_membrane(grad.membrane);
    DeviceArray<T> grad_current(grad.current);
    DeviceArray<T> grad_final(grad.final_state);
    DeviceArray<T> grad_input(shape.elements(), run.fill);
    DeviceArray<T> grad_initial(kNumLiStates * shape.chains(), run.fill);
    DeviceArray<T> grad_coefficients(kNumCoefficientGradients * shape.chains(), run.fill);
    kernels::li_backward(run.exec, kernels::LiBackwardArgs<T>{grad_membrane.get(),
                                                              asked(grad_current),
                                                              asked(grad_final),
                                                              membrane_trace.get(),
                                                              current_trace.get(),
                                                              {coefficients.get(), data.columns},
                                                              v.initial_state ? initial.get() : nullptr,
                                                              grad_input.get(),
                                                              asked(grad_initial),
                                                              v.coefficients ? grad_coefficients.get() : nullptr,
                                                              shape.time,
                                                              shape.batch,
                                                              shape.neuron});
    expect_same_bits(grad_input.read(), expected.input, "grad_input");
    if (v.all_outputs) {
      expect_same_bits(grad_initial.read(), expected.initial, "grad_initial_state");
    }
    if (v.coefficients) {
      expect_same_bits(grad_coefficients.read(), expected.coefficients, "grad_coefficients");
    }
  });
}

TYPED_TEST(Lif, LiOfManyChainsBits) {
  if (!kSmallShapes) {
    check_li<TypeParam>({19, 1, 65537}, {true, 0, true, false, false, true, true});
    check_li<TypeParam>({19, 1, 65537}, {false, 0, false, false, false, false, false});
  }
}

TYPED_TEST(Lif, LiBits) {
  for (const Shape& shape : shapes()) {
    for (const Variant& variant : variants()) {
      check_li<TypeParam>(shape, variant);
    }
  }
}

// ---- coefficients and parameters ---------------------------------------------------------------------------------

/// Neuron parameters as the caller gives them: numbers, single elements or one value per neuron, in any mixture.
template <class T>
struct Parameters {
  std::vector<T> values[7];
  bool is_number[7];
  std::int64_t stride[7];
  double number[7];

  Parameters(std::int64_t neurons, unsigned mixture) {
    Numbers numbers(29 + mixture);
    const double lo[] = {-0.1, -0.2, 0.9, 8e-6, 5e-6, 0.9, 0.0};
    const double hi[] = {0.1, 0.0, 1.1, 2e-5, 1e-5, 1.1, 4e-6};
    for (int k = 0; k < 7; ++k) {
      const unsigned kind = (mixture >> (2 * k)) % 3;
      is_number[k] = kind == 0;
      stride[k] = kind == 2 ? 1 : 0;
      number[k] = k == 6 ? 3e-6 : numbers.uniform(lo[k], hi[k]);
      values[k] = numbers.vector<T>(neurons == 0 ? 1 : neurons, lo[k], hi[k]);
    }
  }

  /// With the pointers that `data` gives for each parameter.
  template <class Data>
  kernels::NeuronParameters<T> at(Data&& data) {
    const auto parameter = [&](int k) {
      return kernels::Parameter<T>{is_number[k] ? nullptr : data(k), stride[k], number[k], is_number[k]};
    };
    return {parameter(0), parameter(1), parameter(2), parameter(3), parameter(4), parameter(5), parameter(6), 1e-6};
  }
};

constexpr unsigned kMixtures[] = {0x0000U, 0x1555U, 0x2AAAU, 0x1299U, 0x0924U, 0x2192U};

template <class T>
void check_coefficients(std::int64_t columns, unsigned mixture, bool fires) {
  Parameters<T> parameters(columns, mixture);
  const std::int64_t rows = fires ? kNumLifCoefficients : math::kNumLiCoefficients;
  std::vector<T> expected(static_cast<std::size_t>(rows * columns));
  kernels::lif_coefficients(
      CpuExec{}, kernels::LifCoefficientsArgs<T>{parameters.at([&](int k) { return parameters.values[k].data(); }),
                                                 expected.data(), columns, fires});
  for_each_run([&](const KernelRun& run) {
    std::vector<std::unique_ptr<DeviceArray<T>>> values;
    for (const std::vector<T>& v : parameters.values) {
      values.push_back(std::make_unique<DeviceArray<T>>(v));
    }
    DeviceArray<T> out(rows * columns, run.fill);
    kernels::lif_coefficients(
        run.exec, kernels::LifCoefficientsArgs<T>{
                      parameters.at([&](int k) { return values[static_cast<std::size_t>(k)]->get(); }), out.get(),
                      columns, fires});
    expect_same_bits(out.read(), expected, "coefficients");
  });
}

TYPED_TEST(Lif, CoefficientBits) {
  for (const unsigned mixture : kMixtures) {
    for (const std::int64_t columns : {0, 1, 5, 200}) {
      check_coefficients<TypeParam>(columns, mixture, true);
      check_coefficients<TypeParam>(columns, mixture, false);
    }
  }
}

template <class T>
void check_parameter_gradients(std::int64_t batch, std::int64_t neuron, unsigned mixture) {
  Parameters<T> parameters(neuron, mixture);
  const std::vector<T> grad = Numbers(31).vector<T>(kNumCoefficientGradients * batch * neuron, -1.0, 1.0);
  const std::int64_t results = math::kNumParameterGradients * neuron;
  std::vector<double> expected(static_cast<std::size_t>(results));
  kernels::parameter_gradients(
      CpuExec{},
      kernels::ParameterGradientsArgs<T>{grad.data(), parameters.at([&](int k) { return parameters.values[k].data(); }),
                                         expected.data(), batch, neuron});
  for_each_run([&](const KernelRun& run) {
    std::vector<std::unique_ptr<DeviceArray<T>>> values;
    for (const std::vector<T>& v : parameters.values) {
      values.push_back(std::make_unique<DeviceArray<T>>(v));
    }
    DeviceArray<T> grad_in(grad);
    DeviceArray<double> out(results, run.fill);
    kernels::parameter_gradients(
        run.exec, kernels::ParameterGradientsArgs<T>{
                      grad_in.get(), parameters.at([&](int k) { return values[static_cast<std::size_t>(k)]->get(); }),
                      out.get(), batch, neuron});
    expect_same_bits(out.read(), expected, "grad_parameters");
  });
}

TYPED_TEST(Lif, ParameterGradientBits) {
  for (const unsigned mixture : kMixtures) {
    check_parameter_gradients<TypeParam>(1, 1, mixture);
    check_parameter_gradients<TypeParam>(7, 150, mixture);
    check_parameter_gradients<TypeParam>(0, 3, mixture);
    check_parameter_gradients<TypeParam>(3, 0, mixture);
  }
}

}  // namespace
}  // namespace gradspike::testing
