// Arithmetic whose every operation is rounded on its own, on host and device alike.
//
// nvcc and g++ may contract a*b+c into one fused operation, which rounds once instead of twice and so changes spikes.
// The build switches that off (-fmad=false, -ffp-contract=off); the device intrinsics here make it impossible.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "csrc/core/host_device.h"

namespace gradspike::math {

GRADSPIKE_HD float mul(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
GRADSPIKE_HD double mul(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}
GRADSPIKE_HD float add(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
GRADSPIKE_HD double add(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dadd_rn(a, b);
#else
  return a + b;
#endif
}
GRADSPIKE_HD float sub(float a, float b) { return add(a, -b); }
GRADSPIKE_HD double sub(double a, double b) { return add(a, -b); }
GRADSPIKE_HD float div(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
GRADSPIKE_HD double div(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __ddiv_rn(a, b);
#else
  return a / b;
#endif
}

GRADSPIKE_HD float absolute(float x) { return fabsf(x); }
GRADSPIKE_HD double absolute(double x) { return fabs(x); }

template <class T>
GRADSPIKE_HD bool is_nan(T x) {
  return x != x;
}

}  // namespace gradspike::math
