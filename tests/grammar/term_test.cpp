// Terms against sets of texts: every operation is checked on all short texts, and the promises about cost by budgets.
#include "grammar/term.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/random.h"

namespace lancet {
namespace {

constexpr size_t kLongest = 5;

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> out{""};
    for (size_t i = 0; out[i].size() < kLongest; ++i) {
      for (char c : {'a', 'b', 'c'}) out.push_back(out[i] + c);
    }
    return out;
  }();
  return all;
}

/// A language as the set of its texts over a, b, c of up to kLongest characters; the slow obvious version.
using Language = std::set<std::string>;

struct Both {
  Term term;
  Language language;
};

Language concat(const Language& x, const Language& y) {
  Language out;
  for (const std::string& a : x) {
    for (const std::string& b : y) {
      if (a.size() + b.size() <= kLongest) out.insert(a + b);
    }
  }
  return out;
}

Language repeat(const Language& x, uint64_t min, std::optional<uint64_t> max) {
  Language power{""}, out;
  for (uint64_t i = 0; i <= max.value_or(min + kLongest); ++i) {
    if (i >= min) out.insert(power.begin(), power.end());
    power = concat(power, x);
  }
  return out;
}

class TermMaker {
 public:
  TermMaker(TermPool& pool, uint64_t seed) : pool_(pool), random_(seed) {}

  Both make(int depth) {
    switch (random_.below(depth == 0 ? 4 : 11)) {
      case 0: return {pool_.literal("a"), {"a"}};
      case 1: return {pool_.literal("bc"), {"bc"}};
      case 2: return {pool_.chars(CharSet({{'a', 'b'}})), {"a", "b"}};
      case 3: return {pool_.any_char(), {"a", "b", "c"}};
      case 4:
      case 5: {
        const Both x = make(depth - 1), y = make(depth - 1);
        return {pool_.concat({x.term, y.term}), concat(x.language, y.language)};
      }
      case 6:
      case 7: {
        const Both x = make(depth - 1), y = make(depth - 1);
        Language out = x.language;
        out.insert(y.language.begin(), y.language.end());
        return {pool_.either({x.term, y.term}), out};
      }
      case 8: {
        const Both x = make(depth - 1), y = make(depth - 1);
        Language out;
        for (const std::string& text : x.language) {
          if (y.language.count(text) > 0) out.insert(text);
        }
        return {pool_.both({x.term, y.term}), out};
      }
      case 9: {
        const Both x = make(depth - 1);
        Language out;
        for (const std::string& text : texts()) {
          if (x.language.count(text) == 0) out.insert(text);
        }
        return {pool_.complement(x.term), out};
      }
      default: {
        const Both x = make(depth - 1);
        const uint64_t min = random_.below(3);
        const std::optional<uint64_t> max =
            random_.below(2) ? std::nullopt : std::optional<uint64_t>(min + random_.below(3));
        return {pool_.repeat(x.term, min, max), repeat(x.language, min, max)};
      }
    }
  }

 private:
  TermPool& pool_;
  Random random_;
};

/// The term reached by a text; nothing() if it leads nowhere.
Term walk(TermPool& pool, Term term, const std::string& text, Budget& budget) {
  for (char c : text) term = pool.next(term, static_cast<char32_t>(c), budget);
  return term;
}

TEST(Term, RandomTermsMatchWhatSetsOfTextsSay) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    TermPool pool;
    Budget budget("test");
    const Both made = TermMaker(pool, seed).make(4);
    for (const std::string& text : texts()) {
      const bool expected = made.language.count(text) > 0;
      ASSERT_EQ(pool.matches(made.term, text, budget), expected) << "seed " << seed << " text " << text;
      ASSERT_EQ(pool.nullable(walk(pool, made.term, text, budget)), expected) << "seed " << seed << " text " << text;
    }
    const std::optional<uint64_t> distance = pool.distance(made.term, budget);
    ASSERT_EQ(distance.has_value(), !pool.is_empty(made.term, budget)) << "seed " << seed;
    if (!made.language.empty()) {
      size_t least = kLongest;
      for (const std::string& text : made.language) least = std::min(least, text.size());
      ASSERT_LE(*distance, least) << "seed " << seed;
    }
    const std::optional<std::string> shortest = pool.shortest(made.term, budget);
    ASSERT_EQ(shortest.has_value(), distance.has_value());
    ASSERT_TRUE(!shortest || pool.matches(made.term, *shortest, budget)) << "seed " << seed;
  }
}

