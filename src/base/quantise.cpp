// A block's scale and minimum are chosen so that the squared error is small, not so that the extremes fit. Given the
// codes, the best scale and minimum follow by least squares; so sixteen guesses at a time, one a vector lane, are
// turned into codes and judged by what the squares then give, and the best is the middle of the next sixteen. Scales of
// sub-blocks, whole numbers of a few bits themselves, are chosen last, again sixteen neighbours at a time.
//
// The loops are plain; they are compiled once for each width of vectors. Nothing in them depends on the width, and no
// product is fused with a sum (-ffp-contract=off), so all of them give the same bytes.
#include "base/quantise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace lancet {
namespace {

constexpr int kLanes = 16;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

// Everything below is inlined into the functions that are compiled for one kind of vector each.
#define LANCET_INLINE [[gnu::always_inline]] inline

constexpr float kHuge = 3e38f;
constexpr float kNothing = 1e-20f;  // magnitudes below are zero: no half-precision scale is that small
constexpr float kMostHalf = 65504.0f;

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

/// x = scale * code + low, code from 0 to top.
struct Affine {
  float scale, low;
};

/// What a guess comes to once its codes are known: the best scale and low for them, and the squared error.
struct AffineGuesses {
  Lanes inverse, low;  // before; low after as well
  Lanes scale, error;  // after
};

template <int n>
LANCET_INLINE void judge(const float* x, float sum, float squares, float top, bool low_is_negative, AffineGuesses& g) {
  Lanes q{}, qq{}, xq{};
  for (int i = 0; i < n; i++) {
    Lanes code = (x[i] - g.low) * g.inverse;
    nearest(code, 0.0f, top);
    q += code;
    qq += code * code;
    xq += x[i] * code;
  }
  constexpr float kCount = n;
  const Lanes determinant = kCount * qq - q * q;
  const Lanes with_low = (kCount * xq - sum * q) / determinant, without = xq / qq;
  const Lanes low = (qq * sum - q * xq) / determinant;
  const auto fixed = low_is_negative ? low > 0.0f : low > kHuge;
  g.low = fixed ? Lanes{} : low;
  g.scale = fixed ? without : with_low;
  g.error = squares + g.scale * (g.scale * qq - 2.0f * xq + 2.0f * g.low * q) + g.low * (kCount * g.low - 2.0f * sum);
  g.error = g.scale > 0.0f ? g.error : kHuge - Lanes{};
}

template <int n>
LANCET_INLINE Affine fit_affine(const float* x, float top, bool low_is_negative) {
  float least = low_is_negative ? std::fmin(x[0], 0.0f) : x[0], most = x[0], sum = 0, squares = 0;
  for (int i = 0; i < n; i++) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
    sum += x[i];
    squares += x[i] * x[i];
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
    judge<n>(x, sum, squares, top, low_is_negative, g);
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
template <int n>
LANCET_INLINE void errors_of(const float* x, const Lanes& scale, const Lanes& low, float first, float last,
                             Lanes& error) {
  const Lanes inverse = scale != 0.0f ? 1.0f / scale : Lanes{};
  error = Lanes{};
  for (int i = 0; i < n; i++) {
    Lanes code = (x[i] - low) * inverse;
    nearest(code, first, last);
    const Lanes miss = (scale * code + low) - x[i];
    error += miss * miss;
  }
}

template <int n>
LANCET_INLINE void codes_of(const float* x, float scale, float low, float first, float last, float* codes) {
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  for (int i = 0; i < n; i++) codes[i] = nearest((x[i] - low) * inverse, first, last);
}

/// x = scale * code, code from first to last (of which -first is the greater). Both signs of the scale are tried.
template <int n>
LANCET_INLINE float fit_symmetric(const float* x, float first, float last) {
  float most = 0, squares = 0;
  for (int i = 0; i < n; i++) {
    const float size = std::fabs(x[i]);
    most = size > most ? size : most;
    squares += x[i] * x[i];
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
      qq += code * code;
      xq += x[i] * code;
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

/// half scale; 32 signed bytes. The scale is the greatest magnitude / 127, as everybody's.
LANCET_INLINE void encode_q8_0(const float* x, std::byte* to) {
  using Codes = int8_t __attribute__((vector_size(kLanes)));
  Lanes halves[2], size{};
  std::memcpy(halves, x, sizeof halves);
  for (const Lanes& half : halves) {
    const Lanes magnitude = half < 0.0f ? -half : half;
    size = magnitude > size ? magnitude : size;
  }
  float most = 0;
  for (int i = 0; i < kLanes; i++) most = size[i] > most ? size[i] : most;
  const float scale = most / 127.0f, inverse = scale > 0 ? 1.0f / scale : 0.0f;
  put_half(scale, to);
  for (int half = 0; half < 2; half++) {
    Lanes codes = halves[half] * inverse;
    nearest(codes, -127.0f, 127.0f);
    const Codes bytes = __builtin_convertvector(codes, Codes);
    std::memcpy(to + 2 + half * kLanes, &bytes, sizeof bytes);
  }
}

LANCET_INLINE void put_nibbles_of_32(const float* codes, std::byte* to) {
  for (int i = 0; i < 16; i++) to[i] = byte_of(static_cast<int>(codes[i]) | static_cast<int>(codes[i + 16]) << 4);
}

LANCET_INLINE void encode_q4_0(const float* x, std::byte* to) {
  const float scale = as_half(fit_symmetric<32>(x, -8.0f, 7.0f));
  float codes[32];
  codes_of<32>(x, scale, 0.0f, -8.0f, 7.0f, codes);
  for (float& code : codes) code += 8.0f;
  put_half(scale, to);
  put_nibbles_of_32(codes, to + 2);
}

LANCET_INLINE void encode_q4_1(const float* x, std::byte* to) {
  const Affine fit = fit_affine<32>(x, 15.0f, false);
  const float scale = as_half(fit.scale), low = as_half(fit.low);
  float codes[32];
  codes_of<32>(x, scale, low, 0.0f, 15.0f, codes);
  put_half(scale, to);
  put_half(low, to + 2);
  put_nibbles_of_32(codes, to + 4);
}

/// The parts of a q4_k or q5_k block: x = scale * scales[j] * code - minimum * minima[j] in sub-block j.
struct KBlock {
  float scale, minimum;
  float scales[8], minima[8];  // 0 to 63
  float codes[256];
  float error;
};

/// Chooses 6-bit scales and minima near the fits, then codes, for the scale and minimum of the block.
LANCET_INLINE void choose_k(const float* x, const Affine* fits, float top, KBlock& block) {
  block.error = 0;
  for (int j = 0; j < 8; j++) {
    const float middle = block.scale > 0 ? nearest(fits[j].scale / block.scale, 0.0f, 63.0f) : 0.0f;
    const float lowest = block.minimum > 0 ? nearest(-fits[j].low / block.minimum, 0.0f, 63.0f) : 0.0f;
    Lanes scales, minima, error;
    for (int i = 0; i < kLanes; i++) {
      scales[i] = nearest(middle + static_cast<float>(i / 5 - 1), 0.0f, 63.0f);
      minima[i] = nearest(lowest + static_cast<float>(i % 5 - 2), 0.0f, 63.0f);
    }
    errors_of<32>(x + 32 * j, block.scale * scales, -(block.minimum * minima), 0.0f, top, error);
    const int at = smallest(error);
    block.scales[j] = scales[at];
    block.minima[j] = minima[at];
    block.error += error[at];
    codes_of<32>(x + 32 * j, block.scale * scales[at], -(block.minimum * minima[at]), 0.0f, top, block.codes + 32 * j);
  }
}

/// The block's scale and minimum that suit its codes best; false if there is no better than what it has.
LANCET_INLINE bool refit_k(const float* x, KBlock& block) {
  float aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;  // of a = scale code, b = -minimum
  for (int j = 0; j < 8; j++) {
    float q = 0, qq = 0, xq = 0, sum = 0;
    for (int i = 32 * j; i < 32 * j + 32; i++) {
      q += block.codes[i];
      qq += block.codes[i] * block.codes[i];
      xq += x[i] * block.codes[i];
      sum += x[i];
    }
    const float s = block.scales[j], m = block.minima[j];
    aa += s * s * qq;
    ab -= s * m * q;
    bb += 32.0f * m * m;
    ax += s * xq;
    bx -= m * sum;
  }
  const float determinant = aa * bb - ab * ab;
  if (!(determinant > 0)) return false;
  const float scale = as_half((ax * bb - bx * ab) / determinant), minimum = as_half((bx * aa - ax * ab) / determinant);
  if (!(scale > 0) || !(minimum > 0)) return false;
  block.scale = scale;
  block.minimum = minimum;
  return true;
}

LANCET_INLINE void fit_k(const float* x, float top, KBlock& block) {
  Affine fits[8];
  float scale = 0, minimum = 0;
  for (int j = 0; j < 8; j++) {
    fits[j] = fit_affine<32>(x + 32 * j, top, true);
    scale = std::fmax(scale, fits[j].scale);
    minimum = std::fmax(minimum, -fits[j].low);
  }
  block.scale = as_half(scale / 63.0f);
  block.minimum = as_half(minimum / 63.0f);
  choose_k(x, fits, top, block);
  KBlock other = block;
  if (!refit_k(x, other)) return;
  choose_k(x, fits, top, other);
  if (other.error < block.error) block = other;
}

/// half scale, minimum; 12 bytes of packed scales and minima (format_blocks.cpp, scale_minimum).
LANCET_INLINE void put_k_head(const KBlock& block, std::byte* to) {
  put_half(block.scale, to);
  put_half(block.minimum, to + 2);
  int s[8], m[8];
  for (int j = 0; j < 8; j++) s[j] = static_cast<int>(block.scales[j]), m[j] = static_cast<int>(block.minima[j]);
  for (int j = 0; j < 4; j++) {
    to[4 + j] = byte_of(s[j] | s[j + 4] >> 4 << 6);
    to[8 + j] = byte_of(m[j] | m[j + 4] >> 4 << 6);
    to[12 + j] = byte_of((s[j + 4] & 15) | (m[j + 4] & 15) << 4);
  }
}

LANCET_INLINE void put_k_nibbles(const KBlock& block, std::byte* to) {
  for (int pair = 0; pair < 4; pair++) {
    for (int i = 0; i < 32; i++) {
      const int low = static_cast<int>(block.codes[64 * pair + i]) & 15;
      const int high = static_cast<int>(block.codes[64 * pair + 32 + i]) & 15;
      to[32 * pair + i] = byte_of(low | high << 4);
    }
  }
}

LANCET_INLINE void encode_q4_k(const float* x, std::byte* to) {
  KBlock block;
  fit_k(x, 15.0f, block);
  put_k_head(block, to);
  put_k_nibbles(block, to + 16);
}

LANCET_INLINE void encode_q5_k(const float* x, std::byte* to) {
  KBlock block;
  fit_k(x, 31.0f, block);
  put_k_head(block, to);
  for (int i = 0; i < 32; i++) {
    int bits = 0;
    for (int j = 0; j < 8; j++) bits |= (static_cast<int>(block.codes[32 * j + i]) >> 4 & 1) << j;
    to[16 + i] = byte_of(bits);
  }
  put_k_nibbles(block, to + 48);
}

/// 16 groups of 16: x = scale * scales[j] * code, code from -32 to 31, scales from -128 to 127.
LANCET_INLINE void encode_q6_k(const float* x, std::byte* to) {
  float fits[16], greatest = 0;
  for (int j = 0; j < 16; j++) {
    fits[j] = fit_symmetric<16>(x + 16 * j, -32.0f, 31.0f);
    greatest = std::fabs(fits[j]) > std::fabs(greatest) ? fits[j] : greatest;
  }
  const float scale = as_half(greatest / -128.0f);
  put_half(scale, to + 208);
  int codes[256];
  for (int j = 0; j < 16; j++) {
    const float middle = scale != 0 ? nearest(fits[j] / scale, -128.0f, 127.0f) : 0.0f;
    Lanes scales, error;
    for (int i = 0; i < kLanes; i++) scales[i] = nearest(middle + static_cast<float>(i - 8), -128.0f, 127.0f);
    errors_of<16>(x + 16 * j, scale * scales, Lanes{}, -32.0f, 31.0f, error);
    const float chosen = scales[smallest(error)];
    float group[16];
    codes_of<16>(x + 16 * j, scale * chosen, 0.0f, -32.0f, 31.0f, group);
    to[192 + j] = byte_of(static_cast<int>(chosen));
    for (int i = 0; i < 16; i++) codes[16 * j + i] = static_cast<int>(group[i]) + 32;
  }
  for (int half = 0; half < 2; half++) {
    const int* from = codes + 128 * half;
    for (int i = 0; i < 64; i++) to[64 * half + i] = byte_of((from[i] & 15) | (from[64 + i] & 15) << 4);
    for (int i = 0; i < 32; i++) {
      to[128 + 32 * half + i] =
          byte_of(from[i] >> 4 | from[32 + i] >> 4 << 2 | from[64 + i] >> 4 << 4 | from[96 + i] >> 4 << 6);
    }
  }
}

template <void (*encode)(const float*, std::byte*), int values, int bytes>
LANCET_INLINE void encode_blocks(const float* from, int64_t cols, std::byte* to) {
  for (int64_t at = 0; at < cols; at += values, to += bytes) {
    float x[values];
    for (int i = 0; i < values; i += kLanes) {
      Lanes part;
      std::memcpy(&part, from + at + i, sizeof part);
      const Lanes size = part < 0.0f ? -part : part;
      part = size > kNothing ? part : Lanes{};  // NaN compares false
      part = size > kHuge ? Lanes{} : part;
      std::memcpy(x + i, &part, sizeof part);
    }
    encode(x, to);
  }
}

LANCET_INLINE void encode_row(Format format, const float* values, int64_t cols, std::byte* to) {
  switch (format) {
    case Format::q4_0: return encode_blocks<encode_q4_0, 32, 18>(values, cols, to);
    case Format::q4_1: return encode_blocks<encode_q4_1, 32, 20>(values, cols, to);
    case Format::q8_0: return encode_blocks<encode_q8_0, 32, 34>(values, cols, to);
    case Format::q4_k: return encode_blocks<encode_q4_k, 256, 144>(values, cols, to);
    case Format::q5_k: return encode_blocks<encode_q5_k, 256, 176>(values, cols, to);
    case Format::q6_k: return encode_blocks<encode_q6_k, 256, 210>(values, cols, to);
    default: CHECK(false);
  }
}

void encode_row_any(Format format, const float* values, int64_t cols, std::byte* to) {
  encode_row(format, values, cols, to);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void encode_row_avx2(Format format, const float* values, int64_t cols, std::byte* to) {
  encode_row(format, values, cols, to);
}
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] void encode_row_avx512(Format format, const float* values,
                                                                             int64_t cols, std::byte* to) {
  encode_row(format, values, cols, to);
}
#endif

using EncodeRow = void (*)(Format, const float*, int64_t, std::byte*);

EncodeRow best_encoder() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return encode_row_avx512;
  if (__builtin_cpu_supports("avx2")) return encode_row_avx2;
#endif
  return encode_row_any;
}

}  // namespace

bool can_quantise(Format format) {
  switch (format) {
    case Format::q4_0:
    case Format::q4_1:
    case Format::q8_0:
    case Format::q4_k:
    case Format::q5_k:
    case Format::q6_k: return true;
    default: return false;
  }
}

void quantise_row(Format format, const float* values, int64_t cols, std::byte* to) {
  CHECK(can_quantise(format) && cols % format_info(format).block_values == 0);
  static const EncodeRow encode = best_encoder();
  encode(format, values, cols, to);
}

}  // namespace lancet
