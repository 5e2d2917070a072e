#include "cli/json_text.h"

#include <gtest/gtest.h>

namespace lancet {
namespace {

TEST(JsonText, HasOneSpelling) {
  EXPECT_EQ(canonical_json("{ \"b\" :1,\n\"a\":[ true,null , {} ] }"), R"({"b": 1, "a": [true, null, {}]})");
  EXPECT_EQ(canonical_json(R"("\u0041\/\u00e9\n\u0001\u001F\"\\\ud83d\ude00")"),
            "\"A/\xc3\xa9\\n\\u0001\\u001f\\\"\\\\\xf0\x9f\x98\x80\"");
}

TEST(JsonText, NumbersKeepTheirDigitsAndLoseTheirExponent) {
  for (const auto& [from, to] :
       {std::pair("1.0", "1.0"), std::pair("-0", "-0"), std::pair("1e3", "1000"), std::pair("1.25E+1", "12.5"),
        std::pair("-1.5e-3", "-0.0015"), std::pair("12e-1", "1.2"), std::pair("0.5e1", "5"), std::pair("0e9", "0"),
        std::pair("0.001e2", "0.1"), std::pair("123456789012345678901234567890", "123456789012345678901234567890"),
        std::pair("1e9999", "1e9999"), std::pair("100e-2", "1.00"), std::pair("0.01e3", "10")})
    EXPECT_EQ(canonical_json(from), to);
}

TEST(JsonText, MembersAndElementsAreFoundAsWritten) {
  const std::string_view line = R"({"schema": {"instances": [9]}, "instances" : [ {"data": 1e2}, [], "]"] })";
  EXPECT_EQ(json_member(line, "schema"), R"({"instances": [9]})");
  const auto elements = json_elements(json_member(line, "instances"));
  ASSERT_EQ(elements.size(), 3u);
  EXPECT_EQ(json_member(elements[0], "data"), "1e2");
  EXPECT_EQ(elements[1], "[]");
  EXPECT_EQ(elements[2], "\"]\"");
  EXPECT_EQ(json_member(line, "none"), "");
  EXPECT_TRUE(json_elements("[]").empty());
}

}  // namespace
}  // namespace lancet
