// The UTF-8 decoder against the definition: well-formed text round-trips, each maximal ill-formed subpart is one
// U+FFFD.
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace lancet {
namespace {

bool is_scalar(char32_t c) { return c < 0x110000 && !(c >= 0xd800 && c < 0xe000); }

TEST(Utf8, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c < 0x110000; c++) {
    if (!is_scalar(c)) continue;
    std::string text;
    utf8_append(text, c);
    const Utf8Step step = utf8_next(text + "x");
    ASSERT_TRUE(step.valid) << std::hex << static_cast<uint32_t>(c);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.length, text.size());
  }
}

TEST(Utf8, MaximalSubpartsBecomeOneReplacementEach) {
  // Unicode 15, table 3-8 and its neighbours.
  const std::string r = "\xef\xbf\xbd";
  const std::pair<std::string, std::string> cases[] = {
      {"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64", "a" + r + r + r + "b" + r + "c" + r + r + "d"},
      {"\xc0\xaf", r + r},          // overlong
      {"\xed\xa0\x80", r + r + r},  // surrogate
      {"\xf4\x90\x80\x80", r + r + r + r},
      {"\xff", r},
      {"\xe2\x82", r},
      {"ok", "ok"},
  };
  for (const auto& [bytes, wanted] : cases) {
    EXPECT_EQ(utf8_lossy(bytes), wanted);
    EXPECT_EQ(utf8_valid(bytes), bytes == wanted);
  }
}

TEST(Utf8, CompletePrefixNeverEndsInsideACharacter) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82";
  for (size_t cut = 0; cut <= text.size(); cut++) {
    const size_t whole = utf8_complete_prefix(std::string_view(text).substr(0, cut));
    EXPECT_LE(whole, cut);
    EXPECT_TRUE(utf8_valid(std::string_view(text).substr(0, whole))) << cut;
    EXPECT_LT(cut - whole, 4u);
  }
  EXPECT_EQ(utf8_complete_prefix("\x80\x80"), 2u);  // nothing can complete these
  EXPECT_EQ(utf8_complete_prefix("\xe2\x28"), 2u);
  EXPECT_EQ(utf8_complete_prefix("a\xf0\x9f"), 1u);
}

}  // namespace
}  // namespace lancet