TEST(Term, StepsArePreciselyTheLiveSuccessors) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    TermPool pool;
    Budget budget("test");
    Term term = TermMaker(pool, seed).make(4).term;
    for (int depth = 0; depth < 4; ++depth) {
      const auto found = pool.steps(term, budget);
      const std::vector<TermPool::Step> steps(found.begin(), found.end());
      char32_t next = 0;
      for (const TermPool::Step& step : steps) {
        ASSERT_LE(next, step.first);
        ASSERT_LE(step.first, step.last);
        next = step.last + 1;
        ASSERT_FALSE(pool.is_empty(step.to, budget));
        ASSERT_EQ(pool.next(term, step.first, budget), step.to);
        ASSERT_EQ(pool.next(term, step.last, budget), step.to);
      }
      ASSERT_EQ(pool.is_empty(term, budget), steps.empty() && !pool.nullable(term));
      if (steps.empty()) break;
      term = steps[seed % steps.size()].to;
    }
  }
}

/// The same steps and nullability for `chars` more characters.
void expect_same(TermPool& pool, Term x, Term y, int chars, Budget& budget) {
  ASSERT_EQ(pool.nullable(x), pool.nullable(y));
  if (chars == 0 || x == y) return;
  for (char32_t c : {U'a', U'b', U'c', U'd'}) {
    const Term to_x = pool.next(x, c, budget), to_y = pool.next(y, c, budget);
    ASSERT_EQ(to_x == pool.nothing(), to_y == pool.nothing());
    expect_same(pool, to_x, to_y, chars - 1, budget);
  }
}

TEST(Term, ClippedTermsBehaveTheSameForAsLongAsPromised) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    TermPool pool;
    Budget budget("test");
    Both made = TermMaker(pool, seed).make(4);
    if (seed % 2) made.term = pool.both({made.term, pool.repeat(pool.any_char(), 0, seed % 13)});
    if (seed % 3 == 0) made.term = pool.repeat(made.term, seed % 7, seed % 7 + seed % 5);
    for (uint32_t chars = 0; chars <= 5; ++chars) {
      expect_same(pool, made.term, pool.clip(made.term, chars), static_cast<int>(chars), budget);
      ASSERT_FALSE(HasFatalFailure()) << "seed " << seed << " chars " << chars;
    }
  }
}

TEST(Term, StatesThatDifferFarAwayClipToOne) {
  TermPool pool;
  Budget budget("test");
  const Term word = pool.repeat(pool.chars(CharSet({{'a', 'z'}})), 1, 100000);
  const Term later = walk(pool, word, "abcdefgh", budget);
  EXPECT_NE(later, walk(pool, word, "abcdefghi", budget));
  EXPECT_EQ(pool.clip(later, 20), pool.clip(walk(pool, word, "abcdefghi", budget), 20));
  const Term pattern = pool.concat({word, pool.repeat(pool.concat({pool.literal("-"), word}), 0, std::nullopt)});
  const Term bounded = pool.both({pattern, pool.repeat(pool.any_char(), 0, 1000)});
  EXPECT_EQ(pool.clip(walk(pool, bounded, "ab", budget), 20), pool.clip(walk(pool, bounded, "abc", budget), 20));
}

TEST(Term, CountIsExactBelowItsLimit) {
  TermPool pool;
  Budget budget("test");
  const CharSet ab({{'a', 'b'}});
  EXPECT_EQ(pool.count(pool.nothing(), 100, budget), 0U);
  EXPECT_EQ(pool.count(pool.empty(), 100, budget), 1U);
  EXPECT_EQ(pool.count(pool.repeat(pool.chars(ab), 0, 3), 100, budget), 15U);
  EXPECT_EQ(pool.count(pool.repeat(pool.chars(ab), 0, 3), 7, budget), 7U);
  EXPECT_EQ(pool.count(pool.repeat(pool.chars(ab), 0, std::nullopt), 1000, budget), 1000U);
  EXPECT_EQ(pool.count(pool.repeat(pool.literal("x"), 0, uint64_t{1000000000}), 1000, budget), 1000U);
  EXPECT_EQ(pool.count(pool.repeat(pool.any_char(), 5, 5), 1000, budget), 1000U);
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const Both made = TermMaker(pool, seed).make(3);
    const Term within = pool.both({made.term, pool.repeat(pool.chars(CharSet({{'a', 'c'}})), 0, kLongest)});
    ASSERT_EQ(pool.count(within, 100000, budget), made.language.size()) << "seed " << seed;
  }
}

