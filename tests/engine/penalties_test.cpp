// Bias and penalties against definitions that look at every token of the vocabulary by itself.
#include "engine/penalties.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "engine/sampler.h"
#include "support/hash_model.h"
#include "text/tokenizer.h"

namespace lancet {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

std::vector<TokenId> last(std::span<const TokenId> tokens, int count) {
  const size_t n = count < 0 ? tokens.size() : std::min(tokens.size(), static_cast<size_t>(count));
  return {tokens.end() - static_cast<ptrdiff_t>(n), tokens.end()};
}

/// The longest repetition that `next` would prolong: the text before one of its occurrences is how the text ends now.
size_t prolonged(const std::vector<TokenId>& window, const std::vector<TokenId>& breakers, TokenId next) {
  size_t longest = 0;
  for (size_t at = 1; at < window.size(); at++) {
    if (window[at] != next) continue;
    size_t n = 0;
    while (n < at && window[at - 1 - n] == window[window.size() - 1 - n] &&
           std::find(breakers.begin(), breakers.end(), window[at - 1 - n]) == breakers.end())
      n++;
    longest = std::max(longest, n);
  }
  return std::find(breakers.begin(), breakers.end(), next) == breakers.end() ? longest : 0;
}

double obviously_adjusted(double logit, TokenId token, const SamplingParams& params, const SampleContext& context) {
  for (const auto& [id, bias] : params.logit_bias)
    if (id == token) logit += static_cast<double>(bias);
  const auto window = last(context.tokens, params.repeat_last_n);
  const auto answer = last(context.tokens.subspan(static_cast<size_t>(context.prompt_tokens)), params.repeat_last_n);
  if (std::count(window.begin(), window.end(), token) > 0)
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
  const auto times = static_cast<double>(std::count(answer.begin(), answer.end(), token));
  logit -= times * params.frequency_penalty;
  if (times > 0) logit -= params.presence_penalty;
  const size_t length = prolonged(last(context.tokens, params.dry.last_n), params.dry.breakers, token);
  if (length > 0 && static_cast<int>(length) >= params.dry.allowed_length)
    logit -= params.dry.multiplier * std::pow(params.dry.base, static_cast<int>(length) - params.dry.allowed_length);
  const auto& forbidden = context.forbidden;
  return std::find(forbidden.begin(), forbidden.end(), token) == forbidden.end() ? logit : kNever;
}

TEST(Penalties, AgreeWithTheirDefinitions) {
  Random random(1);
  const auto maybe = [&](double value) { return random.below(2) ? value : 0; };
  const auto window = [&] { return random.below(2) ? -1 : static_cast<int>(random.below(50)); };
  for (int i = 0; i < 10000; i++) {
    constexpr size_t kVocabulary = 24;
    std::vector<float> logits(kVocabulary);
    for (float& logit : logits) logit = static_cast<float>(4 * random.normal());
    const uint64_t used = 1 + random.below(kVocabulary);
    std::vector<TokenId> tokens(random.below(60));
    for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(used));
    SamplingParams params{.presence_penalty = maybe(4 * random.uniform() - 2),
                          .frequency_penalty = maybe(4 * random.uniform() - 2),
                          .repetition_penalty = 1 + maybe(1.5 * random.uniform() - 0.5),
                          .repeat_last_n = window()};
    params.dry = {.multiplier = maybe(2 * random.uniform()),
                  .base = 1 + random.uniform(),
                  .allowed_length = static_cast<int>(random.below(5)),
                  .last_n = window()};
    std::vector<TokenId> forbidden;
    for (TokenId id = 0; id < static_cast<TokenId>(kVocabulary); id++) {
      if (random.below(8) == 0) params.dry.breakers.push_back(id);
      if (random.below(8) == 0) params.logit_bias.emplace_back(id, static_cast<float>(10 * random.normal()));
      if (random.below(16) == 0) forbidden.push_back(id);
    }
    const SampleContext context{
        .tokens = tokens, .prompt_tokens = static_cast<int>(random.below(tokens.size() + 1)), .forbidden = forbidden};
    const auto adjusted = adjusted_logits(logits, params, context);
    ASSERT_EQ(adjusted.size(), kVocabulary);
    bool changed = false;
    for (size_t id = 0; id < kVocabulary; id++) {
      const double expected = obviously_adjusted(logits[id], static_cast<TokenId>(id), params, context);
      if (expected == kNever)
        ASSERT_EQ(adjusted[id], kNever);
      else
        ASSERT_NEAR(adjusted[id], std::clamp(expected, -1e30, 1e30), 1e-5 * (1 + std::abs(expected))) << i << " " << id;
      changed |= adjusted[id] != logits[id];
    }
    if (changed) {
      ASSERT_TRUE(adjusts(params, context)) << i;
    }
  }
}

