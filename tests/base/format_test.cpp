// Number formats against recorded values of other people's software, and the conversions against their definition.
#include "base/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "base/json.h"
#include "support/paths.h"

namespace lancet {
namespace {

uint32_t bits_of(float value) { return __builtin_bit_cast(uint32_t, value); }
float float_of(uint32_t bits) { return __builtin_bit_cast(float, bits); }

boost::json::value read_data(const std::string& name) {
  std::ifstream file(test::data_path(name));
  std::stringstream text;
  text << file.rdbuf();
  Budget budget("the test");
  return parse_json(text.str(), name, {}, budget);
}

std::vector<std::byte> bytes_of_hex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

Format format_named(std::string name) {
  for (char& c : name) c = static_cast<char>(std::tolower(c));
  for (int i = 0; i < kFormatCount; i++) {
    if (format_name(static_cast<Format>(i)) == name) return static_cast<Format>(i);
  }
  ADD_FAILURE() << "no format " << name;
  return Format::f32;
}

TEST(Format, DecodesRecordedBlocksBitForBit) {
  const auto data = read_data("blocks.json");
  int checked = 0;
  for (const auto& [name, type] : data.at("types").as_object()) {
    const FormatInfo& info = format_info(format_named(std::string(name)));
    const auto elements = type.at("block_elements").to_number<int>();
    EXPECT_EQ(elements % info.block_values, 0) << info.name;
    EXPECT_EQ(type.at("block_bytes").to_number<int>(), elements / info.block_values * info.block_bytes) << info.name;
    for (const auto& block : type.at("blocks").as_array()) {
      const auto bytes = bytes_of_hex(block.at("hex").as_string());
      const auto& wanted = block.at("values").as_array();
      std::vector<float> values(wanted.size());
      info.decode(bytes.data(), values.data(), elements / info.block_values);
      for (size_t i = 0; i < wanted.size(); i++) {
        if (wanted[i].is_null()) {
          EXPECT_TRUE(std::isnan(values[i]));
        } else {
          ASSERT_EQ(bits_of(values[i]), bits_of(wanted[i].to_number<float>())) << info.name << " value " << i;
        }
        checked++;
      }
    }
  }
  EXPECT_GE(checked, 4 * (8 * 32 + 6 * 256));
}

TEST(Format, DecodesAnyBytesAtAnyAddress) {
  for (int f = 0; f < kFormatCount; f++) {
    const FormatInfo& info = format_info(static_cast<Format>(f));
    const auto size = static_cast<size_t>(info.block_bytes);
    std::vector<std::byte> bytes(3 * size + 1);
    std::vector<float> together(3 * static_cast<size_t>(info.block_values)), alone(together.size());
    for (int fill = 0; fill < 256; fill++) {
      for (size_t i = 0; i < bytes.size(); i++)
        bytes[i] = static_cast<std::byte>(fill * 7 + static_cast<int>(i) * fill);
      info.decode(bytes.data() + 1, together.data(), 3);
      for (size_t block = 0; block < 3; block++) {
        const std::vector<std::byte> one(bytes.begin() + 1 + static_cast<std::ptrdiff_t>(block * size),
                                         bytes.begin() + 1 + static_cast<std::ptrdiff_t>((block + 1) * size));
        info.decode(one.data(), alone.data() + block * static_cast<size_t>(info.block_values), 1);
      }
      ASSERT_EQ(std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)), 0) << info.name;
    }
  }
}

TEST(Format, RowBytesCountsWholeBlocks) {
  EXPECT_EQ(row_bytes(Format::f8_e4m3, 3072), 3072);
  EXPECT_EQ(row_bytes(Format::q4_1, 576), 360);
  EXPECT_EQ(row_bytes(Format::q4_k, 512), 288);
}

TEST(Format, E4m3DecodesAllCodes) {
  const auto data = read_data("fp8.json");
  const auto& decode = data.at("decode").as_array();
  ASSERT_EQ(decode.size(), 256u);
  for (unsigned code = 0; code < 256; code++) {
    const float value = f32_from_e4m3(static_cast<uint8_t>(code));
    if (decode[code].is_null()) {
      EXPECT_TRUE(std::isnan(value)) << code;
    } else {
      EXPECT_EQ(bits_of(value), bits_of(decode[code].to_number<float>())) << code;
      EXPECT_EQ(e4m3_from_f32(value), code);
    }
  }
}

