// What the neuron operators share: parameters as numbers or tensors, coefficient tables, state and trace checks.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include <ATen/ops/sum.h>
#include <c10/core/SymBool.h>

#include "csrc/kernels/lif.h"
#include "ops/execution.h"
#include "ops/names.h"
#include "ops/weights.h"

namespace gradspike::ops {

/// A 0-dim float64 CPU tensor counts as a number: coefficients of numbers are computed in double and rounded once.
inline bool is_number(const at::Tensor& parameter) {
  return parameter.dim() == 0 && parameter.scalar_type() == at::kDouble && parameter.is_cpu();
}

struct NamedParameter {
  const char* name;
  const at::Tensor& tensor;
};

/// Checks of one parameter of `neurons` neurons on the device of `like`.
inline void check_parameter(const char* op, const NamedParameter& p, const at::Tensor& like,
                            const c10::SymInt& neurons) {
  TORCH_CHECK(is_float(p.tensor.scalar_type()), op, ": ", p.name, " must be floating point, got ",
              p.tensor.scalar_type());
  TORCH_CHECK(p.tensor.dim() <= 1, op, ": ", p.name, " must be a number or have 1 dimension [neuron], got ",
              p.tensor.dim(), " dimensions");
  TORCH_CHECK(p.tensor.device() == like.device() || (p.tensor.dim() == 0 && p.tensor.is_cpu()), op, ": ", p.name,
              " must be on the device of input, ", like.device(), ", or a number, got ", p.tensor.device());
  if (p.tensor.dim() == 1) {
    TORCH_SYM_CHECK(p.tensor.sym_size(0).sym_eq(neurons), op, ": ", p.name, " must have one value per neuron, ",
                    neurons, ", got ", p.tensor.sym_size(0));
  }
}

/// Checks of an input [time, batch, neuron] and the parameters of its neurons.
inline void check_neuron_input(const char* op, const at::Tensor& input, double dt,
                               std::initializer_list<NamedParameter> parameters) {
  TORCH_CHECK(is_float(input.scalar_type()), op, ": input must be float32, float64, float16 or bfloat16, got ",
              input.scalar_type());
  TORCH_CHECK(input.dim() == 3, op, ": input must have 3 dimensions [time, batch, neuron], got ", input.dim());
  TORCH_CHECK(std::isfinite(dt) && dt > 0.0, op, ": dt must be finite and > 0, got ", dt);
  for (const NamedParameter& parameter : parameters) {
    check_parameter(op, parameter, input, input.sym_size(2));
  }
}

/// Checks of an optional tensor that has the shape, device and kind of another.
inline void check_like(const char* op, const char* name, const std::optional<at::Tensor>& tensor,
                       const at::Tensor& input, c10::SymIntArrayRef sizes, const char* shape) {
  if (!is_given(tensor)) {
    return;
  }
  TORCH_CHECK(is_float(tensor->scalar_type()), op, ": ", name, " must be floating point, got ", tensor->scalar_type());
  TORCH_CHECK(tensor->device() == input.device(), op, ": ", name, " must be on the device of input, ", input.device(),
              ", got ", tensor->device());
  TORCH_CHECK(tensor->dim() == static_cast<std::int64_t>(sizes.size()), op, ": ", name, " must have shape ", shape, " ",
              sizes, ", got ", tensor->sym_sizes());
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    TORCH_SYM_CHECK(tensor->sym_size(static_cast<std::int64_t>(d)).sym_eq(sizes[d]), op, ": ", name,
                    " must have shape ", shape, " ", sizes, ", got ", tensor->sym_sizes());
  }
}

/// Checks of an optional measurement: [steps, batch, neuron] with at most as many steps as the run, whose sizes are
/// `trace`.
inline void check_measurement(const char* op, const char* name, const std::optional<at::Tensor>& tensor,
                              const at::Tensor& input, c10::SymIntArrayRef trace) {
  if (!is_given(tensor)) {
    return;
  }
  TORCH_CHECK(tensor->dim() == 3, op, ": ", name, " must have 3 dimensions [steps, batch, neuron], got ",
              tensor->dim());
  check_like(op, name, tensor, input, {tensor->sym_size(0), trace[1], trace[2]}, "[steps, batch, neuron]");
  TORCH_SYM_CHECK(tensor->sym_size(0).sym_le(trace[0]), op, ": ", name, " must not have more time steps than the run, ",
                  trace[0], ", got ", tensor->sym_size(0));
}

/// The same for neurons whose input has the sizes of a trace.
inline void check_measurement(const char* op, const char* name, const std::optional<at::Tensor>& tensor,
                              const at::Tensor& input) {
  check_measurement(op, name, tensor, input, input.sym_sizes());
}

inline void check_surrogate(const char* op, std::string_view surrogate, double alpha) {
  parse_surrogate(op, surrogate);
  TORCH_CHECK(std::isfinite(alpha) && alpha >= 0.0, op, ": alpha must be finite and >= 0, got ", alpha);
}

/// Steps between the states that a backward starts again from; 0 for none. The limit keeps sums of steps in range.
inline void check_recompute_every(const char* op, std::int64_t recompute_every) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 31;
  TORCH_CHECK(recompute_every >= 0 && recompute_every < kLimit, op,
              ": recompute_every must be a number of steps >= 0 and < 2^31, got ", recompute_every);
}

