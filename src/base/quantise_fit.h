// How a block's scale and minimum are found, for quantise.cpp. They are chosen so that the squared error is small, not
// so that the extremes fit. Given the codes, the best scale and minimum follow by least squares; so sixteen guesses at
// a time, one a vector lane, are turned into codes and judged by what the squares then give, and the best is the middle
// of the next sixteen.
//
// Squares may be weighted by column. A weight of one costs nothing and changes no bit: it is a constant (EqualWeights).
//
// The loops are plain; they are compiled once for each width of vectors. Nothing in them depends on the width, and no
// product is fused with a sum (-ffp-contract=off), so all of them give the same bytes.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/format.h"

namespace lancet::quantising {

inline constexpr int kLanes = 16;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

// Everything below is inlined into the functions that are compiled for one kind of vector each.
#define LANCET_INLINE [[gnu::always_inline]] inline

inline constexpr float kHuge = 3e38f;
inline constexpr float kNothing = 1e-20f;  // magnitudes below are zero: no half-precision scale is that small
inline constexpr float kMostHalf = 65504.0f;

/// To the nearest whole number, halves to even; |x| < 2^22.
LANCET_INLINE float nearest(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: its last bit is worth 1
  return (x + kShift) - kShift;
}
LANCET_INLINE float nearest(float x, float low, float high) {
  x = x < low ? low : x;
  return nearest(x > high ? high : x);
}
LANCET_INLINE void nearest(Lanes& x, float low, float high) {
  constexpr float kShift = 12582912.0f;
  x = x < low ? low - Lanes{} : x;
  x = x > high ? high - Lanes{} : x;
  x = (x + kShift) - kShift;
}

/// The number as half precision keeps it; finite.
LANCET_INLINE uint16_t half_bits(float value) {
  return f16_from_f32(std::fmin(std::fmax(value, -kMostHalf), kMostHalf));
}
LANCET_INLINE float as_half(float value) { return f32_from_f16(half_bits(value)); }
LANCET_INLINE void put_half(float value, std::byte* to) {
  const uint16_t bits = half_bits(value);
  std::memcpy(to, &bits, sizeof bits);
}

LANCET_INLINE std::byte byte_of(int value) { return static_cast<std::byte>(value & 255); }

/// The lane with the smallest number; NaN is never smallest.
LANCET_INLINE int smallest(const Lanes& x) {
  int at = 0;
  float least = kHuge;
  for (int i = 0; i < kLanes; i++) {
    if (x[i] < least) least = x[i], at = i;
  }
  return at;
}

/// What a column's squared error counts.
struct EqualWeights {
  constexpr float operator[](int) const { return 1.0f; }
  constexpr EqualWeights operator+(int) const { return {}; }
};
struct ColumnWeights {
  const float* values;
  float operator[](int i) const { return values[i]; }
  ColumnWeights operator+(int columns) const { return {values + columns}; }
};

/// Weighted sums over a block.
struct Sums {
  float count = 0, x = 0, xx = 0;
};
template <int n, typename Weights>
LANCET_INLINE Sums sums_of(const float* x, Weights weights) {
  Sums sums;
  for (int i = 0; i < n; i++) {
    sums.count += weights[i];
    sums.x += weights[i] * x[i];
    sums.xx += weights[i] * x[i] * x[i];
  }
  return sums;
}

/// x = scale * code + low, code from 0 to top.
struct Affine {
  float scale, low;
};

/// What a guess comes to once its codes are known: the best scale and low for them, and the squared error.
struct AffineGuesses {
  Lanes inverse, low;  // before; low after as well
  Lanes scale, error;  // after
};

template <int n, typename Weights>
LANCET_INLINE void judge(const float* x, Weights weights, const Sums& sums, float top, bool low_is_negative,
                         AffineGuesses& g) {
  Lanes q{}, qq{}, xq{};
  for (int i = 0; i < n; i++) {
    Lanes code = (x[i] - g.low) * g.inverse;
    nearest(code, 0.0f, top);
    const Lanes weighted = weights[i] * code;
    q += weighted;
    qq += weighted * code;
    xq += x[i] * weighted;
  }
  const Lanes determinant = sums.count * qq - q * q;
  const Lanes with_low = (sums.count * xq - sums.x * q) / determinant, without = xq / qq;
  const Lanes low = (qq * sums.x - q * xq) / determinant;
  const auto fixed = low_is_negative ? low > 0.0f : low > kHuge;
  g.low = fixed ? Lanes{} : low;
  g.scale = fixed ? without : with_low;
  g.error =
      sums.xx + g.scale * (g.scale * qq - 2.0f * xq + 2.0f * g.low * q) + g.low * (sums.count * g.low - 2.0f * sums.x);
  g.error = g.scale > 0.0f ? g.error : kHuge - Lanes{};
}

template <int n, typename Weights>
LANCET_INLINE Affine fit_affine(const float* x, Weights weights, float top, bool low_is_negative) {
  const Sums sums = sums_of<n>(x, weights);
  float least = low_is_negative ? std::fmin(x[0], 0.0f) : x[0], most = x[0];
  for (int i = 0; i < n; i++) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  const float range = most - least;
  if (!(range > kNothing) || !(range < kHuge)) return {0.0f, least};
  Affine best{range / top, least};
  AffineGuesses g;
  for (int i = 0; i < kLanes; i++) {
    constexpr float kFrom = -1.2f, kStep = 0.15f;  // codes that the range is stretched by
    g.inverse[i] = (top + kFrom + kStep * static_cast<float>(i)) / range;
    g.low[i] = least;
  }
  float error = kHuge;
  for (int round = 0; round < 2; round++) {
    judge<n>(x, weights, sums, top, low_is_negative, g);
    const int at = smallest(g.error);
    if (!(g.error[at] < error)) break;
    error = g.error[at];
    best = {g.scale[at], g.low[at]};
    for (int i = 0; i < kLanes; i++) {                            // 4 x 4 around the best
      constexpr float kStretch[4] = {-0.25f, 0.0f, 0.25f, 0.5f};  // codes at the upper end
      const float shift = 0.2f * static_cast<float>(i % 4 - 1);   // codes at the lower end
      g.inverse[i] = (1.0f + kStretch[i / 4] / top) / best.scale;
      g.low[i] = best.low + shift * best.scale;
      if (low_is_negative && g.low[i] > 0.0f) g.low[i] = 0.0f;
    }
  }
  return best;
}

/// Squared errors if codes are chosen for these scales and lows.
template <int n, typename Weights>
LANCET_INLINE void errors_of(const float* x, Weights weights, const Lanes& scale, const Lanes& low, float first,
                             float last, Lanes& error) {
  const Lanes inverse = scale != 0.0f ? 1.0f / scale : Lanes{};
  error = Lanes{};
  for (int i = 0; i < n; i++) {
    Lanes code = (x[i] - low) * inverse;
    nearest(code, first, last);
    const Lanes miss = (scale * code + low) - x[i];
    error += weights[i] * miss * miss;
  }
}

template <int n>
LANCET_INLINE void codes_of(const float* x, float scale, float low, float first, float last, float* codes) {
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  for (int i = 0; i < n; i++) codes[i] = nearest((x[i] - low) * inverse, first, last);
}

/// x = scale * code, code from first to last (of which -first is the greater). Both signs of the scale are tried.
template <int n, typename Weights>
LANCET_INLINE float fit_symmetric(const float* x, Weights weights, float first, float last) {
  const float squares = sums_of<n>(x, weights).xx;
  float most = 0;
  for (int i = 0; i < n; i++) {
    const float size = std::fabs(x[i]);
    most = size > most ? size : most;
  }
  if (!(most > kNothing)) return 0.0f;
  Lanes inverse, scale, error;
  for (int i = 0; i < kLanes; i++) {
    constexpr float kFrom = 0.9f, kStep = 0.18f;  // codes that the range is cut by
    const float size = -first + kFrom - kStep * static_cast<float>(i / 2 + 1);
    inverse[i] = (i % 2 == 0 ? -size : size) / most;
  }
  float best = most / first, least = kHuge;
  for (int round = 0; round < 2; round++) {
    Lanes qq{}, xq{};
    for (int i = 0; i < n; i++) {
      Lanes code = x[i] * inverse;
      nearest(code, first, last);
      const Lanes weighted = weights[i] * code;
      qq += weighted * code;
      xq += x[i] * weighted;
    }
    scale = xq / qq;
    error = squares - scale * xq;
    const int at = smallest(error);
    if (!(error[at] < least)) break;
    least = error[at];
    best = scale[at];
    for (int i = 0; i < kLanes; i++) inverse[i] = (1.0f + 0.008f * static_cast<float>(i - 7)) / best;
  }
  return best;
}

}  // namespace lancet::quantising