TEST(Term, LengthsCostNothing) {
  TermPool pool;
  Budget budget("test", {.steps = 1000});
  const Term huge = pool.repeat(pool.any_char(), uint64_t{1000000000}, std::nullopt);
  EXPECT_EQ(pool.distance(huge, budget), 1000000000U);
  EXPECT_FALSE(pool.is_empty(pool.complement(huge), budget));
  const Term letters = pool.repeat(pool.chars(CharSet({{'a', 'z'}})), 0, std::nullopt);
  EXPECT_EQ(pool.distance(pool.both({huge, letters}), budget), 1000000000U);
  EXPECT_TRUE(pool.is_empty(pool.both({huge, pool.repeat(pool.any_char(), 0, 999)}), budget));
  const Term names = pool.concat({letters, pool.literal("@"), letters});
  EXPECT_EQ(pool.distance(pool.both({names, pool.repeat(pool.any_char(), 5, 100000)}), budget), 5U);
}

TEST(Term, ThousandsOfNamesAndTheirComplementAreWalkedFast) {
  TermPool pool;
  std::vector<Term> names;
  for (int i = 0; i < 5000; ++i) names.push_back(pool.literal("member_" + std::to_string(i * 7919)));
  Budget budget("test", {.steps = 20000});
  const Term others = pool.complement(pool.either(names));
  EXPECT_FALSE(pool.is_empty(others, budget));
  EXPECT_FALSE(pool.matches(others, "member_7919", budget));
  EXPECT_TRUE(pool.matches(others, "member_7919x", budget));
  EXPECT_TRUE(pool.matches(others, "member_7918", budget));
  EXPECT_EQ(pool.distance(others, budget), 0U);
}

TEST(Term, ExhaustedBudgetsThrow) {
  TermPool pool;
  Budget budget("test", {.steps = 1000});
  const Term a = pool.literal("ab"), b = pool.literal("abab");
  const Term odd = pool.concat({pool.repeat(a, 1, 1), pool.repeat(b, uint64_t{1} << 30, std::nullopt)});
  const Term both = pool.both({odd, pool.complement(pool.repeat(a, 0, std::nullopt))});
  EXPECT_THROW(pool.is_empty(both, budget), Error);
}

TEST(CharSet, OperationsAgreeWithMembership) {
  Random random(1);
  const std::vector<char32_t> probes{0, 1, 5, 6, 7, 99, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xE001, 0x10FFFE, 0x10FFFF};
  for (int i = 0; i < 2000; ++i) {
    auto make = [&] {
      std::vector<CharRange> ranges;
      for (uint64_t n = random.below(4); n > 0; --n) {
        const char32_t x = probes[random.below(probes.size())], y = probes[random.below(probes.size())];
        ranges.push_back({std::min(x, y), std::max(x, y)});
      }
      return std::pair(CharSet(ranges), ranges);
    };
    const auto [x, of_x] = make();
    const auto [y, of_y] = make();
    for (char32_t c : probes) {
      const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
      auto in = [&](const std::vector<CharRange>& ranges) {
        return !surrogate && std::any_of(ranges.begin(), ranges.end(),
                                         [&](const CharRange& r) { return r.first <= c && c <= r.last; });
      };
      ASSERT_EQ(x.contains(c), in(of_x));
      ASSERT_EQ((x | y).contains(c), in(of_x) || in(of_y));
      ASSERT_EQ((x & y).contains(c), in(of_x) && in(of_y));
      ASSERT_EQ((~x).contains(c), !surrogate && !in(of_x));
    }
    ASSERT_EQ(~~x, x);
    for (size_t k = 1; k < x.ranges().size(); ++k) ASSERT_GT(x.ranges()[k].first, x.ranges()[k - 1].last + 1);
  }
}

}  // namespace
}  // namespace lancet