TEST(Penalties, KnownAnswers) {
  const std::vector<float> logits{2, -2, 3, 1, 0};
  const std::vector<TokenId> tokens{0, 1, /* the answer: */ 2, 2, 3};
  const SampleContext context{.tokens = tokens, .prompt_tokens = 2};
  const auto expect = [&](const SamplingParams& params, const std::vector<float>& wanted) {
    EXPECT_EQ(adjusted_logits(logits, params, context), wanted);
  };
  expect({.repetition_penalty = 2}, {1, -4, 1.5, 0.5, 0});
  expect({.repetition_penalty = 2, .repeat_last_n = 1}, {2, -2, 3, 0.5, 0});
  expect({.repetition_penalty = 2, .repeat_last_n = 0}, logits);
  expect({.frequency_penalty = 0.5}, {2, -2, 2, 0.5, 0});
  expect({.frequency_penalty = 0.5, .repeat_last_n = 2}, {2, -2, 2.5, 0.5, 0});
  expect({.presence_penalty = 0.5}, {2, -2, 2.5, 0.5, 0});
  expect({.presence_penalty = -1, .frequency_penalty = -1}, {2, -2, 6, 3, 0});
  expect({.presence_penalty = 0.5, .repetition_penalty = 2, .logit_bias = {{2, 1.0f}, {4, -100.0f}}},
         {1, -4, 1.5, 0, -100});
}

TEST(Penalties, DryWeighsTheLongestRepetition) {
  const std::vector<float> logits(10, 0.0f);
  const auto dry = [&](const DryParams& params, std::vector<TokenId> tokens) {
    return adjusted_logits(logits, {.dry = params}, {.tokens = tokens, .prompt_tokens = 0});
  };
  // 1 2 3 was followed by 9; the shorter 3 also by 4.
  const std::vector<TokenId> tokens{1, 2, 3, 9, 3, 4, 1, 2, 3};
  const DryParams params{.multiplier = 1, .base = 2, .allowed_length = 2};
  EXPECT_EQ(dry(params, tokens), (std::vector<float>{0, 0, 0, 0, 0, 0, 0, 0, 0, -2}));
  EXPECT_EQ(dry({.multiplier = 1, .base = 2, .allowed_length = 1}, tokens),
            (std::vector<float>{0, 0, 0, 0, -1, 0, 0, 0, 0, -4}));
  EXPECT_EQ(dry({.multiplier = 1, .base = 2, .allowed_length = 4}, tokens), logits);
  EXPECT_EQ(dry({.multiplier = 1, .base = 2, .allowed_length = 2, .last_n = 8}, tokens)[9], -1);  // 2 3 is left of it
  EXPECT_EQ(dry({.multiplier = 1, .base = 2, .allowed_length = 2, .breakers = {1}}, tokens)[9], -1);
  EXPECT_EQ(dry({.multiplier = 1, .base = 2, .allowed_length = 2, .breakers = {2}}, tokens), logits);
  EXPECT_EQ(dry({.multiplier = 1, .base = 2, .allowed_length = 2, .breakers = {9}}, tokens), logits);
  EXPECT_EQ(dry(params, {}), logits);
  EXPECT_EQ(dry(params, {5}), logits);
}

TEST(Penalties, ALongRepetitionCostsMuchButLeavesAFiniteLogit) {
  const std::vector<TokenId> tokens(5000, 3);
  const auto adjusted = adjusted_logits(std::vector<float>(8, 1.0f), {.dry = {.multiplier = 1, .base = 4}},
                                        {.tokens = tokens, .prompt_tokens = 10});
  EXPECT_EQ(adjusted[3], -1e30f);
  EXPECT_EQ(adjusted[4], 1);
}

TEST(Penalties, IdsOutsideTheLogitsAreIgnored) {
  const std::vector<float> logits{1, 2, 3};
  const std::vector<TokenId> tokens{-1, 3, 1 << 30, 3, -1, 3, 1 << 30}, forbidden{-7, 3, 99};
  SamplingParams params{.presence_penalty = 1, .frequency_penalty = 1, .repetition_penalty = 2};
  params.dry.multiplier = 1;
  params.logit_bias = {{-1, 5.0f}, {3, 5.0f}};
  EXPECT_EQ(adjusted_logits(logits, params, {.tokens = tokens, .prompt_tokens = 1, .forbidden = forbidden}), logits);
}

TEST(Penalties, BreakersAreTheTokensThatContainOneOfTheStrings) {
  Vocabulary vocabulary = test::byte_vocabulary();
  const auto first = static_cast<TokenId>(vocabulary.tokens.size());
  for (const char* text : {"a:b", "ab", "\n\n", "<|turn|>"}) vocabulary.tokens.push_back({text, Token::Kind::added});
  const Tokenizer tokenizer(std::move(vocabulary));
  const auto ids = [&](std::vector<std::string> strings) { return dry_breakers(tokenizer, strings); };
  EXPECT_EQ(ids({":", "\n"}), (std::vector<TokenId>{'\n', ':', first, first + 2}));
  EXPECT_EQ(ids({"ab", "a:", "a:"}), (std::vector<TokenId>{first, first + 1}));
  EXPECT_EQ(ids({"<|turn|>"}), (std::vector<TokenId>{first + 3}));
  EXPECT_EQ(ids({"never said"}), std::vector<TokenId>{});
  EXPECT_EQ(ids({""}), std::vector<TokenId>{});
  EXPECT_EQ(ids({}), std::vector<TokenId>{});
}

TEST(Penalties, NeutralParametersChangeNothing) {
  const std::vector<TokenId> tokens{1, 2};
  EXPECT_FALSE(adjusts({}, {.tokens = tokens, .prompt_tokens = 1}));
  EXPECT_FALSE(adjusts({.repetition_penalty = 1.1}, {}));
  EXPECT_TRUE(adjusts({.repetition_penalty = 1.1}, {.tokens = tokens, .prompt_tokens = 1}));
  EXPECT_TRUE(adjusts({}, {.forbidden = tokens}));
}

}  // namespace
}  // namespace lancet
