// eventprop_lif and exact_eventprop_lif: forward and reverse scan give the bits of the CPU kernels.
#include <algorithm>
#include <vector>

#include "csrc/kernels/eventprop.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

using math::kNumEventPropCoefficients;
using math::kNumLifCoefficients;
using math::kNumLifStates;

struct Case {
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
  bool heterogeneous;
  std::int64_t refractory;  // steps, of the exact scheme; with `heterogeneous` 0 to this number
  bool initial_state;       // of the exact scheme
  bool measured_spikes;
  bool measured_membrane;
  bool all_outputs;

  std::int64_t chains() const { return batch * neuron; }
  std::int64_t elements() const { return time * batch * neuron; }
  std::int64_t measured_steps() const { return std::max<std::int64_t>(0, time - 2); }
  std::int64_t columns() const { return heterogeneous ? neuron : 1; }
};

std::vector<Case> cases() {
  std::vector<Case> result;
  const std::vector<std::vector<std::int64_t>> shapes =
      kSmallShapes ? std::vector<std::vector<std::int64_t>>{{1, 1, 1}, {6, 3, 45}}
                   : std::vector<std::vector<std::int64_t>>{{1, 1, 1},   {7, 3, 5}, {8, 2, 64}, {9, 1, 3},
                                                            {33, 4, 70}, {0, 2, 3}, {5, 0, 3},  {5, 3, 0}};
  for (const auto& s : shapes) {
    result.push_back({s[0], s[1], s[2], false, 0, false, false, false, true});
    result.push_back({s[0], s[1], s[2], true, 3, true, false, false, true});
    result.push_back({s[0], s[1], s[2], false, 1, false, false, false, false});
    result.push_back({s[0], s[1], s[2], true, 2, true, true, false, true});
    result.push_back({s[0], s[1], s[2], false, 2, false, false, true, true});
    result.push_back({s[0], s[1], s[2], true, 1, true, true, true, false});
  }
  if (!kSmallShapes) {
    result.push_back({301, 3, 130, true, 3, false, false, false, true});
  }
  return result;
}

/// Inputs of one call. The membrane crosses its threshold in about one step in ten, and now and then is no number.
template <class T>
struct Data {
  Case test;
  std::vector<T> coefficients;        // of eventprop_lif
  std::vector<T> exact_coefficients;  // of lif
  std::vector<T> input;
  std::vector<T> initial;
  std::vector<T> measured_spikes;
  std::vector<T> measured_membrane;
  std::vector<T> grad_spikes;

  explicit Data(const Case& c) : test(c) {
    Numbers numbers(29);
    const double lo[] = {0.1, 0.85, 0.1, 0.85, 0.9, -0.2, -0.3, 0.9};
    const double hi[] = {0.15, 0.9, 0.15, 0.9, 1.1, 0.2, 0.1, 1.1};
    for (std::int64_t row = 0; row < kNumEventPropCoefficients; ++row) {
      for (std::int64_t n = 0; n < c.columns(); ++n) {
        coefficients.push_back(static_cast<T>(numbers.uniform(lo[row], hi[row])));
      }
    }
    const double exact_lo[] = {0.1, 0.1, 0.8, -0.2, -0.3, 0.9, 0.0};
    const double exact_hi[] = {0.3, 0.9, 0.95, 0.2, 0.1, 1.1, 0.0};
    for (std::int32_t row = 0; row < kNumLifCoefficients; ++row) {
      for (std::int64_t n = 0; n < c.columns(); ++n) {
        const std::int64_t steps = c.heterogeneous ? numbers.integer(0, c.refractory) : c.refractory;
        exact_coefficients.push_back(static_cast<T>(row == math::kRefractorySteps
                                                        ? static_cast<double>(steps)
                                                        : numbers.uniform(exact_lo[row], exact_hi[row])));
      }
    }
    input = numbers.vector<T>(c.elements(), -1.0, 2.0);
    if (!input.empty()) {
      input[input.size() / 2] = std::numeric_limits<T>::quiet_NaN();
    }
    initial = numbers.vector<T>(kNumLifStates * c.chains(), -0.5, 1.5);
    for (std::int64_t e = 0; e < c.chains(); ++e) {
      initial[static_cast<std::size_t>(math::kStateRefractory * c.chains() + e)] =
          static_cast<T>(numbers.integer(0, c.refractory));
    }
    measured_membrane = numbers.vector<T>(c.elements(), -0.5, 1.5);
    measured_spikes.resize(input.size());
    for (T& spike : measured_spikes) {
      spike = numbers.chance(0.2) ? static_cast<T>(numbers.integer(1, 2)) : T{0};
    }
    grad_spikes = numbers.vector<T>(c.elements(), -1.0, 1.0);
  }
};

template <class T>
struct Traces {
  std::vector<T> spikes;
  std::vector<T> membrane;
  std::vector<T> current;
  std::vector<T> saved;
  std::vector<T> final_state;

