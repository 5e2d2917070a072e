// The sampler against the definitions of its parameters.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "base/random.h"

namespace lancet {
namespace {

std::vector<float> random_logits(uint64_t seed, int count) {
  Random random(seed);
  std::vector<float> logits(static_cast<size_t>(count));
  for (float& logit : logits) logit = static_cast<float>(3 * random.normal());
  return logits;
}

std::map<TokenId, int> histogram(const std::vector<float>& logits, SamplingParams params, int draws) {
  std::map<TokenId, int> counts;
  for (int i = 0; i < draws; i++) counts[sample(logits, params, {.index = static_cast<uint64_t>(i)}).token]++;
  return counts;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> p;
  double sum = 0;
  for (const float logit : logits) sum += p.emplace_back(std::exp(logit / temperature));
  for (double& x : p) x /= sum;
  return p;
}

TEST(Sampler, GreedyTakesTheLowestIdAmongEquals) {
  EXPECT_EQ(sample(std::vector<float>{1, 3, 2, 3}, {.temperature = 0}, {}).token, 1);
}

TEST(Sampler, EqualsAreRankedByIdWhereverTheyAreCut) {
  const std::vector<float> logits{1, 5, 2, 5, 5, 5};
  for (uint64_t index = 0; index < 50; index++) EXPECT_EQ(sample(logits, {.top_k = 1}, {.index = index}).token, 1);
  const TokenScore score = sample(logits, {.temperature = 0, .top_logprobs = 3}, {.index = 0});
  ASSERT_EQ(score.top.size(), 3u);
  for (size_t i = 0; i < 3; i++) EXPECT_EQ(score.top[i].first, (std::vector<TokenId>{1, 3, 4})[i]);
}

TEST(Sampler, DrawsFollowTheTemperedDistribution) {
  const auto logits = random_logits(1, 12);
  for (const double temperature : {0.5, 1.0, 2.0}) {
    const auto p = softmax(logits, temperature);
    constexpr int kDraws = 20000;
    auto counts = histogram(logits, {.temperature = temperature, .seed = 5}, kDraws);
    double chi_square = 0;
    for (size_t i = 0; i < p.size(); i++) {
      const double expected = p[i] * kDraws, off = counts[static_cast<TokenId>(i)] - expected;
      if (expected > 1) chi_square += off * off / expected;
    }
    EXPECT_LT(chi_square, 31.3) << temperature;  // 11 degrees of freedom, p = 0.001
  }
}

TEST(Sampler, TopKTopPAndMinPKeepExactlyWhatTheySay) {
  const auto logits = random_logits(2, 1000);
  const auto p = softmax(logits, 1.0);
  std::vector<TokenId> order(p.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = static_cast<TokenId>(i);
  std::sort(order.begin(), order.end(),
            [&](TokenId a, TokenId b) { return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)]; });
  const auto expect_within = [&](SamplingParams params, size_t kept) {
    params.seed = 3;
    const std::vector<TokenId> allowed(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept));
    const auto counts = histogram(logits, params, 3000);
    for (const auto& [token, count] : counts)
      EXPECT_NE(std::find(allowed.begin(), allowed.end(), token), allowed.end()) << token;
    EXPECT_GT(counts.size(), kept / 3);
  };
  expect_within({.top_k = 5}, 5);
  size_t kept = 0;
  for (double sum = 0; sum < 0.6; kept++) sum += p[static_cast<size_t>(order[kept])];
  expect_within({.top_p = 0.6}, kept);
  size_t likely = 0;
  while (p[static_cast<size_t>(order[likely])] >= 0.2 * p[static_cast<size_t>(order[0])]) likely++;
  expect_within({.min_p = 0.2}, likely);
}

