// Blocks from numbers: the fits of quantise_fit.h, then the whole numbers that groups inside a block are scaled by,
// sixteen neighbours at a time, then the packing of each format (format_blocks.cpp defines it).
#include "base/quantise.h"

#include "base/check.h"
#include "base/quantise_fit.h"

namespace lancet {
namespace {
using namespace quantising;

/// half scale; 32 signed bytes. The scale is the greatest magnitude / 127, as everybody's.
template <typename Weights>
LANCET_INLINE void encode_q8_0(const float* x, Weights, std::byte* to) {
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

/// The low four bits of 32 codes.
LANCET_INLINE void put_nibbles_of_32(const float* codes, std::byte* to) {
  for (int i = 0; i < 16; i++)
    to[i] = byte_of((static_cast<int>(codes[i]) & 15) | (static_cast<int>(codes[i + 16]) & 15) << 4);
}

/// The fifth bits of 32 codes.
LANCET_INLINE void put_fifths_of_32(const float* codes, std::byte* to) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; i++) bits |= (static_cast<uint32_t>(codes[i]) >> 4 & 1u) << i;
  std::memcpy(to, &bits, sizeof bits);
}

/// half scale; codes from 0, of which the middle is zero. `size`: half of the number of codes.
template <typename Weights>
LANCET_INLINE void symmetric_of_32(const float* x, Weights weights, float size, float* codes, std::byte* to) {
  const float scale = as_half(fit_symmetric<32>(x, weights, -size, size - 1.0f));
  codes_of<32>(x, scale, 0.0f, -size, size - 1.0f, codes);
  for (int i = 0; i < 32; i++) codes[i] += size;
  put_half(scale, to);
}

/// half scale, minimum; codes from 0 to top.
template <typename Weights>
LANCET_INLINE void affine_of_32(const float* x, Weights weights, float top, float* codes, std::byte* to) {
  const Affine fit = fit_affine<32>(x, weights, top, false);
  const float scale = as_half(fit.scale), low = as_half(fit.low);
  codes_of<32>(x, scale, low, 0.0f, top, codes);
  put_half(scale, to);
  put_half(low, to + 2);
}

template <typename Weights>
LANCET_INLINE void encode_q4_0(const float* x, Weights weights, std::byte* to) {
  float codes[32];
  symmetric_of_32(x, weights, 8.0f, codes, to);
  put_nibbles_of_32(codes, to + 2);
}

template <typename Weights>
LANCET_INLINE void encode_q4_1(const float* x, Weights weights, std::byte* to) {
  float codes[32];
  affine_of_32(x, weights, 15.0f, codes, to);
  put_nibbles_of_32(codes, to + 4);
}

template <typename Weights>
LANCET_INLINE void encode_q5_0(const float* x, Weights weights, std::byte* to) {
  float codes[32];
  symmetric_of_32(x, weights, 16.0f, codes, to);
  put_fifths_of_32(codes, to + 2);
  put_nibbles_of_32(codes, to + 6);
}

template <typename Weights>
LANCET_INLINE void encode_q5_1(const float* x, Weights weights, std::byte* to) {
  float codes[32];
  affine_of_32(x, weights, 31.0f, codes, to);
  put_fifths_of_32(codes, to + 4);
  put_nibbles_of_32(codes, to + 8);
}

/// The parts of a q2_k, q4_k or q5_k block of 256: x = scale * scales[j] * code - minimum * minima[j] in group j.
template <int groups>
struct KBlock {
  float scale, minimum;
  float scales[groups], minima[groups];  // whole numbers
  float codes[256];
  float error;
};

/// The codes' and the groups' scales' largest values.
struct KRange {
  float top, most;
};

/// Chooses the groups' scales and minima near the fits, then codes, for the scale and minimum of the block.
template <int groups, typename Weights>
LANCET_INLINE void choose_k(const float* x, Weights weights, const Affine* fits, KRange range, KBlock<groups>& block) {
  constexpr int n = 256 / groups;
  block.error = 0;
  for (int j = 0; j < groups; j++) {
    const float middle = block.scale > 0 ? nearest(fits[j].scale / block.scale, 0.0f, range.most) : 0.0f;
    const float lowest = block.minimum > 0 ? nearest(-fits[j].low / block.minimum, 0.0f, range.most) : 0.0f;
    Lanes scales, minima, error;
    for (int i = 0; i < kLanes; i++) {
      scales[i] = nearest(middle + static_cast<float>(i / 5 - 1), 0.0f, range.most);
      minima[i] = nearest(lowest + static_cast<float>(i % 5 - 2), 0.0f, range.most);
    }
    errors_of<n>(x + n * j, weights + n * j, block.scale * scales, -(block.minimum * minima), 0.0f, range.top, error);
    const int at = smallest(error);
    block.scales[j] = scales[at];
    block.minima[j] = minima[at];
    block.error += error[at];
    codes_of<n>(x + n * j, block.scale * scales[at], -(block.minimum * minima[at]), 0.0f, range.top,
                block.codes + n * j);
  }
}

/// The block's scale and minimum that suit its codes best; false if there is no better than what it has.
template <int groups, typename Weights>
LANCET_INLINE bool refit_k(const float* x, Weights weights, KBlock<groups>& block) {
  constexpr int n = 256 / groups;
  float aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;  // of a = scale code, b = -minimum
  for (int j = 0; j < groups; j++) {
    float count = 0, q = 0, qq = 0, xq = 0, sum = 0;
    for (int i = n * j; i < n * j + n; i++) {
      const float weighted = weights[i] * block.codes[i];
      count += weights[i];
      q += weighted;
      qq += weighted * block.codes[i];
      xq += x[i] * weighted;
      sum += weights[i] * x[i];
    }
    const float s = block.scales[j], m = block.minima[j];
    aa += s * s * qq;
    ab -= s * m * q;
    bb += count * m * m;
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

template <int groups, typename Weights>
LANCET_INLINE void fit_k(const float* x, Weights weights, KRange range, KBlock<groups>& block) {
  constexpr int n = 256 / groups;
  Affine fits[groups];
  float scale = 0, minimum = 0;
  for (int j = 0; j < groups; j++) {
    fits[j] = fit_affine<n>(x + n * j, weights + n * j, range.top, true);
    scale = std::fmax(scale, fits[j].scale);
    minimum = std::fmax(minimum, -fits[j].low);
  }
  block.scale = as_half(scale / range.most);
  block.minimum = as_half(minimum / range.most);
  choose_k(x, weights, fits, range, block);
  KBlock<groups> other = block;
  if (!refit_k(x, weights, other)) return;
  choose_k(x, weights, fits, range, other);
  if (other.error < block.error) block = other;
}

/// half scale, minimum; 12 bytes of packed scales and minima (format_blocks.cpp, scale_minimum).
LANCET_INLINE void put_k_head(const KBlock<8>& block, std::byte* to) {
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

LANCET_INLINE void put_k_nibbles(const KBlock<8>& block, std::byte* to) {
  for (int pair = 0; pair < 4; pair++) {
    for (int i = 0; i < 32; i++) {
      const int low = static_cast<int>(block.codes[64 * pair + i]) & 15;
      const int high = static_cast<int>(block.codes[64 * pair + 32 + i]) & 15;
      to[32 * pair + i] = byte_of(low | high << 4);
    }
  }
}

template <typename Weights>
LANCET_INLINE void encode_q4_k(const float* x, Weights weights, std::byte* to) {
  KBlock<8> block;
  fit_k(x, weights, {15.0f, 63.0f}, block);
  put_k_head(block, to);
  put_k_nibbles(block, to + 16);
}

template <typename Weights>
LANCET_INLINE void encode_q5_k(const float* x, Weights weights, std::byte* to) {
  KBlock<8> block;
  fit_k(x, weights, {31.0f, 63.0f}, block);
  put_k_head(block, to);
  for (int i = 0; i < 32; i++) {
    int bits = 0;
    for (int j = 0; j < 8; j++) bits |= (static_cast<int>(block.codes[32 * j + i]) >> 4 & 1) << j;
    to[16 + i] = byte_of(bits);
  }
  put_k_nibbles(block, to + 48);
}

/// Four planes of 2-bit codes in each 32 bytes.
LANCET_INLINE void put_pairs(const float* codes, std::byte* to) {
  for (int half = 0; half < 2; half++) {
    for (int i = 0; i < 32; i++) {
      int bits = 0;
      for (int plane = 0; plane < 4; plane++)
        bits |= (static_cast<int>(codes[128 * half + 32 * plane + i]) & 3) << (2 * plane);
      to[32 * half + i] = byte_of(bits);
    }
  }
}

/// 16 bytes of 4-bit scales and minima; 64 bytes of pairs; half scale, minimum.
template <typename Weights>
LANCET_INLINE void encode_q2_k(const float* x, Weights weights, std::byte* to) {
  KBlock<16> block;
  fit_k(x, weights, {3.0f, 15.0f}, block);
  for (int j = 0; j < 16; j++)
    to[j] = byte_of(static_cast<int>(block.scales[j]) | static_cast<int>(block.minima[j]) << 4);
  put_pairs(block.codes, to + 16);
  put_half(block.scale, to + 80);
  put_half(block.minimum, to + 82);
}

/// 16 groups of 16: x = scale * scales[j] * code, codes from -size to size - 1, scales from -most to most - 1.
struct ScaledBlock {
  float scale;
  float scales[16];
  float codes[256];
  float error;
};

template <typename Weights>
LANCET_INLINE void choose_scaled(const float* x, Weights weights, const float* fits, KRange range, ScaledBlock& block) {
  block.error = 0;
  for (int j = 0; j < 16; j++) {
    const float middle = block.scale != 0 ? nearest(fits[j] / block.scale, -range.most, range.most - 1.0f) : 0.0f;
    Lanes scales, error;
    for (int i = 0; i < kLanes; i++)
      scales[i] = nearest(middle + static_cast<float>(i - 8), -range.most, range.most - 1.0f);
    errors_of<16>(x + 16 * j, weights + 16 * j, block.scale * scales, Lanes{}, -range.top, range.top - 1.0f, error);
    const int at = smallest(error);
    block.scales[j] = scales[at];
    block.error += error[at];
    codes_of<16>(x + 16 * j, block.scale * scales[at], 0.0f, -range.top, range.top - 1.0f, block.codes + 16 * j);
  }
}

template <typename Weights>
LANCET_INLINE void fit_scaled(const float* x, Weights weights, KRange range, float* fits, ScaledBlock& block) {
  float greatest = 0;
  for (int j = 0; j < 16; j++) {
    fits[j] = fit_symmetric<16>(x + 16 * j, weights + 16 * j, -range.top, range.top - 1.0f);
    greatest = std::fabs(fits[j]) > std::fabs(greatest) ? fits[j] : greatest;
  }
  block.scale = as_half(greatest / -range.most);
  choose_scaled(x, weights, fits, range, block);
}

/// The block's scale that suits its codes best, if that is better than what it has.
template <typename Weights>
LANCET_INLINE void refit_scaled(const float* x, Weights weights, KRange range, const float* fits, ScaledBlock& block) {
  float aa = 0, ax = 0;
  for (int i = 0; i < 256; i++) {
    const float code = block.scales[i / 16] * block.codes[i];
    aa += weights[i] * code * code;
    ax += weights[i] * code * x[i];
  }
  if (!(aa > 0)) return;
  ScaledBlock other = block;
  other.scale = as_half(ax / aa);
  choose_scaled(x, weights, fits, range, other);
  if (other.error < block.error) block = other;
}

/// 32 bytes of third bits; 64 bytes of pairs; 16 scales of 6 bits in 12 bytes; half scale (format_blocks.cpp).
template <typename Weights>
LANCET_INLINE void encode_q3_k(const float* x, Weights weights, std::byte* to) {
  ScaledBlock block;
  float fits[16];
  fit_scaled(x, weights, {4.0f, 32.0f}, fits, block);
  refit_scaled(x, weights, {4.0f, 32.0f}, fits, block);
  for (float& code : block.codes) code += 4.0f;
  for (int i = 0; i < 32; i++) {
    int bits = 0;
    for (int plane = 0; plane < 8; plane++) bits |= (static_cast<int>(block.codes[32 * plane + i]) >> 2) << plane;
    to[i] = byte_of(bits);
  }
  put_pairs(block.codes, to + 32);
  int scales[16];
  for (int j = 0; j < 16; j++) scales[j] = static_cast<int>(block.scales[j]) + 32;
  for (int j = 0; j < 8; j++) to[96 + j] = byte_of((scales[j] & 15) | (scales[j + 8] & 15) << 4);
  for (int j = 0; j < 4; j++) {
    to[104 + j] =
        byte_of(scales[j] >> 4 | scales[j + 4] >> 4 << 2 | scales[j + 8] >> 4 << 4 | scales[j + 12] >> 4 << 6);
  }
  put_half(block.scale, to + 108);
}

template <typename Weights>
LANCET_INLINE void encode_q6_k(const float* x, Weights weights, std::byte* to) {
  ScaledBlock block;
  float fits[16];
  fit_scaled(x, weights, {32.0f, 128.0f}, fits, block);
  put_half(block.scale, to + 208);
  for (int j = 0; j < 16; j++) to[192 + j] = byte_of(static_cast<int>(block.scales[j]));
  int codes[256];
  for (int i = 0; i < 256; i++) codes[i] = static_cast<int>(block.codes[i]) + 32;
  for (int half = 0; half < 2; half++) {
    const int* from = codes + 128 * half;
    for (int i = 0; i < 64; i++) to[64 * half + i] = byte_of((from[i] & 15) | (from[64 + i] & 15) << 4);
    for (int i = 0; i < 32; i++) {
      to[128 + 32 * half + i] =
          byte_of(from[i] >> 4 | from[32 + i] >> 4 << 2 | from[64 + i] >> 4 << 4 | from[96 + i] >> 4 << 6);
    }
  }
}

template <typename Weights, void (*encode)(const float*, Weights, std::byte*), int values, int bytes>
LANCET_INLINE void encode_blocks(const float* from, Weights weights, int64_t cols, std::byte* to) {
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
    encode(x, weights + static_cast<int>(at), to);
  }
}

template <typename W>
LANCET_INLINE void encode_weighted(Format format, const float* values, W weights, int64_t cols, std::byte* to) {
  switch (format) {
    case Format::q4_0: return encode_blocks<W, encode_q4_0<W>, 32, 18>(values, weights, cols, to);
    case Format::q4_1: return encode_blocks<W, encode_q4_1<W>, 32, 20>(values, weights, cols, to);
    case Format::q5_0: return encode_blocks<W, encode_q5_0<W>, 32, 22>(values, weights, cols, to);
    case Format::q5_1: return encode_blocks<W, encode_q5_1<W>, 32, 24>(values, weights, cols, to);
    case Format::q8_0: return encode_blocks<W, encode_q8_0<W>, 32, 34>(values, weights, cols, to);
    case Format::q2_k: return encode_blocks<W, encode_q2_k<W>, 256, 84>(values, weights, cols, to);
    case Format::q3_k: return encode_blocks<W, encode_q3_k<W>, 256, 110>(values, weights, cols, to);
    case Format::q4_k: return encode_blocks<W, encode_q4_k<W>, 256, 144>(values, weights, cols, to);
    case Format::q5_k: return encode_blocks<W, encode_q5_k<W>, 256, 176>(values, weights, cols, to);
    case Format::q6_k: return encode_blocks<W, encode_q6_k<W>, 256, 210>(values, weights, cols, to);
    default: CHECK(false);
  }
}

/// `weights` may be null: all columns count alike.
LANCET_INLINE void encode_row(Format format, const float* values, const float* weights, int64_t cols, std::byte* to) {
  if (weights) return encode_weighted(format, values, ColumnWeights{weights}, cols, to);
  encode_weighted(format, values, EqualWeights{}, cols, to);
}

void encode_row_any(Format format, const float* values, const float* weights, int64_t cols, std::byte* to) {
  encode_row(format, values, weights, cols, to);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void encode_row_avx2(Format format, const float* values, const float* weights, int64_t cols,
                                             std::byte* to) {
  encode_row(format, values, weights, cols, to);
}
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] void encode_row_avx512(Format format, const float* values,
                                                                             const float* weights, int64_t cols,
                                                                             std::byte* to) {
  encode_row(format, values, weights, cols, to);
}
#endif

using EncodeRow = void (*)(Format, const float*, const float*, int64_t, std::byte*);

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
  return !format_info(format).floating && format != Format::iq4_nl && format != Format::iq4_xs;
}

void quantise_row(Format format, const float* values, int64_t cols, std::byte* to, const float* weights) {
  CHECK(can_quantise(format) && cols % format_info(format).block_values == 0);
  static const EncodeRow encode = best_encoder();
  encode(format, values, weights, cols, to);
}

}  // namespace lancet
