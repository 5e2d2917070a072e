// Repetition at the end of a token sequence, against definitions that try everything.
#include "engine/repeats.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace lancet {
namespace {

std::vector<TokenId> random_tokens(Random& random, size_t count, uint64_t vocabulary) {
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(vocabulary));
  return tokens;
}

bool obviously_repeats(const std::vector<TokenId>& answer, const RepetitionRule& rule) {
  if (rule.count < 2) return false;
  for (int pattern = std::max(rule.min_pattern, 1); pattern <= rule.max_pattern; pattern++) {
    const size_t length = static_cast<size_t>(pattern) * static_cast<size_t>(rule.count);
    if (length > answer.size()) continue;
    const std::vector<TokenId> end(answer.end() - static_cast<ptrdiff_t>(length), answer.end());
    bool all = true;
    for (size_t i = 0; i < length; i++) all &= end[i] == end[i % static_cast<size_t>(pattern)];
    if (all) return true;
  }
  return false;
}

TEST(Repeats, KnownAnswers) {
  const std::vector<TokenId> twice{9, 1, 2, 3, 1, 2, 3};
  EXPECT_TRUE(repeats(twice, {.min_pattern = 1, .max_pattern = 3, .count = 2}));
  EXPECT_TRUE(repeats(twice, {.min_pattern = 3, .max_pattern = 100, .count = 2}));
  EXPECT_FALSE(repeats(twice, {.min_pattern = 1, .max_pattern = 2, .count = 2}));
  EXPECT_FALSE(repeats(twice, {.min_pattern = 4, .max_pattern = 9, .count = 2}));
  EXPECT_FALSE(repeats(twice, {.min_pattern = 1, .max_pattern = 3, .count = 3}));
  EXPECT_TRUE(repeats(std::vector<TokenId>{7, 7, 7}, {.min_pattern = 1, .max_pattern = 1, .count = 3}));
  EXPECT_FALSE(repeats(std::vector<TokenId>{7, 7, 7, 8}, {.min_pattern = 1, .max_pattern = 4, .count = 3}));
}

TEST(Repeats, NothingIsEndedByARuleThatIsOffOrCannotApply) {
  const std::vector<TokenId> same(20, 5);
  EXPECT_FALSE(repeats(same, {}));
  EXPECT_FALSE(repeats(same, {.min_pattern = 1, .max_pattern = 5, .count = 0}));
  EXPECT_FALSE(repeats(same, {.min_pattern = 1, .max_pattern = 5, .count = 1}));
  EXPECT_FALSE(repeats(same, {.min_pattern = 1, .max_pattern = 0, .count = 2}));
  EXPECT_FALSE(repeats(same, {.min_pattern = 1, .max_pattern = -3, .count = 2}));
  EXPECT_FALSE(repeats(same, {.min_pattern = 6, .max_pattern = 5, .count = 2}));
  EXPECT_FALSE(repeats(same, {.min_pattern = 1, .max_pattern = 5, .count = 21}));
  EXPECT_FALSE(repeats({}, {.min_pattern = 1, .max_pattern = 5, .count = 2}));
  EXPECT_TRUE(repeats(same, {.min_pattern = -5, .max_pattern = 2147483647, .count = 20}));
  EXPECT_FALSE(repeats(same, {.min_pattern = 1, .max_pattern = 2147483647, .count = 2147483647}));
}

TEST(Repeats, AgreesWithTryingEveryPattern) {
  Random random(3);
  int found = 0;
  for (int i = 0; i < 20000; i++) {
    auto tokens = random_tokens(random, random.below(40), 1 + random.below(3));
    const auto pattern = random_tokens(random, 1 + random.below(6), 3);
    for (uint64_t n = random.below(5); n > 0; n--) tokens.insert(tokens.end(), pattern.begin(), pattern.end());
    const RepetitionRule rule{.min_pattern = static_cast<int>(random.below(5)),
                              .max_pattern = static_cast<int>(random.below(12)),
                              .count = static_cast<int>(random.below(6))};
    const bool expected = obviously_repeats(tokens, rule);
    found += expected;
    ASSERT_EQ(repeats(tokens, rule), expected) << i;
  }
  EXPECT_GT(found, 2000);
  EXPECT_LT(found, 18000);
}

TEST(SuffixMatches, AgreesWithComparingEachPlace) {
  Random random(4);
  for (int i = 0; i < 5000; i++) {
    const auto tokens = random_tokens(random, random.below(60), 1 + random.below(3));
    const size_t count = random.below(tokens.size() + 1);
    const auto matches = suffix_matches(tokens, count);
    ASSERT_EQ(matches.size(), count);
    for (size_t d = 0; d < count; d++) {
      size_t n = 0;
      while (n + d < tokens.size() && tokens[tokens.size() - 1 - n] == tokens[tokens.size() - 1 - n - d]) n++;
      ASSERT_EQ(matches[d], static_cast<int>(n)) << i << " " << d;
    }
  }
}

}  // namespace
}  // namespace lancet
