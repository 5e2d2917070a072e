// JSON under limits: what RFC 8259 allows is read, everything else is one clear Error with the offset.
#include "base/json.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <string>

namespace lancet {
namespace {

boost::json::value parse(std::string_view text, JsonLimits limits = {}) {
  Budget budget("the test");
  return parse_json(text, "file.json", limits, budget);
}

std::string complaint(std::string_view text, JsonLimits limits = {}) {
  try {
    parse(text, limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::bad_file);
    return error.message();
  }
  return "";
}

TEST(Json, KeepsOrderAndKinds) {
  const auto value = parse(R"( {"b": 1, "a": [1.5, "x\u00e9", true, null], "c": -9223372036854775808} )");
  EXPECT_EQ(boost::json::serialize(value), R"({"b":1,"a":[1.5E0,"xé",true,null],"c":-9223372036854775808})");
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":1,}", "nul", "1 2", "\"\\ud800\"", "\"\xff\"", "NaN", "01",
                           "'a'", "\xef\xbb\xbf{}", "// c\n1"}) {
    EXPECT_NE(complaint(text), "") << text;
  }
}

TEST(Json, NamesARepeatedKey) {
  EXPECT_NE(complaint(R"({"a":1,"b":{"a":2},"a":3})").find("repeats the key \"a\""), std::string::npos);
  EXPECT_EQ(complaint(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]})"), "");
}

TEST(Json, HoldsItsLimitsAtTheLimitAndOnePast) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(complaint(nested(32)), "");
  EXPECT_NE(complaint(nested(33)), "");
  EXPECT_NE(complaint(nested(100000)), "");
  EXPECT_EQ(complaint("[1,2,3]", {.nodes = 4}), "");
  EXPECT_NE(complaint("[1,2,3,4]", {.nodes = 4}).find("too many values"), std::string::npos);
}

TEST(JsonView, NamesThePlaceAndTheWantedRange) {
  const auto value = parse(R"({"text":{"heads":[4,"x"],"big":1e300,"whole":16384.0,"off":null}})");
  const JsonView root(value, "config.json", Fault::bad_file);
  const JsonView text = root.at("text");
  EXPECT_EQ(text.at("whole").integer(1, 20000), 16384);
  EXPECT_EQ(text.at("heads").element(0).integer(0, 4), 4);
  EXPECT_FALSE(text.find("off"));
  const auto message = [](auto call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  };
  EXPECT_EQ(message([&] { text.at("heads").element(1).integer(1, 9); }),
            "config.json: text.heads[1] is \"x\", wanted an integer from 1 to 9");
  EXPECT_EQ(message([&] { text.at("heads").element(0).integer(5, 9); }),
            "config.json: text.heads[0] is 4, wanted an integer from 5 to 9");
  EXPECT_EQ(message([&] { text.at("none"); }), "config.json: text.none is missing");
  EXPECT_NE(message([&] { text.at("big").integer(0, INT64_MAX); }), "");
}

}  // namespace
}  // namespace lancet
