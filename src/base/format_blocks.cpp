// The block formats of GGUF files, decoded one value at a time. The layouts are those that ggml defines
// (ggml-org/llama.cpp, ggml/src/ggml-common.h); the order of roundings is ggml's too, so results are equal bit for bit.
// Each comment shows a block's fields in order; `half` fields are little-endian f16.
#include "base/format_blocks.h"

#include <cstring>

#include "base/format.h"

namespace lancet {
namespace {

uint32_t u8(const std::byte* at) { return static_cast<uint32_t>(*at); }
int s8(const std::byte* at) { return static_cast<int8_t>(*at); }
uint32_t u16(const std::byte* at) { return u8(at) | u8(at + 1) << 8; }
uint32_t u32(const std::byte* at) { return u16(at) | u16(at + 2) << 16; }
float half(const std::byte* at) { return f32_from_f16(static_cast<uint16_t>(u16(at))); }
float real(uint32_t code) { return static_cast<float>(code); }
float real(int code) { return static_cast<float>(code); }

// Levels of the non-linear 4-bit formats (ggml-common.h: kvalues_iq4nl).
constexpr int kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Low nibbles are the first half of a block of 32, high nibbles the second.
uint32_t nibble(const std::byte* quants, int value) {
  return value < 16 ? u8(quants + value) & 15u : u8(quants + value - 16) >> 4;
}

/// Scale and minimum of sub-block j of q4_k and q5_k: eight pairs of 6 bits in 12 bytes. The first four pairs lie in
/// the low bits of bytes 0-3 and 4-7; of the others, bytes 8-11 hold the low nibbles and the spare top bits the rest.
struct ScaleMinimum {
  uint32_t scale, minimum;
};
ScaleMinimum scale_minimum(const std::byte* packed, int j) {
  if (j < 4) return {u8(packed + j) & 63u, u8(packed + j + 4) & 63u};
  const uint32_t low = u8(packed + j + 4);
  return {(low & 15u) | u8(packed + j - 4) >> 6 << 4, low >> 4 | u8(packed + j) >> 6 << 4};
}

/// The codes of N values in a local array, where the compiler can prove that nothing overlaps and uses vectors.
template <int N>
class Codes {
 public:
  explicit Codes(const std::byte* from) { std::memcpy(codes_, from, N); }
  void cut(int shift, unsigned mask) {
    for (int i = 0; i < N; i++) codes_[i] = static_cast<uint8_t>(codes_[i] >> shift & mask);
  }
  void add(const Codes& other, unsigned factor) {
    for (int i = 0; i < N; i++) codes_[i] = static_cast<uint8_t>(codes_[i] + other.codes_[i] * factor);
  }
  /// scale * (code - zero)
  void put(float scale, int zero, float* to) const {
    float values[N];
    for (int i = 0; i < N; i++) values[i] = scale * real(codes_[i] - zero);
    std::memcpy(to, values, sizeof values);
  }
  /// scale * (code - zero) - minimum
  void put(float scale, int zero, float minimum, float* to) const {
    float values[N];
    for (int i = 0; i < N; i++) values[i] = scale * real(codes_[i] - zero) - minimum;
    std::memcpy(to, values, sizeof values);
  }

 private:
  uint8_t codes_[N];
};

}  // namespace

// half scale; 16 bytes of nibbles
void decode_q4_0(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 18, to += 32) {
    const float scale = half(from);
    for (int i = 0; i < 32; i++) to[i] = real(static_cast<int>(nibble(from + 2, i)) - 8) * scale;
  }
}

// half scale, minimum; 16 bytes of nibbles
void decode_q4_1(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 20, to += 32) {
    const float scale = half(from);
    const float minimum = half(from + 2);
    for (int i = 0; i < 32; i++) to[i] = real(nibble(from + 4, i)) * scale + minimum;
  }
}

// half scale; 32 fifth bits; 16 bytes of nibbles
void decode_q5_0(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 22, to += 32) {
    const float scale = half(from);
    const uint32_t fifth = u32(from + 2);
    for (int i = 0; i < 32; i++) {
      const uint32_t code = nibble(from + 6, i) | (fifth >> i & 1u) << 4;
      to[i] = real(static_cast<int>(code) - 16) * scale;
    }
  }
}

// half scale, minimum; 32 fifth bits; 16 bytes of nibbles
void decode_q5_1(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 24, to += 32) {
    const float scale = half(from);
    const float minimum = half(from + 2);
    const uint32_t fifth = u32(from + 4);
    for (int i = 0; i < 32; i++) to[i] = real(nibble(from + 8, i) | (fifth >> i & 1u) << 4) * scale + minimum;
  }
}

// half scale; 32 signed bytes
void decode_q8_0(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 34, to += 32) {
    const float scale = half(from);
    for (int i = 0; i < 32; i++) to[i] = real(s8(from + 2 + i)) * scale;
  }
}

