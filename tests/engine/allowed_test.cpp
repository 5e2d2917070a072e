// Choosing with a grammar's mask against the definition: the allowed tokens are a vocabulary of their own.
#include "engine/allowed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/random.h"
#include "engine/sampler.h"

namespace lancet {
namespace {

constexpr int kSize = 1000;

std::vector<float> random_logits(Random& random) {
  std::vector<float> logits(kSize);
  for (float& logit : logits) logit = static_cast<float>(3 * random.normal());
  return logits;
}

TokenMask random_mask(Random& random, int size = kSize) {
  TokenMask mask(size);
  // Few, half, nearly all; whole words too.
  const uint64_t share = 1 + random.below(99), whole = random.below(2);
  for (TokenId id = 0; id < size; id++)
    if (random.below(100) < share || (whole && id / 64 == 3)) mask.set(id);
  if (mask.count() == 0) mask.set(static_cast<TokenId>(random.below(static_cast<uint64_t>(size))));
  return mask;
}

std::vector<TokenId> ids_of(const TokenMask& mask, TokenId end = kSize) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < std::min(end, mask.size()); id++)
    if (mask.test(id)) ids.push_back(id);
  return ids;
}

TEST(AllowedTokens, RanksAreCountsOfWhatIsAllowedBefore) {
  Random random(1);
  for (int run = 0; run < 50; run++) {
    const TokenMask mask = random_mask(random, 1 + static_cast<int>(random.below(kSize)));
    const size_t vocabulary = 1 + random.below(kSize);
    const AllowedTokens allowed(mask, vocabulary);
    const auto ids = ids_of(mask, static_cast<TokenId>(vocabulary));
    ASSERT_EQ(allowed.count(), static_cast<int>(ids.size()));
    for (size_t rank = 0; rank < ids.size(); rank++) {
      EXPECT_EQ(allowed.token(static_cast<TokenId>(rank)), ids[rank]);
      EXPECT_EQ(allowed.rank(ids[rank]), static_cast<TokenId>(rank));
    }
    for (TokenId id = 0; id < kSize; id++)
      if (id >= mask.size() || static_cast<size_t>(id) >= vocabulary || !mask.test(id)) {
        EXPECT_EQ(allowed.rank(id), allowed.count() + id);
      }
  }
}

TEST(AllowedTokens, OnlyAllowedLogitsAreRead) {
  Random random(2);
  for (int run = 0; run < 100; run++) {
    std::vector<float> logits = random_logits(random), spoiled = logits;
    const TokenMask mask = random_mask(random);
    for (TokenId id = 0; id < kSize; id++)
      if (!mask.test(id)) spoiled[static_cast<size_t>(id)] = std::numeric_limits<float>::quiet_NaN();
    const SampleContext context{.index = static_cast<uint64_t>(run), .allowed = &mask};
    for (const double temperature : {0.0, 1.0, 2.0})
      for (const double top_p : {1.0, 0.7}) {
        const SamplingParams params{.temperature = temperature, .top_p = top_p, .seed = 9};
        const TokenId token = sample(logits, params, context).token;
        EXPECT_TRUE(mask.test(token));
        EXPECT_EQ(sample(spoiled, params, context).token, token);
      }
  }
}

TEST(AllowedTokens, AMaskOfAllTokensChangesNothing) {
  Random random(3);
  TokenMask all(kSize);
  for (TokenId id = 0; id < kSize; id++) all.set(id);
  for (int run = 0; run < 100; run++) {
    const auto logits = random_logits(random);
    std::vector<TokenId> tokens(40);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(kSize));
    const std::vector<TokenId> ends{3, 77};
    SamplingParams params{.temperature = random.below(3) ? 1.3 : 0.0,
                          .top_k = random.below(2) ? 30 : 0,
                          .min_p = random.below(2) ? 0.05 : 0,
                          .xtc_probability = random.below(2) ? 0.5 : 0,
                          .repetition_penalty = random.below(2) ? 1.2 : 1,
                          .dry = {.multiplier = random.below(2) ? 0.8 : 0, .breakers = {5, 6}},
                          .logit_bias = {{7, 4.0f}},
                          .seed = random.next(),
                          .top_logprobs = 2};
    SampleContext context{.index = 1, .tokens = tokens, .prompt_tokens = 20, .ends = ends};
    const TokenScore without = sample(logits, params, context);
    context.allowed = &all;
    const TokenScore with = sample(logits, params, context);
    EXPECT_EQ(with.token, without.token);
    EXPECT_EQ(with.logprob, without.logprob);
    EXPECT_EQ(with.top, without.top);
  }
}

TEST(AllowedTokens, PenaltiesCutsAndDrawsWorkOnTheAllowedAsOnAVocabularyOfTheirOwn) {
  Random random(4);
  for (int run = 0; run < 200; run++) {
    const auto logits = random_logits(random);
    const TokenMask mask = random_mask(random);
    const auto ids = ids_of(mask);
    std::map<TokenId, TokenId> rank;
    std::vector<float> own;
    for (const TokenId id : ids) {
      rank[id] = static_cast<TokenId>(own.size());
      own.push_back(logits[static_cast<size_t>(id)]);
    }
    const auto ranked = [&](TokenId id) { return rank.contains(id) ? rank[id] : static_cast<TokenId>(5000 + id); };
    std::vector<TokenId> tokens(60), ranked_tokens;
    for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(30));
    for (const TokenId token : tokens) ranked_tokens.push_back(ranked(token));
    SamplingParams params{.temperature = 1.5,
                          .top_p = random.below(2) ? 0.8 : 1,
                          .top_k = random.below(2) ? 20 : 0,
                          .typical_p = random.below(2) ? 0.9 : 1,
                          .top_n_sigma = random.below(2) ? 2.0 : 0,
                          .presence_penalty = 0.5,
                          .frequency_penalty = 0.2,
                          .repetition_penalty = 1.1,
                          .dry = {.multiplier = 1, .breakers = {4}},
                          .logit_bias = {{2, 3.0f}, {400, 2.0f}},
                          .seed = random.next()};
    const TokenId chosen =
        sample(logits, params, {.index = 5, .tokens = tokens, .prompt_tokens = 30, .allowed = &mask}).token;
    params.dry.breakers = {ranked(4)};
    for (auto& [token, bias] : params.logit_bias) token = ranked(token);
    EXPECT_EQ(ranked(chosen), sample(own, params, {.index = 5, .tokens = ranked_tokens, .prompt_tokens = 30}).token);
  }
}

TEST(AllowedTokens, ScoresAreThoseOfTheModel) {
  Random random(5);
  const auto logits = random_logits(random);
  TokenMask mask(kSize);
  mask.set(40);
  const TokenScore score = sample(logits, {.temperature = 0, .top_logprobs = 3}, {.allowed = &mask});
  const TokenScore free = sample(logits, {.temperature = 0, .top_logprobs = 3}, {});
  EXPECT_EQ(score.token, 40);
  EXPECT_EQ(score.top, free.top);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  EXPECT_NEAR(score.logprob, static_cast<double>(logits[40]) - std::log(sum), 1e-4);
}

}  // namespace
}  // namespace lancet
