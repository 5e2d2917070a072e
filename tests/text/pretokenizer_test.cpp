// The scanner against PCRE2 running the patterns themselves, and its two promises that regex engines broke elsewhere:
// linear time and constant stack, whatever the text.
#include "text/pretokenizer.h"

#include <gtest/gtest.h>

#ifdef LANCET_HAS_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

#include "base/error.h"
#include "base/random.h"
#include "base/utf8.h"
#include "text/unicode.h"

namespace lancet {
namespace {

constexpr SplitPattern kPatterns[] = {SplitPattern::tekken, SplitPattern::gpt2, SplitPattern::llama3,
                                      SplitPattern::smollm};

std::vector<std::string> split(SplitPattern pattern, std::string_view text) {
  Budget budget("test");
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size();) {
    const size_t end = next_piece(pattern, text, at, budget);
    pieces.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return pieces;
}

/// At least one of every general category, what patterns name one by one, and ill-formed UTF-8. U+180E is missing on
/// purpose: PCRE2's \s still has it, Unicode's White_Space does not.
const std::vector<std::string> kAlphabet = {
    "A",          "Z",          "\u0411",   "\U0001D400",  // Lu
    "\u01C5",                                              // Lt
    "a",          "s",          "t",        "r",
    "e",          "v",          "m",        "l",
    "d",          "\u044F",     "\u017F",  // Ll
    "S",          "T",          "R",        "E",
    "V",          "M",          "L",        "D",
    "\u02B0",     "\u3005",                                // Lm
    "\u4E2D",     "\u0627",     "\uAC00",   "\U00020000",  // Lo
    "\u0301",     "\u0903",     "\u20DD",   "\uFE0F",      // Mn Mc Me Mn
    "1",          "9",          "\u0663",   "\u2167",
    "\u00B2",     "\u00BD",  // Nd Nl No
    "_",          "-",          "(",        ")",
    "\u00AB",     "\u00BB",     "!",        ".",
    "/",          "'",  // Pc Pd Ps Pe Pi Pf Po
    "+",          "$",          "^",        "\u00A9",
    "\U0001F642",  // Sm Sc Sk So
    " ",          "\u00A0",     "\u3000",   "\u2028",
    "\u2029",  // Zs Zl Zp
    "\n",         "\r",         "\t",       "\v",
    "\x01",       "\u0085",  // Cc
    "\u200D",     "\uFEFF",     "\uE000",   "\u0378",
    "\uFFFF",     "\U0010FFFF",  // Cf Co Cn
    "\xff",       "\x80",       "\xe2\x82", "\xed\xa0\x80",
    "\xc0\xaf",   "\xf4\x90",  // ill-formed
};

#ifdef LANCET_HAS_PCRE2

/// A compiled pattern; matches() cuts a well-formed text as a tokenizer would and checks that nothing is left between.
class Regex {
 public:
  explicit Regex(const char* pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error,
                          &offset, nullptr);
    EXPECT_NE(code_, nullptr) << pattern;
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Regex() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  Regex(const Regex&) = delete;

  void cut(std::string_view text, std::vector<std::string>& pieces) const {
    for (size_t at = 0; at < text.size();) {
      const int count = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                    PCRE2_NO_UTF_CHECK, match_, nullptr);
      ASSERT_GT(count, 0);
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_);
      ASSERT_EQ(range[0], at);
      pieces.emplace_back(text.substr(at, range[1] - at));
      at = range[1];
    }
  }
  /// Matches alone, and what lies between as pieces too (Hugging Face: Isolated).
  std::vector<std::string> isolate(std::string_view text) const {
    std::vector<std::string> pieces;
    size_t at = 0;
    while (at < text.size() && pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                           PCRE2_NO_UTF_CHECK, match_, nullptr) > 0) {
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_);
      if (range[0] > at) pieces.emplace_back(text.substr(at, range[0] - at));
      pieces.emplace_back(text.substr(range[0], range[1] - range[0]));
      at = range[1];
    }
    if (at < text.size()) pieces.emplace_back(text.substr(at));
    return pieces;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* match_;
};

