// Patterns against PCRE2 on all short texts, and by hand where engines differ or PCRE2 is no oracle.
#include "grammar/regex_syntax.h"

#include <gtest/gtest.h>

#ifdef LANCET_HAS_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

#include "base/error.h"
#include "base/random.h"

namespace lancet {
namespace {

bool accepts(std::string_view pattern, std::string_view text, RegexUse use = RegexUse::search) {
  TermPool pool;
  Budget budget("test");
  const Term term = parse_regex(pool, pattern, use, budget);
  return pool.matches(term, text, budget);
}

/// The fault of a pattern, or nothing.
std::optional<Fault> fault_of(std::string_view pattern) {
  TermPool pool;
  Budget budget("test");
  try {
    parse_regex(pool, pattern, RegexUse::search, budget);
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("at offset"), std::string::npos) << error.message();
    return error.fault();
  }
  return std::nullopt;
}

/// All texts over a, b, c of up to `length` characters.
std::vector<std::string> short_texts(size_t length) {
  std::vector<std::string> texts{""};
  for (size_t i = 0; texts[i].size() < length; ++i) {
    for (char c : {'a', 'b', 'c'}) texts.push_back(texts[i] + c);
  }
  return texts;
}

/// A random pattern over a, b, c, with anchors anywhere and look-ahead where it is supported.
class PatternMaker {
 public:
  explicit PatternMaker(uint64_t seed) : random_(seed) {}
  std::string top() {
    std::string out;
    const uint64_t parts = 1 + random_.below(3);
    for (uint64_t i = 0; i < parts; ++i) {
      if (random_.below(8) == 0) out += (random_.below(2) ? "(?=" : "(?!") + pattern(2, false) + ")";
      out += pattern(3, true);
    }
    return random_.below(4) == 0 ? out + "|" + pattern(2, true) : out;
  }

 private:
  std::string pattern(int depth, bool anchors) {
    switch (random_.below(depth == 0 ? 4 : 9)) {
      case 0: return anchors && random_.below(3) == 0 ? (random_.below(2) ? "^" : "$") : "a";
      case 1: return "b";
      case 2: return random_.below(2) ? "[ab]" : "[^a]";
      case 3: return random_.below(2) ? "." : "c";
      case 4: return pattern(depth - 1, anchors) + pattern(depth - 1, anchors);
      case 5: return "(" + pattern(depth - 1, anchors) + "|" + pattern(depth - 1, anchors) + ")";
      case 6: return "(?:" + pattern(depth - 1, anchors) + ")*";
      case 7: return "(" + pattern(depth - 1, anchors) + ")" + (random_.below(2) ? "?" : "+?");
      default: {
        const uint64_t min = random_.below(3);
        return "(" + pattern(depth - 1, anchors) + "){" + std::to_string(min) + "," +
               std::to_string(min + random_.below(3)) + "}";
      }
    }
  }
  Random random_;
};

#ifdef LANCET_HAS_PCRE2
class Oracle {
 public:
  explicit Oracle(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                          PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_START_OPTIMIZE, &error, &offset, nullptr);
    if (code_ != nullptr) match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Oracle() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  bool compiled() const { return code_ != nullptr; }
  bool found(const std::string& text) const {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, match_, nullptr) >= 0;
  }

 private:
  pcre2_code* code_ = nullptr;
  pcre2_match_data* match_ = nullptr;
};
#endif

TEST(Regex, RandomPatternsFindWhatPcre2Finds) {
#ifdef LANCET_HAS_PCRE2
  const std::vector<std::string> texts = short_texts(5);
  int compared = 0;
  for (uint64_t seed = 0; seed < 6000; ++seed) {
    const std::string pattern = PatternMaker(seed).top();
    TermPool pool;
    Budget budget("test");
    Term term;
    try {
      term = parse_regex(pool, pattern, RegexUse::search, budget);
    } catch (const Error& error) {
      ASSERT_EQ(error.fault(), Fault::unsupported) << pattern << ": " << error.message();
      continue;
    }
    const Oracle oracle(pattern);
    ASSERT_TRUE(oracle.compiled()) << pattern;
    ++compared;
    bool any = false;
    for (const std::string& text : texts) {
      const bool found = oracle.found(text);
      any = any || found;
      ASSERT_EQ(pool.matches(term, text, budget), found) << "pattern " << pattern << " text \"" << text << "\"";
    }
    ASSERT_TRUE(!any || !pool.is_empty(term, budget)) << pattern;
  }
  EXPECT_GT(compared, 5500);
#else
  GTEST_SKIP() << "DID NOT RUN: pcre2-8 was not found";
#endif
}