/// The number of checkpoints of a run.
inline c10::SymInt num_checkpoints(const c10::SymInt& time, std::int64_t recompute_every) {
  return (time + (recompute_every - 1)) / recompute_every;
}

/// No more than the run has: longer segments would only take more scratch memory.
inline std::int64_t segment_steps(std::int64_t recompute_every, std::int64_t time) {
  return recompute_every == 0 ? 0 : std::min(recompute_every, std::max<std::int64_t>(1, time));
}

/// Tensors that a forward operator made: float32 or float64.
inline void check_arithmetic(const char* op, const char* name, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.scalar_type() == arithmetic_type(tensor.scalar_type()), op, ": ", name,
              " must be float32 or float64, got ", tensor.scalar_type());
}

/// Checks of a coefficient table [rows, 1 or neuron] of a type, on the device of `input`.
inline void check_coefficients(const char* op, const at::Tensor& coefficients, at::ScalarType type,
                               const at::Tensor& input, c10::SymInt neurons, std::int64_t rows) {
  TORCH_CHECK(coefficients.dim() == 2 && coefficients.scalar_type() == type &&
                  coefficients.device() == input.device() && coefficients.sym_size(0) == rows,
              op, ": coefficients must have shape [", rows, ", 1 or neuron], dtype ", type,
              " and the device of the trace, got ", coefficients.sym_sizes(), " ", coefficients.scalar_type());
  TORCH_SYM_CHECK(coefficients.sym_size(1).sym_eq(1).sym_or(coefficients.sym_size(1).sym_eq(neurons)), op,
                  ": coefficients must have 1 or ", neurons, " columns, got ", coefficients.sym_size(1));
}

/// The same for a table in the arithmetic of `input` [time, batch, neuron].
inline void check_coefficients(const char* op, const at::Tensor& coefficients, const at::Tensor& input,
                               c10::SymInt neurons, std::int64_t rows) {
  check_coefficients(op, coefficients, arithmetic_type(input.scalar_type()), input, std::move(neurons), rows);
}

/// Number of columns of the coefficient table: 1 where every parameter is the same for all neurons.
inline c10::SymInt coefficient_columns(const c10::SymInt& neurons, std::initializer_list<NamedParameter> parameters) {
  for (const NamedParameter& p : parameters) {
    if (p.tensor.dim() == 1) {
      return neurons;
    }
  }
  return 1;
}
inline c10::SymInt coefficient_columns(const at::Tensor& input, std::initializer_list<NamedParameter> parameters) {
  return coefficient_columns(input.sym_size(2), parameters);
}

/// A parameter as the kernels take it, with the tensor that keeps its memory alive.
template <class T>
struct HeldParameter {
  at::Tensor held;
  kernels::Parameter<T> parameter;
};

enum class Range { kFinite, kPositive, kNotNegative };

/// Numbers are checked; the values of tensors are not read, which on a device would need a synchronisation.
inline void check_range(const char* op, const char* name, double x, Range range) {
  const bool holds = range == Range::kFinite || x > 0.0 || (range == Range::kNotNegative && x == 0.0);
  const char* requirement = range == Range::kFinite ? "" : (range == Range::kPositive ? " and > 0" : " and >= 0");
  TORCH_CHECK(std::isfinite(x) && holds, op, ": ", name, " must be finite", requirement, ", got ", x);
}

template <class T>
HeldParameter<T> read_parameter(const char* op, const char* name, const at::Tensor& tensor, const at::Tensor& like,
                                Range range) {
  HeldParameter<T> read;
  if (is_number(tensor)) {
    read.parameter.number = *tensor.const_data_ptr<double>();
    check_range(op, name, read.parameter.number, range);
    return read;
  }
  read.held = tensor.to(like.options()).contiguous();
  read.parameter = {read.held.template const_data_ptr<T>(), tensor.dim(), 0.0, false};
  return read;
}

inline at::Tensor optional_to(const std::optional<at::Tensor>& tensor, at::ScalarType type) {
  return is_given(tensor) ? tensor->to(type).contiguous() : at::Tensor();
}

/// A measurement as the kernels take it, from a contiguous tensor or an undefined one.
template <class T>
kernels::Measurement<T> measurement(const at::Tensor& tensor) {
  return tensor.defined() ? kernels::Measurement<T>(tensor.const_data_ptr<T>(), tensor.size(0))
                          : kernels::Measurement<T>();
}

/// A trace that was asked for, or an empty tensor.
inline at::Tensor trace(bool asked, const at::Tensor& input) {
  return asked ? empty_result(input.sizes(), input.options()) : at::empty({0}, input.options());
}

/// Whether a gradient mask asks for a parameter: they stand between the input, first, and the initial state, last.
template <std::size_t N>
bool wants_parameters(const std::array<bool, N>& mask) {
  return std::any_of(mask.begin() + 1, mask.end() - 1, [](bool wanted) { return wanted; });
}

/// dL/dparameter from the double sums [parameter, neuron], in the shape, dtype and device of the parameter.
inline at::Tensor parameter_gradient(const at::Tensor& sums, std::int64_t row, const at::Tensor& parameter) {
  const at::Tensor per_neuron = sums.select(0, row);
  return (parameter.dim() == 0 ? per_neuron.sum() : per_neuron).to(parameter.options());
}

}  // namespace gradspike::ops