std::vector<std::string> reference_split(SplitPattern pattern, std::string_view text) {
  static const Regex tekken(R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
                            R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
                            R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  static const Regex gpt2(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
  static const Regex llama3(
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
      R"(|\s*[\r\n]+|\s+(?!\S)|\s+)");
  static const Regex number(R"(\p{N})");
  std::vector<std::string> pieces;
  switch (pattern) {
    case SplitPattern::tekken: tekken.cut(text, pieces); break;
    case SplitPattern::gpt2: gpt2.cut(text, pieces); break;
    case SplitPattern::llama3: llama3.cut(text, pieces); break;
    case SplitPattern::smollm:
      for (const std::string& part : number.isolate(text)) gpt2.cut(part, pieces);
      break;
  }
  return pieces;
}

/// Compares on the text as the regex sees it: ill-formed parts as U+FFFD.
void expect_same(SplitPattern pattern, const std::string& text) {
  std::vector<std::string> pieces = split(pattern, text);
  for (std::string& piece : pieces) piece = utf8_lossy(piece);
  ASSERT_EQ(pieces, reference_split(pattern, utf8_lossy(text)))
      << "pattern " << static_cast<int>(pattern) << ", text " << quoted(text, 1000);
}

TEST(Pretokenizer, AgreesWithPcreOnRandomTexts) {
  Random random(1);
  for (int round = 0; round < 6000; round++) {
    std::string text;
    // Few different characters a text: then runs and their borders are common.
    const size_t variety = 1 + random.below(8), length = 1 + random.below(30);
    std::vector<std::string> letters;
    for (size_t i = 0; i < variety; i++) letters.push_back(kAlphabet[random.below(kAlphabet.size())]);
    for (size_t i = 0; i < length; i++) text += letters[random.below(variety)];
    for (const SplitPattern pattern : kPatterns) ASSERT_NO_FATAL_FAILURE(expect_same(pattern, text));
  }
}

TEST(Pretokenizer, AgreesWithPcreOnAllShortTextsOfOneCharacterAClass) {
  const std::vector<std::string> letters = {"A", "a", "\u02B0", "\u0301", "1", " ", "\t", "\n", "!", "/", "'", "s"};
  for (size_t code = 0; code < letters.size() * letters.size() * letters.size() * letters.size(); code++) {
    std::string text;
    for (size_t rest = code, i = 0; i < 4; i++, rest /= letters.size()) text += letters[rest % letters.size()];
    for (const SplitPattern pattern : kPatterns) ASSERT_NO_FATAL_FAILURE(expect_same(pattern, text));
  }
}

#else
TEST(Pretokenizer, AgreesWithPcre) { GTEST_SKIP() << "DID NOT RUN: built without libpcre2-dev"; }
#endif

TEST(Pretokenizer, PiecesCoverTheTextWithoutGaps) {
  Random random(2);
  for (int round = 0; round < 500; round++) {
    std::string text, joined;
    for (size_t i = random.below(60); i > 0; i--) text += kAlphabet[random.below(kAlphabet.size())];
    for (const SplitPattern pattern : kPatterns) {
      joined.clear();
      for (const std::string& piece : split(pattern, text)) joined += piece;
      ASSERT_EQ(joined, text);
    }
  }
}

/// Budget steps that cutting takes: bytes looked at, hence time, but without a clock's noise.
uint64_t steps_for(SplitPattern pattern, std::string_view text) {
  uint64_t low = 1, high = 64 * (text.size() + 1);
  const auto enough = [&](uint64_t steps) {
    Budget budget("test", {.steps = steps});
    try {
      for (size_t at = 0; at < text.size();) at = next_piece(pattern, text, at, budget);
    } catch (const Error&) {
      return false;
    }
    return true;
  };
  EXPECT_TRUE(enough(high)) << "more than 64 steps a byte";
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (enough(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

std::string repeated(std::string_view unit, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; i++) text += unit;
  return text;
}

TEST(Pretokenizer, TakesLinearTimeOnRunsOfEveryCategory) {
  for (const std::string& letter : kAlphabet) {
    for (const SplitPattern pattern : kPatterns) {
      const std::string text = repeated(letter, 20'000);
      Budget budget("test", {.steps = 12 * text.size() + 100});
      size_t at = 0;
      while (at < text.size()) at = next_piece(pattern, text, at, budget);
      ASSERT_EQ(at, text.size()) << quoted(letter);
    }
  }
}

TEST(Pretokenizer, TakesLinearTimeOnAlternationsAndBorders) {
  for (const std::string& a : kAlphabet) {
    for (const char* b : {"A", "a", "\u4E2D", "\u0301", " ", "\n", "!", "/", "1"}) {
      for (const SplitPattern pattern : kPatterns) {
        for (const std::string& text : {repeated(a + b, 400), a + repeated(b, 800), repeated(b, 800) + a}) {
          Budget budget("test", {.steps = 16 * text.size() + 100});
          for (size_t at = 0; at < text.size();) at = next_piece(pattern, text, at, budget);
        }
      }
    }
  }
}

TEST(Pretokenizer, TenTimesTheTextTakesTenTimesTheSteps) {
  for (const char* unit : {"A", "\u4E2D", "a\u0301", " ", " \n", "!/", "AAAAAAA\u02B0", "1"}) {
    for (const SplitPattern pattern : kPatterns) {
      const uint64_t small = steps_for(pattern, repeated(unit, 1000));
      const uint64_t large = steps_for(pattern, repeated(unit, 10'000));
      EXPECT_LT(large, 11 * small) << quoted(unit);
    }
  }
}

TEST(Pretokenizer, NamesOfPropertiesHoldForKnownCharacters) {
  EXPECT_EQ(char_class(U'A'), CharClass::upper);
  EXPECT_EQ(char_class(0x1c5), CharClass::title);
  EXPECT_EQ(char_class(0x4e00), CharClass::other_letter);  // First and Last of a range in UnicodeData.txt
  EXPECT_EQ(char_class(0x9fff), CharClass::other_letter);
  EXPECT_EQ(char_class(0xac01), CharClass::other_letter);
  EXPECT_EQ(char_class(0x323af), CharClass::other_letter);  // new in Unicode 15.0
  EXPECT_EQ(char_class(0x20dd), CharClass::mark);
  EXPECT_EQ(char_class(0x663), CharClass::digit);
  EXPECT_EQ(char_class(0xbd), CharClass::number);
  for (const char32_t c : {0x09u, 0x85u, 0xa0u, 0x1680u, 0x2028u, 0x3000u}) {
    EXPECT_EQ(char_class(c), CharClass::white_space);
  }
  for (const char32_t c : {0x180eu, 0x200bu, 0xfeffu, 0xfffdu, 0xe000u, 0x10ffffu, 0x110000u, 0xffffffffu}) {
    EXPECT_EQ(char_class(c), CharClass::other);
  }
}

}  // namespace
}  // namespace lancet