  explicit Traces(const Case& c)
      : spikes(static_cast<std::size_t>(c.elements())),
        membrane(spikes.size()),
        current(spikes.size()),
        saved(spikes.size()),
        final_state(static_cast<std::size_t>(kNumLifStates * c.chains())) {}
};

template <class T>
kernels::Measurement<T> measurement(bool given, const T* values, const Case& c) {
  return {given ? values : nullptr, c.measured_steps()};
}

/// The arguments of a forward call on memory of host or device.
template <class T>
kernels::EventPropForwardArgs<T> forward_args(const Case& c, const T* coefficients, const T* input, const T* spikes_in,
                                              const T* membrane_in, T* spikes, T* membrane, T* current, T* saved) {
  return {input,
          {coefficients, c.columns()},
          measurement(c.measured_spikes, spikes_in, c),
          measurement(c.measured_membrane, membrane_in, c),
          spikes,
          membrane,
          current,
          saved,
          c.time,
          c.batch,
          c.neuron};
}

template <class T>
kernels::LifForwardArgs<T> exact_args(const Case& c, const T* coefficients, const T* input, const T* initial,
                                      const T* spikes_in, const T* membrane_in, T* spikes, T* membrane, T* current,
                                      T* saved, T* final_state) {
  return {input,
          {coefficients, c.columns()},
          c.initial_state ? initial : nullptr,
          measurement(c.measured_spikes, spikes_in, c),
          measurement(c.measured_membrane, membrane_in, c),
          spikes,
          membrane,
          current,
          saved,
          final_state,
          c.time,
          c.batch,
          c.neuron};
}

template <class T>
Traces<T> cpu_forward(const Data<T>& d) {
  Traces<T> out(d.test);
  kernels::eventprop_forward(
      CpuExec{},
      forward_args(d.test, d.coefficients.data(), d.input.data(), d.measured_spikes.data(), d.measured_membrane.data(),
                   out.spikes.data(), out.membrane.data(), out.current.data(), out.saved.data()));
  return out;
}

template <class T>
Traces<T> cpu_exact_forward(const Data<T>& d) {
  Traces<T> out(d.test);
  kernels::exact_eventprop_forward(
      CpuExec{}, exact_args(d.test, d.exact_coefficients.data(), d.input.data(), d.initial.data(),
                            d.measured_spikes.data(), d.measured_membrane.data(), out.spikes.data(),
                            out.membrane.data(), out.current.data(), out.saved.data(), out.final_state.data()));
  return out;
}

/// Forward on the device: `exact` chooses the scheme.
template <class T>
void check_forward(const Data<T>& d, const Traces<T>& expected, bool exact) {
  const Case& c = d.test;
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(d.input);
    DeviceArray<T> coefficients(exact ? d.exact_coefficients : d.coefficients);
    DeviceArray<T> initial(d.initial);
    DeviceArray<T> measured_spikes(d.measured_spikes);
    DeviceArray<T> measured_membrane(d.measured_membrane);
    DeviceArray<T> spikes(c.elements(), run.fill);
    DeviceArray<T> membrane(c.elements(), run.fill);
    DeviceArray<T> current(c.elements(), run.fill);
    DeviceArray<T> saved(c.elements(), run.fill);
    DeviceArray<T> final_state(kNumLifStates * c.chains(), run.fill);
    T* const v = c.all_outputs ? membrane.get() : nullptr;
    T* const i = c.all_outputs ? current.get() : nullptr;
    if (exact) {
      kernels::exact_eventprop_forward(
          run.exec, exact_args<T>(c, coefficients.get(), input.get(), initial.get(), measured_spikes.get(),
                                  measured_membrane.get(), spikes.get(), v, i, saved.get(), final_state.get()));
      expect_same_bits(final_state.read(), expected.final_state, "final_state");
    } else {
      kernels::eventprop_forward(run.exec, forward_args<T>(c, coefficients.get(), input.get(), measured_spikes.get(),
                                                           measured_membrane.get(), spikes.get(), v, i, saved.get()));
    }
    expect_same_bits(spikes.read(), expected.spikes, "spikes");
    expect_same_bits(saved.read(), expected.saved, "saved");
    if (c.all_outputs) {
      expect_same_bits(membrane.read(), expected.membrane, "membrane");
      expect_same_bits(current.read(), expected.current, "current");
    }
  });
}

