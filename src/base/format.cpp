// The table of number formats and the scalar conversions. Conversions work on bits, so that they are exact on every
// machine and serve as the definition that vector code is tested against.
#include "base/format.h"

#include <cstring>

#include "base/check.h"
#include "base/format_blocks.h"

namespace lancet {
namespace {

// How an 8- or 16-bit number is laid out: sign, exponent, mantissa.
struct SmallFloat {
  int mantissa_bits;
  int bias;
};
constexpr SmallFloat kHalf{10, 15};
constexpr SmallFloat kE4m3{3, 7};

/// Magnitude bits of `value` (finite, non-negative) in the small format, rounded to nearest even. The result may pass
/// the largest finite code; the caller decides what that means.
uint32_t round_to_small(uint32_t f32_magnitude, SmallFloat small) {
  const int exponent = static_cast<int>(f32_magnitude >> 23) - 127;
  const int lowest = 1 - small.bias;  // exponent of the smallest normal number
  uint32_t mantissa = (f32_magnitude & 0x7fffffu) | (exponent == -127 ? 0u : 0x800000u);
  const int shift = 23 - small.mantissa_bits + (exponent < lowest ? lowest - exponent : 0);
  if (shift > 25) return 0;  // less than half of the smallest subnormal
  const uint32_t half = 1u << (shift - 1);
  const uint32_t odd = (mantissa >> shift) & 1u;
  mantissa = (mantissa + half - 1 + odd) >> shift;
  // The hidden bit adds one to the exponent field; a mantissa that rounds up to the next power does so by itself.
  const int field = exponent < lowest ? 0 : exponent - lowest;
  return (static_cast<uint32_t>(field) << small.mantissa_bits) + mantissa;
}

/// The f32 of a small float's magnitude bits; the caller has dealt with infinities and NaN.
float widen_small(uint32_t magnitude, SmallFloat small) {
  const uint32_t exponent = magnitude >> small.mantissa_bits;
  const uint32_t mantissa = magnitude & ((1u << small.mantissa_bits) - 1u);
  if (exponent == 0) {
    const auto unit = static_cast<uint32_t>(127 + 1 - small.bias - small.mantissa_bits) << 23;
    return static_cast<float>(mantissa) * __builtin_bit_cast(float, unit);
  }
  const uint32_t widened = exponent + static_cast<uint32_t>(127 - small.bias);
  return __builtin_bit_cast(float, widened << 23 | mantissa << (23 - small.mantissa_bits));
}

void decode_f32(const std::byte* from, float* to, int64_t count) {
  std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
}

template <float (*widen)(uint16_t)>
void decode_16(const std::byte* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, 2);
    to[i] = widen(bits);
  }
}

void decode_e4m3(const std::byte* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = f32_from_e4m3(static_cast<uint8_t>(from[i]));
}

constexpr FormatInfo kFormats[kFormatCount] = {
    {"f32", 1, 4, true, decode_f32},
    {"f16", 1, 2, true, decode_16<f32_from_f16>},
    {"bf16", 1, 2, true, decode_16<f32_from_bf16>},
    {"f8_e4m3", 1, 1, true, decode_e4m3},
    {"q4_0", 32, 18, false, decode_q4_0},
    {"q4_1", 32, 20, false, decode_q4_1},
    {"q5_0", 32, 22, false, decode_q5_0},
    {"q5_1", 32, 24, false, decode_q5_1},
    {"q8_0", 32, 34, false, decode_q8_0},
    {"q2_k", 256, 84, false, decode_q2_k},
    {"q3_k", 256, 110, false, decode_q3_k},
    {"q4_k", 256, 144, false, decode_q4_k},
    {"q5_k", 256, 176, false, decode_q5_k},
    {"q6_k", 256, 210, false, decode_q6_k},
    {"iq4_nl", 32, 18, false, decode_iq4_nl},
    {"iq4_xs", 256, 136, false, decode_iq4_xs},
};

}  // namespace

const FormatInfo& format_info(Format format) {
  const auto index = static_cast<size_t>(format);
  CHECK(index < kFormatCount);
  return kFormats[index];
}

float f32_from_f16(uint16_t bits) {
  const uint32_t magnitude = bits & 0x7fffu;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  if (magnitude >= 0x7c00u) return __builtin_bit_cast(float, sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, widen_small(magnitude, kHalf)));
}

uint16_t f16_from_f32(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // NaN keeps the upper bits of its payload and becomes quiet, as the processors' own conversion does.
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65536 and more
  return static_cast<uint16_t>(sign | round_to_small(magnitude, kHalf));       // 65520 and more round to infinity
}

uint16_t bf16_from_f32(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float f32_from_e4m3(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu;
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
  if (magnitude == 0x7fu) return __builtin_bit_cast(float, sign | 0x7fc00000u);
  return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, widen_small(magnitude, kE4m3)));
}

uint8_t e4m3_from_f32(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 24 & 0x80u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  if (magnitude >= 0x43e00000u) return static_cast<uint8_t>(sign | 0x7eu);  // 448 and more
  return static_cast<uint8_t>(sign | round_to_small(magnitude, kE4m3));
}

}  // namespace lancet
