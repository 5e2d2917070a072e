// What streams out is the whole text's result, however the bytes were cut into tokens.
#include "text/text_stream.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "base/utf8.h"

namespace lancet {
namespace {

struct Result {
  std::string text;
  std::optional<std::string> stopped_by;
};

Result stream(const std::vector<std::string>& stop, const std::vector<std::string>& tokens) {
  TextStream stream(stop);
  Result result;
  for (const std::string& token : tokens) {
    const std::string out = stream.push(token);
    EXPECT_TRUE(utf8_valid(out)) << quoted(out);
    result.text += out;
  }
  result.text += stream.finish();
  result.stopped_by = stream.stopped_by();
  return result;
}

/// The definition: of all matches the one that is complete first, of those the longest.
Result whole_text(const std::vector<std::string>& stop, std::string_view bytes) {
  const std::string text = utf8_lossy(bytes);
  for (size_t end = 1; end <= text.size(); end++) {
    const std::string_view prefix = std::string_view(text).substr(0, end);
    const std::string* longest = nullptr;
    for (const std::string& s : stop) {
      if (prefix.ends_with(s) && (!longest || s.size() > longest->size())) longest = &s;
    }
    if (longest) return {text.substr(0, end - longest->size()), *longest};
  }
  return {text, std::nullopt};
}

std::vector<std::string> random_cut(std::string_view bytes, Random& random) {
  std::vector<std::string> tokens;
  while (!bytes.empty()) {
    const size_t size = std::min<size_t>(bytes.size(), random.below(4));
    tokens.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return tokens;
}

TEST(TextStream, EveryCutGivesTheWholeTextsResult) {
  const std::vector<std::string> letters = {"a",          "b",        "ab",   "\n",   "\u00e9",  "\u4e2d",
                                            "\U0001F642", "\xf0\x9f", "\x99", "\xff", "\xe2\x82"};
  const std::vector<std::vector<std::string>> stops = {{},
                                                       {"ab"},
                                                       {"aab", "b\n"},
                                                       {"aba", "ba"},
                                                       {"abab", "a\u4e2d"},
                                                       {"\U0001F642"},
                                                       {"\u00e9\u4e2d"},
                                                       {"b", "ab", "aab"}};
  Random random(3);
  for (int round = 0; round < 4000; round++) {
    std::string bytes;
    for (size_t i = random.below(12); i > 0; i--) bytes += letters[random.below(letters.size())];
    const auto& stop = stops[random.below(stops.size())];
    const Result expected = whole_text(stop, bytes), found = stream(stop, random_cut(bytes, random));
    ASSERT_EQ(found.text, expected.text) << quoted(bytes);
    ASSERT_EQ(found.stopped_by, expected.stopped_by) << quoted(bytes);
  }
}

TEST(TextStream, AnEmojiInFourTokensComesOutWhole) {
  TextStream stream;
  EXPECT_EQ(stream.push("\xf0"), "");
  EXPECT_EQ(stream.push("\x9f"), "");
  EXPECT_EQ(stream.push("\x99"), "");
  EXPECT_EQ(stream.push("\x82!"), "\U0001F642!");
}

TEST(TextStream, AnUnfinishedCharacterIsReplacedAtTheEnd) {
  TextStream stream;
  EXPECT_EQ(stream.push("x\xf0\x9f"), "x");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

TEST(TextStream, OnlyAPossibleStopIsHeldBack) {
  TextStream stream({"STOP"});
  EXPECT_EQ(stream.push("abcS"), "abc");
  EXPECT_EQ(stream.push("T"), "");
  EXPECT_EQ(stream.push("x"), "STx");
  EXPECT_EQ(stream.push("ST"), "");
  EXPECT_EQ(stream.push("OPmore"), "");
  EXPECT_EQ(stream.stopped_by(), "STOP");
  EXPECT_EQ(stream.push("more"), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, TheBeginningOfAStopIsTextWhenNothingFollows) {
  TextStream stream({"</s>"});
  EXPECT_EQ(stream.push("a</"), "a");
  EXPECT_EQ(stream.finish(), "</");
  EXPECT_EQ(stream.stopped_by(), std::nullopt);
}

}  // namespace
}  // namespace lancet
