// Surrogate derivatives of the spike function z = [v > threshold], by name. x = v - threshold, alpha is the steepness.
//
//   superspike     1 / (alpha |x| + 1)^2                           peak 1; Zenke and Ganguli 2018,
//   doi 10.1162/neco_a_01086,
//                                                                  in hxtorch's normalisation
//   fast_sigmoid   (alpha / 2) / (alpha |x| + 1)^2                 derivative of (1 + alpha x / (1 + alpha |x|)) / 2;
//   ibid. sigmoid        alpha s (1 - s), s = 1 / (1 + exp(-alpha x))    derivative of the logistic function; Neftci,
//   Mostafa
//                                                                  and Zenke 2019, doi 10.1109/MSP.2019.2931595
//   arctan         (alpha / 2) / (1 + (pi alpha x / 2)^2)          Fang et al. 2021, doi 10.1109/ICCV48922.2021.00266
//   triangular     alpha max(0, 1 - alpha |x|)                     Bellec et al. 2018, arXiv 1803.09574
//   gaussian       alpha / sqrt(2 pi) exp(-(alpha x)^2 / 2)        Yin, Corradi and Bohte 2021,
//                                                                  doi 10.1038/s42256-021-00397-w
//   box            alpha where |x| <= 1 / (2 alpha), else 0        straight through near the threshold; Wu et al. 2018,
//                                                                  doi 10.3389/fnins.2018.00331
//
// All but superspike have area 1, as the derivative of a step from 0 to 1 has.
#pragma once

#include <cstdint>

#include "csrc/math/arithmetic.h"
#include "csrc/math/exp.h"

namespace gradspike::math {

enum class Surrogate : std::int32_t {
  kSuperspike = 0,
  kFastSigmoid = 1,
  kSigmoid = 2,
  kArctan = 3,
  kTriangular = 4,
  kGaussian = 5,
  kBox = 6,
};

/// Names as users write them, in the order of Surrogate.
constexpr const char* kSurrogateNames[] = {"superspike", "fast_sigmoid", "sigmoid", "arctan",
                                           "triangular", "gaussian",     "box"};
constexpr std::int32_t kNumSurrogates = 7;

/// Gradient to x for the gradient `g` to the spike.
template <Surrogate kSurrogate, class T>
GRADSPIKE_HD T surrogate_gradient(T g, T x, T alpha) {
  const T steep = mul(alpha, absolute(x));
  if constexpr (kSurrogate == Surrogate::kSuperspike || kSurrogate == Surrogate::kFastSigmoid) {
    const T denominator = add(steep, T{1});
    const T numerator = kSurrogate == Surrogate::kSuperspike ? g : mul(g, mul(alpha, T{0.5}));
    return div(numerator, mul(denominator, denominator));
  } else if constexpr (kSurrogate == Surrogate::kSigmoid) {
    const T decay = exponential(-steep);  // even in x, so that the exponential cannot overflow
    const T denominator = add(T{1}, decay);
    return mul(g, mul(alpha, div(decay, mul(denominator, denominator))));
  } else if constexpr (kSurrogate == Surrogate::kArctan) {
    const T scaled = mul(steep, static_cast<T>(1.5707963267948966));
    return div(mul(g, mul(alpha, T{0.5})), add(T{1}, mul(scaled, scaled)));
  } else if constexpr (kSurrogate == Surrogate::kTriangular) {
    const T height = sub(T{1}, steep);
    return height > T{0} ? mul(g, mul(alpha, height)) : T{0};
  } else if constexpr (kSurrogate == Surrogate::kGaussian) {
    const T bell = exponential(mul(mul(steep, steep), T{-0.5}));
    return mul(g, mul(mul(alpha, static_cast<T>(0.3989422804014327)), bell));
  } else {
    return steep <= T{0.5} ? mul(g, alpha) : T{0};
  }
}

/// The same for a surrogate that is known at run time only.
template <class T>
GRADSPIKE_HD T surrogate_gradient(T g, T x, T alpha, Surrogate surrogate) {
  switch (surrogate) {
    case Surrogate::kFastSigmoid:
      return surrogate_gradient<Surrogate::kFastSigmoid>(g, x, alpha);
    case Surrogate::kSigmoid:
      return surrogate_gradient<Surrogate::kSigmoid>(g, x, alpha);
    case Surrogate::kArctan:
      return surrogate_gradient<Surrogate::kArctan>(g, x, alpha);
    case Surrogate::kTriangular:
      return surrogate_gradient<Surrogate::kTriangular>(g, x, alpha);
    case Surrogate::kGaussian:
      return surrogate_gradient<Surrogate::kGaussian>(g, x, alpha);
    case Surrogate::kBox:
      return surrogate_gradient<Surrogate::kBox>(g, x, alpha);
    default:
      return surrogate_gradient<Surrogate::kSuperspike>(g, x, alpha);
  }
}

/// A surrogate as a type, so that loops vectorise over it.
template <Surrogate kSurrogate>
struct SurrogateTag {};

template <Surrogate kSurrogate, class T>
GRADSPIKE_HD T surrogate_gradient(T g, T x, T alpha, SurrogateTag<kSurrogate>) {
  return surrogate_gradient<kSurrogate>(g, x, alpha);
}

/// Calls f(SurrogateTag<surrogate>).
template <class F>
inline void with_surrogate(Surrogate surrogate, F&& f) {
  switch (surrogate) {
    case Surrogate::kSuperspike:
      return f(SurrogateTag<Surrogate::kSuperspike>{});
    case Surrogate::kFastSigmoid:
      return f(SurrogateTag<Surrogate::kFastSigmoid>{});
    case Surrogate::kSigmoid:
      return f(SurrogateTag<Surrogate::kSigmoid>{});
    case Surrogate::kArctan:
      return f(SurrogateTag<Surrogate::kArctan>{});
    case Surrogate::kTriangular:
      return f(SurrogateTag<Surrogate::kTriangular>{});
    case Surrogate::kGaussian:
      return f(SurrogateTag<Surrogate::kGaussian>{});
    case Surrogate::kBox:
      return f(SurrogateTag<Surrogate::kBox>{});
  }
}

}  // namespace gradspike::math