/// `kernel(exec, args)` on the CPU and on the device, with the coefficient table Table.
template <class T, class Table, class Kernel>
void check_backward(const Data<T>& d, const Traces<T>& forward, const std::vector<T>& table, Kernel&& kernel) {
  const Case& c = d.test;
  using Args = kernels::EventPropBackwardArgs<T, Table>;
  std::vector<T> to_input(static_cast<std::size_t>(c.elements()));
  std::vector<T> to_adjoint(to_input.size());
  kernel(CpuExec{}, Args{d.grad_spikes.data(),
                         forward.saved.data(),
                         {table.data(), c.columns()},
                         to_input.data(),
                         c.all_outputs ? to_adjoint.data() : nullptr,
                         c.time,
                         c.batch,
                         c.neuron});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> grad_spikes(d.grad_spikes);
    DeviceArray<T> saved(forward.saved);
    DeviceArray<T> coefficients(table);
    DeviceArray<T> grad_input(c.elements(), run.fill);
    DeviceArray<T> grad_adjoint(c.elements(), run.fill);
    kernel(run.exec, Args{grad_spikes.get(),
                          saved.get(),
                          {coefficients.get(), c.columns()},
                          grad_input.get(),
                          c.all_outputs ? grad_adjoint.get() : nullptr,
                          c.time,
                          c.batch,
                          c.neuron});
    expect_same_bits(grad_input.read(), to_input, "grad_input");
    if (c.all_outputs) {
      expect_same_bits(grad_adjoint.read(), to_adjoint, "grad_adjoint");
    }
  });
}

std::string describe(const Case& c) {
  std::ostringstream out;
  out << "[" << c.time << ", " << c.batch << ", " << c.neuron << "] heterogeneous " << c.heterogeneous << " refractory "
      << c.refractory << " initial " << c.initial_state << " measured " << c.measured_spikes << c.measured_membrane
      << " all outputs " << c.all_outputs;
  return out.str();
}

template <class T>
class EventProp : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(EventProp, Types);

TYPED_TEST(EventProp, ForwardAndBackwardBits) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    SCOPED_TRACE(describe(c));
    const Data<T> data(c);
    const Traces<T> forward = cpu_forward(data);
    check_forward(data, forward, /*exact=*/false);
    check_backward<T, kernels::EventPropTable<T>>(
        data, forward, data.coefficients,
        [](const auto& exec, const auto& args) { kernels::eventprop_backward(exec, args); });
  }
}

TYPED_TEST(EventProp, ExactForwardAndBackwardBits) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    SCOPED_TRACE(describe(c));
    const Data<T> data(c);
    const Traces<T> forward = cpu_exact_forward(data);
    check_forward(data, forward, /*exact=*/true);
    check_backward<T, kernels::CoefficientTable<T>>(
        data, forward, data.exact_coefficients,
        [](const auto& exec, const auto& args) { kernels::exact_eventprop_backward(exec, args); });
  }
}

/// The forward of the exact scheme is that of lif.
TYPED_TEST(EventProp, ExactForwardIsLif) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    SCOPED_TRACE(describe(c));
    const Data<T> d(c);
    const Traces<T> exact = cpu_exact_forward(d);
    Traces<T> lif(c);
    kernels::lif_forward(CpuExec{},
                         exact_args(c, d.exact_coefficients.data(), d.input.data(), d.initial.data(),
                                    d.measured_spikes.data(), d.measured_membrane.data(), lif.spikes.data(),
                                    lif.membrane.data(), lif.current.data(), lif.saved.data(), lif.final_state.data()));
    expect_same_bits(exact.spikes, lif.spikes, "spikes");
    expect_same_bits(exact.membrane, lif.membrane, "membrane");
    expect_same_bits(exact.current, lif.current, "current");
    expect_same_bits(exact.final_state, lif.final_state, "final_state");
  }
}

TYPED_TEST(EventProp, CoefficientBits) {
  using T = TypeParam;
  Numbers numbers(31);
  for (const bool tensors : {false, true}) {
    const std::int64_t neurons = tensors ? 37 : 1;
    const std::vector<T> values = numbers.vector<T>(neurons, 5e-6, 2e-5);
    const auto parameters = [&](const T* data) {
      const kernels::Parameter<T> tau =
          tensors ? kernels::Parameter<T>{data, 1, 0.0, false} : kernels::Parameter<T>{nullptr, 0, 9.7e-6, true};
      const kernels::Parameter<T> number{nullptr, 0, 0.3, true};
      return kernels::NeuronParameters<T>{number, number, number, tau, tau, {}, {}, 1e-6};
    };
    std::vector<T> expected(static_cast<std::size_t>(kNumEventPropCoefficients * neurons));
    kernels::eventprop_coefficients(
        CpuExec{}, kernels::EventPropCoefficientsArgs<T>{parameters(values.data()), expected.data(), neurons});
    for_each_run([&](const KernelRun& run) {
      DeviceArray<T> data(values);
      DeviceArray<T> table(kNumEventPropCoefficients * neurons, run.fill);
      kernels::eventprop_coefficients(
          run.exec, kernels::EventPropCoefficientsArgs<T>{parameters(data.get()), table.get(), neurons});
      expect_same_bits(table.read(), expected, "coefficients");
    });
  }
}

}  // namespace
}  // namespace gradspike::testing
