// Panels in plain loops: the definition of their layout (kernels/panels.h), of their products and of the activations
// they take. Included by scalar.cpp; the packers also by the other tables for the formats where a fast packer would not
// pay.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels/panels.h"

namespace lancet {
namespace {

constexpr int kUnitBytes = 64;

inline int byte_at(const std::byte* at, int64_t i) { return std::to_integer<int>(at[i]); }

/// Copies `count` bytes of row r, 4 at a time, to the units from `units` on.
inline void put_fours(const std::byte* from, int count, int r, std::byte* units) {
  for (int i = 0; i < count; i++) units[i / 4 * kUnitBytes + r * 4 + i % 4] = from[i];
}

/// Bytes of plain numbers, in units of 4 (f8_e4m3, bf16) or 2 bytes (f16) a row.
template <Format format>
void pack_plain(const PackPanel& job) {
  constexpr int kRowBytes = format == Format::f16 ? 2 : 4;
  const int64_t bytes = row_bytes(format, job.cols);
  std::memset(job.panel, 0, static_cast<size_t>(panel_bytes(format, job.cols)));
  for (int r = 0; r < job.row_count; r++) {
    const std::byte* row = job.rows + r * job.row_stride;
    for (int64_t at = 0; at < bytes; at += kRowBytes) {
      const int64_t left = bytes - at;
      std::memcpy(job.panel + at * kPanelRows + r * kRowBytes, row + at,
                  static_cast<size_t>(left < kRowBytes ? left : kRowBytes));
    }
  }
}

/// Where column c of row r stands in an f8_e4m3 unit.
constexpr int place_of_f8(int r, int c) { return r / 4 * 16 + c / 2 * 8 + r % 4 * 2 + c % 2; }

inline void pack_f8(const PackPanel& job) {
  std::memset(job.panel, 0, static_cast<size_t>(panel_bytes(Format::f8_e4m3, job.cols)));
  for (int r = 0; r < job.row_count; r++) {
    const std::byte* row = job.rows + r * job.row_stride;
    for (int64_t c = 0; c < job.cols; c++)
      job.panel[c / 4 * kUnitBytes + place_of_f8(r, static_cast<int>(c % 4))] = row[c];
  }
}

/// Sets the half scale of row r, column block `number`, in vectors of 16 halves.
inline void put_half(const std::byte* half, int r, int number, std::byte* vectors) {
  std::memcpy(vectors + (number * kPanelRows + r) * 2, half, 2);
}

inline void pack_row_of_q8_0(const std::byte* block, int64_t b, int r, std::byte* panel) {
  std::byte* stretch = panel + b / 2 * panel_stretch(Format::q8_0).bytes;
  std::byte codes[kQuantBlock];
  for (int i = 0; i < kQuantBlock; i++) codes[i] = block[2 + i] ^ std::byte{0x80};
  put_fours(codes, kQuantBlock, r, stretch + b % 2 * 8 * kUnitBytes);
  put_half(block, r, static_cast<int>(b % 2), stretch + 16 * kUnitBytes);
}

template <Format format>
void pack_row_of_nibbles(const std::byte* block, int64_t b, int r, std::byte* panel) {
  std::byte* stretch = panel + b / 2 * panel_stretch(format).bytes;
  const auto odd = static_cast<int>(b % 2);
  put_fours(block + (format == Format::q4_0 ? 2 : 4), 16, r, stretch + odd * 4 * kUnitBytes);
  put_half(block, r, odd, stretch + 8 * kUnitBytes);
  if (format == Format::q4_1) put_half(block + 2, r, 2 + odd, stretch + 8 * kUnitBytes);
}

// K-quants are packed four bytes, which are four columns, at a time.

inline uint32_t word_at(const std::byte* words, int number) {
  uint32_t word;
  std::memcpy(&word, words + 4 * number, 4);
  return word;
}
inline void put_word(uint32_t word, int number, int r, std::byte* units) {
  std::memcpy(units + number * kUnitBytes + r * 4, &word, 4);
}

/// 32 columns, in the nibbles of 8 words from bit `shift` on, to the 4 units of block `b`.
inline void put_nibbles(const std::byte* words, int shift, int b, int r, std::byte* units) {
  constexpr uint32_t kFour = 0x0f0f0f0f;
  for (int u = 0; u < 4; u++) {
    const uint32_t low = word_at(words, u) >> shift & kFour, high = word_at(words, 4 + u) >> shift & kFour;
    put_word(low | high << 4, 4 * b + u, r, units);
  }
}

/// q4_k and q5_k: codes of up to 5 bits, then packed scales.
template <Format format>
void pack_row_of_k(const std::byte* block, int64_t b, int r, std::byte* panel) {
  constexpr bool kFifth = format == Format::q5_k;
  std::byte* to = panel + b * panel_stretch(format).bytes;
  const std::byte* quants = block + (kFifth ? 48 : 16);
  for (int j = 0; j < 8; j++) put_nibbles(quants + j / 2 * 32, j % 2 * 4, j, r, to);
  to += 32 * kUnitBytes;
  if (kFifth) {
    for (int j = 0; j < 8; j++) {
      uint32_t bits = 0;
      for (int u = 0; u < 8; u++) bits |= (word_at(block + 16, u) >> j & 0x01010101u) << u;
      put_word(bits, j, r, to);
    }
    to += 8 * kUnitBytes;
  }
  put_fours(block + 4, 12, r, to);
  put_half(block, r, 0, to + 3 * kUnitBytes);
  put_half(block + 2, r, 1, to + 3 * kUnitBytes);
}

inline void pack_row_of_q6_k(const std::byte* block, int64_t b, int r, std::byte* panel) {
  std::byte* to = panel + b * panel_stretch(Format::q6_k).bytes;
  for (int j = 0; j < 8; j++) put_nibbles(block + j / 4 * 64 + j % 2 * 32, j % 4 / 2 * 4, j, r, to);
  to += 32 * kUnitBytes;
  for (int half = 0; half < 16; half++) {  // 16 columns, half of block `half` / 2
    const std::byte* upper = block + 128 + half / 8 * 32 + half % 2 * 16;
    uint32_t bits = 0;
    for (int u = 0; u < 4; u++) bits |= (word_at(upper, u) >> (half / 2 % 4 * 2) & 0x03030303u) << 2 * u;
    put_word(bits, half, r, to);
  }
  to += 16 * kUnitBytes;
  put_fours(block + 192, 16, r, to);
  put_half(block + 208, r, 0, to + 4 * kUnitBytes);
}

template <Format format, void (*pack_block)(const std::byte*, int64_t, int, std::byte*)>
void pack_blocks(const PackPanel& job) {
  const FormatInfo& info = format_info(format);
  std::memset(job.panel, 0, static_cast<size_t>(panel_bytes(format, job.cols)));
  for (int r = 0; r < job.row_count; r++) {
    const std::byte* row = job.rows + r * job.row_stride;
    for (int64_t b = 0; b < job.cols / info.block_values; b++) pack_block(row + b * info.block_bytes, b, r, job.panel);
  }
}

/// Whole panels whose columns are a multiple of `cols_at_once` go to `fast`, others to the definition.
template <void (*fast)(const PackPanel&), void (*definition)(const PackPanel&), int cols_at_once>
void pack_whole(const PackPanel& job) {
  if (job.row_count == kPanelRows && job.cols % cols_at_once == 0) return fast(job);
  definition(job);
}

// Products.

inline float panel_half(const std::byte* vectors, int number, int r) {
  uint16_t bits;
  std::memcpy(&bits, vectors + (number * kPanelRows + r) * 2, sizeof bits);
  return f32_from_f16(bits);
}

/// 32 columns of a row: weight = scales[half] * (code - zero) + minimum.
struct PanelBlock {
  int codes[kQuantBlock];  // the zero taken off
  float scales[2];         // of columns 0-15 and 16-31
  float minimum;
};

inline void take_nibbles(const std::byte* units, int r, int zero, PanelBlock& to) {
  for (int i = 0; i < 16; i++) {
    const int both = byte_at(units, i / 4 * kUnitBytes + r * 4 + i % 4);
    to.codes[i] = (both & 15) - zero;
    to.codes[16 + i] = (both >> 4) - zero;
  }
}

inline void take_q8_0(const std::byte* panel, int64_t b, int r, PanelBlock& to) {
  const std::byte* stretch = panel + b / 2 * panel_stretch(Format::q8_0).bytes;
  for (int i = 0; i < kQuantBlock; i++) {
    to.codes[i] = byte_at(stretch + b % 2 * 8 * kUnitBytes, i / 4 * kUnitBytes + r * 4 + i % 4) - 128;
  }
  to.scales[0] = to.scales[1] = panel_half(stretch + 16 * kUnitBytes, static_cast<int>(b % 2), r);
  to.minimum = 0.0f;
}

template <Format format>
void take_legacy_nibbles(const std::byte* panel, int64_t b, int r, PanelBlock& to) {
  const std::byte* stretch = panel + b / 2 * panel_stretch(format).bytes;
  const auto odd = static_cast<int>(b % 2);
  take_nibbles(stretch + odd * 4 * kUnitBytes, r, format == Format::q4_0 ? 8 : 0, to);
  to.scales[0] = to.scales[1] = panel_half(stretch + 8 * kUnitBytes, odd, r);
  to.minimum = format == Format::q4_1 ? panel_half(stretch + 8 * kUnitBytes, 2 + odd, r) : 0.0f;
}

template <Format format>
void take_k(const std::byte* panel, int64_t b, int r, PanelBlock& to) {
  const std::byte* stretch = panel + b / 8 * panel_stretch(format).bytes;
  const auto j = static_cast<int>(b % 8);
  take_nibbles(stretch + j * 4 * kUnitBytes, r, 0, to);
  const std::byte* scales = stretch + 32 * kUnitBytes;
  if (format == Format::q5_k) {
    for (int i = 0; i < kQuantBlock; i++) {
      to.codes[i] |= (byte_at(scales, j * kUnitBytes + r * 4 + i % 4) >> (i / 4) & 1) << 4;
    }
    scales += 8 * kUnitBytes;
  }
  const auto packed = [&](int i) { return byte_at(scales, i / 4 * kUnitBytes + r * 4 + i % 4); };
  const int scale = j < 4 ? packed(j) & 63 : (packed(j + 4) & 15) | packed(j - 4) >> 6 << 4;
  const int minimum = j < 4 ? packed(j + 4) & 63 : packed(j + 4) >> 4 | packed(j) >> 6 << 4;
  to.scales[0] = to.scales[1] = panel_half(scales + 3 * kUnitBytes, 0, r) * static_cast<float>(scale);
  to.minimum = -panel_half(scales + 3 * kUnitBytes, 1, r) * static_cast<float>(minimum);
}

inline void take_q6_k(const std::byte* panel, int64_t b, int r, PanelBlock& to) {
  const std::byte* stretch = panel + b / 8 * panel_stretch(Format::q6_k).bytes;
  const auto j = static_cast<int>(b % 8);
  take_nibbles(stretch + j * 4 * kUnitBytes, r, 0, to);
  const std::byte* upper = stretch + (32 + 2 * j) * kUnitBytes;
  for (int i = 0; i < kQuantBlock; i++) {
    const int bits = byte_at(upper, i / 16 * kUnitBytes + r * 4 + i % 4) >> (i % 16 / 4 * 2) & 3;
    to.codes[i] = (to.codes[i] | bits << 4) - 32;
  }
  const std::byte* scales = stretch + 48 * kUnitBytes;
  for (int half = 0; half < 2; half++) {
    const int at = 2 * j + half;
    const auto scale = static_cast<int8_t>(byte_at(scales, at / 4 * kUnitBytes + r * 4 + at % 4));
    to.scales[half] = panel_half(scales + 4 * kUnitBytes, 0, r) * static_cast<float>(scale);
  }
  to.minimum = 0.0f;
}

/// Word `number` of columns of the group's token t.
template <typename Word>
Word panel_word(const PanelActivations& x, TokenGroup group, int64_t number, int t) {
  Word word;
  std::memcpy(&word, x.values + group.begin * x.row_bytes() + (number * group.tokens + t) * 4, sizeof word);
  return word;
}

/// Calls product(group, token of the group, panel, row of the panel) for every result and stores what it returns.
template <typename Product>
void for_each_result(const PanelProduct& job, int64_t bytes, const Product& product) {
  const PanelActivations& x = *job.x;
  for (int64_t p = job.panel_begin; p < job.panel_end; p++) {
    const std::byte* panel = job.panels + (p - job.panel_begin) * bytes;
    for (int g = 0; g < group_count(x.tokens, x.group); g++) {
      const TokenGroup group = token_group(x.tokens, x.group, g);
      for (int t = 0; t < group.tokens; t++) {
        for (int r = 0; r < kPanelRows && p * kPanelRows + r < job.rows; r++) {
          job.out[(group.begin + t) * job.out_stride + p * kPanelRows + r] = product(group, t, panel, r);
        }
      }
    }
  }
}

/// sum over blocks, in order, of scale * x_scale * (codes . quants), and of minimum * x_scale * sum(quants).
template <Format format, void (*take)(const std::byte*, int64_t, int, PanelBlock&)>
void panel_int8(const PanelProduct& job) {
  const PanelActivations& x = *job.x;
  const int blocks = x.cols / kQuantBlock;
  for_each_result(job, panel_bytes(format, x.cols), [&](TokenGroup group, int t, const std::byte* panel, int r) {
    float total = 0.0f;
    for (int64_t b = 0; b < blocks; b++) {
      PanelBlock weight;
      take(panel, b, r, weight);
      int32_t dots[2] = {0, 0};
      for (int i = 0; i < kQuantBlock; i++) {
        const auto four = panel_word<uint32_t>(x, group, b * 8 + i / 4, t);
        dots[i / 16] += weight.codes[i] * static_cast<int8_t>(four >> (i % 4 * 8) & 255u);
      }
      const int64_t at = group.begin * int64_t{blocks} + b * group.tokens + t;
      if (format == Format::q6_k) {
        for (const int half : {0, 1}) total += static_cast<float>(dots[half]) * (weight.scales[half] * x.scales[at]);
      } else {
        total += static_cast<float>(dots[0] + dots[1]) * (weight.scales[0] * x.scales[at]);
      }
      total += weight.minimum * x.scaled_sums[at];
    }
    return total;
  });
}

/// Pairs of columns, in order; activations rounded to bf16.
template <Format format>
void panel_bf16(const PanelProduct& job) {
  const PanelActivations& x = *job.x;
  const auto code = [](const std::byte* panel, int64_t c, int r) {
    if (format == Format::f8_e4m3) return panel + c / 4 * kUnitBytes + place_of_f8(r, static_cast<int>(c % 4));
    return panel + c / 2 * kUnitBytes + r * 4 + c % 2 * 2;
  };
  for_each_result(job, panel_bytes(format, x.cols), [&](TokenGroup group, int t, const std::byte* panel, int r) {
    float total = 0.0f;
    for (int64_t c = 0; c < x.cols; c++) {
      float weight;
      format_info(format).decode(code(panel, c, r), &weight, 1);
      const auto pair = panel_word<uint32_t>(x, group, c / 2, t);
      total += weight * f32_from_bf16(static_cast<uint16_t>(pair >> (c % 2 * 16)));
    }
    return total;
  });
}

inline void panel_f16(const PanelProduct& job) {
  const PanelActivations& x = *job.x;
  for_each_result(job, panel_bytes(Format::f16, x.cols), [&](TokenGroup group, int t, const std::byte* panel, int r) {
    float total = 0.0f;
    for (int64_t c = 0; c < x.cols; c++) {
      total += panel_half(panel, static_cast<int>(c), r) * panel_word<float>(x, group, c, t);
    }
    return total;
  });
}

}  // namespace
}  // namespace lancet