TEST(Regex, AnchorsHoldWhereTheyStand) {
  EXPECT_TRUE(accepts("^a|b$", "axx"));
  EXPECT_TRUE(accepts("^a|b$", "xxb"));
  EXPECT_FALSE(accepts("^a|b$", "xax"));
  EXPECT_TRUE(accepts("^$|(^x$)", ""));
  EXPECT_TRUE(accepts("^$|(^x$)", "x"));
  EXPECT_FALSE(accepts("^$|(^x$)", "xx"));
  EXPECT_FALSE(accepts("a^b", "ab"));
  EXPECT_TRUE(accepts("(^|,)x(,|$)", "y,x"));
  EXPECT_FALSE(accepts("(^|,)x(,|$)", "yx"));
  EXPECT_TRUE(accepts("^(?!foo$)", "foox"));
  EXPECT_FALSE(accepts("^(?!foo$)", "foo"));
  EXPECT_TRUE(accepts("^(?=.*[0-9])(?=.*[a-z]).{4,8}$", "ab12"));
  EXPECT_FALSE(accepts("^(?=.*[0-9])(?=.*[a-z]).{4,8}$", "abcd"));
  EXPECT_TRUE(accepts("^ab$", "ab", RegexUse::whole));
  EXPECT_FALSE(accepts("ab", "xab", RegexUse::whole));
  EXPECT_TRUE(accepts("ab", "xab"));
}

TEST(Regex, ClassesAndEscapesAreThoseOfEcmaScript) {
  EXPECT_TRUE(accepts("^\\d$", "7"));
  EXPECT_FALSE(accepts("^\\d$", "\u0667"));
  EXPECT_FALSE(accepts("^\\w$", "\u00e9"));
  EXPECT_TRUE(accepts("^\\s$", "\ufeff"));
  EXPECT_FALSE(accepts("^\\s$", "\u0085"));
  EXPECT_TRUE(accepts("^\\S$", "\u180e"));
  EXPECT_FALSE(accepts("^.$", "\u2028"));
  EXPECT_TRUE(accepts("^.$", "\U0001F600"));
  EXPECT_TRUE(accepts("^\\x41\\u0042\\u{43}\\cJ\\0$", std::string_view("ABC\n\0", 5)));
  EXPECT_TRUE(accepts("^\\uD83D\\uDE00$", "\U0001F600"));
  EXPECT_TRUE(accepts("^[\\w.-]+$", "a-b.c_d"));
  EXPECT_TRUE(accepts("^[\\w-.]+$", "a-b.c"));
  EXPECT_TRUE(accepts("^[\\b]$", "\b"));
  EXPECT_TRUE(accepts("^[^]$", "\n"));
  EXPECT_TRUE(accepts("^\\p{Lu}\\p{Letter}\\P{L}\\p{Nd}$", "\u0411\u044f-\u0663"));
  EXPECT_TRUE(accepts("^{a}\\-\\/]$", "{a}-/]"));
  EXPECT_FALSE(accepts("[]", "a"));
  EXPECT_TRUE(accepts("^(?<year>\\d{4})-(?:\\d{2})$", "2024-12"));
}

TEST(Regex, IllFormedPatternsAreRefusedWithTheirOffset) {
  for (const char* pattern :
       {"*a",    "a**",         "(",     ")",    "(a",   "a)",     "[a",  "a{2,1}", "[b-a]", "\\", "\\y", "\\x4",
        "\\u12", "\\u{110000}", "\\u{}", "\\c1", "\\01", "(?<>a)", "a*+", "{1}",    "\\p",   "^*", "\xff"}) {
    EXPECT_EQ(fault_of(pattern), Fault::bad_request) << pattern;
  }
}

TEST(Regex, WhatIsNotRegularIsRefusedByName) {
  for (const char* pattern : {"(a)\\1", "\\k<n>", "(?<=a)b", "(?<!a)b", "\\bword", "a{,3}", "\\p{Greek}", "(?i)a",
                              "(?>a)", "(?:(?!ab).)*c"}) {
    EXPECT_EQ(fault_of(pattern), Fault::unsupported) << pattern;
  }
}

TEST(Regex, NestingIsBoundedAndLengthIsNot) {
  EXPECT_EQ(fault_of(std::string(100000, '(')), Fault::bad_request);
  EXPECT_EQ(fault_of(std::string(199, '(') + "a" + std::string(199, ')')), std::nullopt);
  const std::string text(100000, 'x');
  EXPECT_TRUE(accepts("^" + text + "$", text));
  std::string many = "^(x0";
  for (int i = 1; i < 10000; ++i) many += "|x" + std::to_string(i);
  EXPECT_TRUE(accepts(many + ")$", "x9999"));
  EXPECT_FALSE(accepts(many + ")$", "x10000"));
  std::string options = "^";
  for (int i = 0; i < 500; ++i) options += "a?";
  EXPECT_TRUE(accepts(options + "$", std::string(500, 'a')));
  EXPECT_FALSE(accepts(options + "$", std::string(501, 'a')));
}

TEST(Regex, CountersCostNothingUntilWalked) {
  TermPool pool;
  Budget budget("test", {.steps = 10000});
  const Term term = parse_regex(pool, "^[a-z]{1,1000000}(,[a-z]{3,999999999}){2,}$", RegexUse::search, budget);
  EXPECT_EQ(pool.distance(term, budget), 9U);
  EXPECT_TRUE(pool.matches(term, "a,bcd,efg", budget));
  const Term found = parse_regex(pool, "a{3,100000}", RegexUse::search, budget);
  EXPECT_TRUE(pool.matches(found, std::string(50, 'a') + "b", budget));
  EXPECT_LT(pool.bytes(), size_t{200000});
}

}  // namespace
}  // namespace lancet