// 16 bytes: low nibble scale, high nibble minimum of 16 values; 64 bytes of 2-bit codes; half scale, minimum.
// Each 32 bytes of codes hold four planes of 32 values, lowest bits first.
void decode_q2_k(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 84, to += 256) {
    const float scale = half(from + 80);
    const float minimum = half(from + 82);
    for (int group = 0; group < 16; group++) {
      const uint32_t pair = u8(from + group);
      Codes<16> codes(from + 16 + group / 8 * 32 + group % 2 * 16);
      codes.cut(group % 8 / 2 * 2, 3);
      codes.put(scale * real(pair & 15u), 0, minimum * real(pair >> 4), to + 16 * group);
    }
  }
}

// 32 bytes of third bits (bit i / 32 of byte i % 32); 64 bytes of 2-bit codes as in q2_k; 16 scales of 6 bits in 12
// bytes (8 bytes of low nibbles, 4 bytes of high pairs); half scale. A third bit that is *not* set subtracts 4.
void decode_q3_k(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 110, to += 256) {
    const float scale = half(from + 108);
    const std::byte* packed = from + 96;
    for (int group = 0; group < 16; group++) {
      const uint32_t low = u8(packed + group % 8) >> (group / 8 * 4) & 15u;
      const uint32_t high = u8(packed + 8 + group % 4) >> (group / 4 * 2) & 3u;
      Codes<16> codes(from + 32 + group / 8 * 32 + group % 2 * 16), third(from + group % 2 * 16);
      codes.cut(group % 8 / 2 * 2, 3);
      third.cut(group / 2, 1);
      codes.add(third, 4);
      codes.put(scale * real(static_cast<int>(low | high << 4) - 32), 4, to + 16 * group);
    }
  }
}

// half scale, minimum; 12 bytes of scale_minimum(); 128 bytes of nibbles: each 32 bytes hold the low nibbles of one
// sub-block of 32 and the high nibbles of the next.
void decode_q4_k(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 144, to += 256) {
    const float scale = half(from);
    const float minimum = half(from + 2);
    for (int sub = 0; sub < 8; sub++) {
      const auto [sub_scale, sub_minimum] = scale_minimum(from + 4, sub);
      Codes<32> codes(from + 16 + sub / 2 * 32);
      codes.cut(sub % 2 * 4, 15);
      codes.put(scale * real(sub_scale), 0, minimum * real(sub_minimum), to + 32 * sub);
    }
  }
}

// half scale, minimum; 12 bytes of scale_minimum(); 32 bytes of fifth bits (bit i / 32 of byte i % 32); nibbles as in
// q4_k
void decode_q5_k(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 176, to += 256) {
    const float scale = half(from);
    const float minimum = half(from + 2);
    for (int sub = 0; sub < 8; sub++) {
      const auto [sub_scale, sub_minimum] = scale_minimum(from + 4, sub);
      Codes<32> codes(from + 48 + sub / 2 * 32), fifth(from + 16);
      codes.cut(sub % 2 * 4, 15);
      fifth.cut(sub, 1);
      codes.add(fifth, 16);
      codes.put(scale * real(sub_scale), 0, minimum * real(sub_minimum), to + 32 * sub);
    }
  }
}

// 128 bytes of low nibbles; 64 bytes of high pairs; 16 signed scales; half scale. In each half of 128 values, values
// 0-63 are the low nibbles of 64 bytes and 64-127 the high ones; the pairs lie in four planes of 32 values.
void decode_q6_k(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 210, to += 256) {
    const float scale = half(from + 208);
    for (int group = 0; group < 16; group++) {
      const int first = group % 8 * 16;  // within the half
      Codes<16> codes(from + group / 8 * 64 + first % 64), high(from + 128 + group / 8 * 32 + first % 32);
      codes.cut(first / 64 * 4, 15);
      high.cut(first / 32 * 2, 3);
      codes.add(high, 16);
      codes.put(scale * real(s8(from + 192 + group)), 32, to + 16 * group);
    }
  }
}

// half scale; 16 bytes of nibbles that choose a level
void decode_iq4_nl(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 18, to += 32) {
    const float scale = half(from);
    for (int i = 0; i < 32; i++) to[i] = scale * real(kLevels[nibble(from + 2, i)]);
  }
}

// half scale; 16 bits with the high pairs and 4 bytes with the low nibbles of eight 6-bit scales; 8 x 16 bytes of
// nibbles
void decode_iq4_xs(const std::byte* from, float* to, int64_t blocks) {
  for (int64_t block = 0; block < blocks; block++, from += 136, to += 256) {
    const float scale = half(from);
    const uint32_t high = u16(from + 2);
    for (int sub = 0; sub < 8; sub++) {
      const uint32_t low = u8(from + 4 + sub / 2) >> (sub % 2 * 4) & 15u;
      const float sub_scale = scale * real(static_cast<int>(low | (high >> (2 * sub) & 3u) << 4) - 32);
      for (int i = 0; i < 32; i++) to[sub * 32 + i] = sub_scale * real(kLevels[nibble(from + 8 + 16 * sub, i)]);
    }
  }
}

}  // namespace lancet
