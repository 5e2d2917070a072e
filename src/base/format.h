// Number formats: how bytes in a model file encode numbers. A format is a row of a table, never a class. The decoder
// in the row is the format's definition; every fast kernel must agree with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lancet {

enum class Format : uint8_t {
  f32,
  f16,
  bf16,
  f8_e4m3,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
};
inline constexpr int kFormatCount = 16;

struct FormatInfo {
  std::string_view name;  // "q4_k"
  int block_values;       // values that share one block; a row is a whole number of blocks
  int block_bytes;
  bool floating;  // plain numbers, no shared scales
  /// Decodes `blocks` consecutive blocks to f32. No alignment is assumed. Any bytes are fine; NaN codes give NaN.
  void (*decode)(const std::byte* from, float* to, int64_t blocks);
};

const FormatInfo& format_info(Format);
inline std::string_view format_name(Format format) { return format_info(format).name; }

/// Bytes of a row of `cols` values; cols must be a multiple of block_values.
inline int64_t row_bytes(Format format, int64_t cols) {
  const FormatInfo& info = format_info(format);
  return cols / info.block_values * info.block_bytes;
}

// Scalar conversions, exact.
float f32_from_f16(uint16_t bits);
uint16_t f16_from_f32(float value);  // round to nearest even; overflow gives infinity
inline float f32_from_bf16(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
uint16_t bf16_from_f32(float value);  // round to nearest even
float f32_from_e4m3(uint8_t code);    // E4M3FN: no infinities, 0x7f and 0xff are NaN
uint8_t e4m3_from_f32(float value);   // round to nearest even, saturates at 448

}  // namespace lancet