TEST(Format, E4m3RoundsLikeTheReference) {
  const auto data = read_data("fp8.json");
  size_t checked = 0;
  for (const auto& pair : data.at("encode").as_array()) {
    const float value = float_of(pair.at(0).to_number<uint32_t>());
    EXPECT_EQ(int{e4m3_from_f32(value)}, pair.at(1).to_number<int>()) << value;
    checked++;
  }
  EXPECT_GE(checked, 2000u);
  EXPECT_EQ(e4m3_from_f32(std::numeric_limits<float>::quiet_NaN()) & 0x7f, 0x7f);
  EXPECT_EQ(e4m3_from_f32(-std::numeric_limits<float>::infinity()), 0xfe);
}

TEST(Format, F16RoundTripsEveryFiniteCode) {
  for (uint32_t code = 0; code < 65536; code++) {
    const float value = f32_from_f16(static_cast<uint16_t>(code));
    const bool nan = (code & 0x7fff) > 0x7c00;
    EXPECT_EQ(std::isnan(value), nan);
    EXPECT_EQ(f16_from_f32(value), nan ? (code | 0x200) : code);
    if (!nan && (code & 0x7fff) < 0x7c00) {
      const int exponent = static_cast<int>(code >> 10 & 31);
      const double magnitude =
          exponent == 0 ? std::ldexp(code & 1023, -24) : std::ldexp((code & 1023) + 1024, exponent - 25);
      ASSERT_EQ(value, static_cast<float>((code & 0x8000) != 0 ? -magnitude : magnitude)) << code;
    }
  }
}

/// The nearest code by search, ties to the even one: the slow, obvious definition.
uint16_t nearest_f16(float value) {
  const double magnitude = std::fabs(static_cast<double>(value));
  uint16_t low = 0, high = 0x7c00;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (static_cast<double>(f32_from_f16(middle)) <= magnitude ? low : high) = middle;
  }
  const double above = high == 0x7c00 ? 65536.0 : static_cast<double>(f32_from_f16(high));
  const double to_low = magnitude - static_cast<double>(f32_from_f16(low)), to_high = above - magnitude;
  const bool up = to_high < to_low || (to_high == to_low && (low & 1) != 0);
  return static_cast<uint16_t>((up ? high : low) | (std::signbit(value) ? 0x8000 : 0));
}

TEST(Format, F16RoundsToNearestEven) {
  for (uint32_t step = 0; step < 200'000; step++) {
    const uint32_t bits = step * 21'467u;  // visits every exponent
    if ((bits & 0x7fffffffu) >= 0x7f800000u) continue;
    ASSERT_EQ(f16_from_f32(float_of(bits)), nearest_f16(float_of(bits))) << std::hexfloat << float_of(bits);
  }
  for (uint32_t code = 0; code < 0x7c00; code++) {  // halfway points and their neighbours
    const float low = f32_from_f16(static_cast<uint16_t>(code));
    const float high = code == 0x7bff ? 65536.0f : f32_from_f16(static_cast<uint16_t>(code + 1));
    const float middle = low + (high - low) / 2;
    for (const float value : {std::nextafter(middle, 0.0f), middle, std::nextafter(middle, 1e30f), -middle}) {
      ASSERT_EQ(f16_from_f32(value), nearest_f16(value)) << std::hexfloat << value;
    }
  }
  EXPECT_EQ(f16_from_f32(1e30f), 0x7c00);
}

TEST(Format, Bf16RoundsToNearestEven) {
  EXPECT_EQ(bf16_from_f32(1.0f), 0x3f80);
  EXPECT_EQ(bf16_from_f32(float_of(0x3f808000)), 0x3f80);
  EXPECT_EQ(bf16_from_f32(float_of(0x3f818000)), 0x3f82);
  EXPECT_EQ(bf16_from_f32(float_of(0x3f808001)), 0x3f81);
  EXPECT_EQ(bf16_from_f32(float_of(0xff7fffff)), 0xff80);  // the largest number rounds to infinity
  EXPECT_EQ(bf16_from_f32(float_of(0x7f800001)), 0x7fc0);  // a NaN stays one
  for (uint32_t code = 0; code < 65536; code++) {
    const float value = f32_from_bf16(static_cast<uint16_t>(code));
    if (std::isnan(value)) continue;
    EXPECT_EQ(bf16_from_f32(value), code);
  }
}

}  // namespace
}  // namespace lancet