TEST(Sampler, ARequestsDrawDependsOnSeedAndIndexOnly) {
  const auto logits = random_logits(4, 500);
  std::vector<TokenId> first, second, other;
  for (uint64_t i = 0; i < 50; i++) first.push_back(sample(logits, {.seed = 1}, {.index = i}).token);
  for (uint64_t i = 50; i-- > 0;) second.insert(second.begin(), sample(logits, {.seed = 1}, {.index = i}).token);
  for (uint64_t i = 0; i < 50; i++) other.push_back(sample(logits, {.seed = 2}, {.index = i}).token);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
}

TEST(Sampler, ScoresAreTheModelsOwnLogProbabilities) {
  const auto logits = random_logits(6, 300);
  const auto p = softmax(logits, 1.0);
  const TokenScore score = sample(logits, {.temperature = 0.3, .top_k = 2, .seed = 9, .top_logprobs = 5}, {.index = 0});
  EXPECT_NEAR(score.logprob, std::log(p[static_cast<size_t>(score.token)]), 1e-5);
  ASSERT_EQ(score.top.size(), 5u);
  for (size_t i = 0; i < 5; i++) {
    EXPECT_NEAR(score.top[i].second, std::log(p[static_cast<size_t>(score.top[i].first)]), 1e-5);
    if (i > 0) {
      EXPECT_LE(score.top[i].second, score.top[i - 1].second);
    }
  }
}

/// The definition, without shortcuts: sort everything, cut, draw.
TokenId obvious_sample(const std::vector<float>& logits, const SamplingParams& params, uint64_t index) {
  std::vector<TokenId> ids(logits.size());
  for (size_t i = 0; i < ids.size(); i++) ids[i] = static_cast<TokenId>(i);
  const auto logit = [&](TokenId id) { return logits[static_cast<size_t>(id)]; };
  const double maximum = *std::max_element(logits.begin(), logits.end());
  const auto share = [&](TokenId id) { return std::exp((logit(id) - maximum) / params.temperature); };
  double total = 0;
  if (params.top_k > 0 || params.top_p < 1) {
    std::stable_sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) { return logit(a) > logit(b); });
    if (params.top_k > 0) ids.resize(std::min(ids.size(), static_cast<size_t>(params.top_k)));
    for (const TokenId id : ids) total += share(id);
    double reached = 0;
    size_t kept = 0;
    while (kept < ids.size() && (params.top_p >= 1 || reached < params.top_p * total)) reached += share(ids[kept++]);
    ids.resize(kept);
  }
  std::erase_if(ids, [&](TokenId id) { return share(id) < params.min_p; });
  total = 0;
  for (const TokenId id : ids) total += share(id);
  double left = Random(hash_combine(params.seed, index)).uniform() * total;
  for (const TokenId id : ids)
    if ((left -= share(id)) < 0) return id;
  return ids.back();
}

TEST(Sampler, TheFastWayChoosesWhatTheObviousOneWould) {
  Random random(12);
  for (int i = 0; i < 60; i++) {
    const auto logits = random_logits(static_cast<uint64_t>(i), i % 6 == 0 ? 131072 : 700);
    const SamplingParams params{.temperature = 0.2 + 2 * random.uniform(),
                                .top_p = random.below(2) ? 1.0 : 0.05 + 0.94 * random.uniform(),
                                .top_k = random.below(2) ? 0 : 1 + static_cast<int>(random.below(900)),
                                .min_p = random.below(2) ? 0.0 : 0.3 * random.uniform(),
                                .seed = random.next()};
    for (uint64_t index = 0; index < 3; index++)
      EXPECT_EQ(sample(logits, params, {.index = index}).token, obvious_sample(logits, params, index)) << i;
  }
}

TEST(Sampler, NonFiniteLogitsAreAnError) {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    std::vector<float> logits = random_logits(7, 50);
    logits[17] = bad;
    EXPECT_THROW(sample(logits, {.temperature = 0}, {.index = 0}), Error);
    EXPECT_THROW(sample(logits, {}, {.index = 0}), Error);
  }
}

}  // namespace
}  // namespace lancet
