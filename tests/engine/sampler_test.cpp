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
#include "engine/candidates.h"
#include "engine/penalties.h"

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

/// Candidates and their probabilities by the definitions, without shortcuts: everything is sorted and summed up.
class Obvious {
 public:
  /// own: the model's logits, of which `logits` is what penalties left.
  Obvious(const std::vector<float>& own, const std::vector<float>& logits, const SamplingParams& params)
      : logits_(logits), maximum_(*std::max_element(logits.begin(), logits.end())), temperature_(params.temperature) {
    for (size_t i = 0; i < logits.size(); i++)
      if (std::isfinite(logits[i])) ids_.push_back(static_cast<TokenId>(i));
    if (params.top_n_sigma > 0) cut_sigma(own, params.top_n_sigma);
    if (params.top_k > 0) {
      sort();
      ids_.resize(std::min(ids_.size(), static_cast<size_t>(params.top_k)));
    }
    if (params.typical_p < 1) cut_typical(params.typical_p);
    if (params.top_p < 1) {
      sort();
      keep(params.top_p * total());
    }
    if (params.min_p > 0) {
      double likeliest = 0;
      for (const TokenId id : ids_) likeliest = std::max(likeliest, share(id));
      std::erase_if(ids_, [&](TokenId id) { return share(id) < params.min_p * likeliest; });
    }
  }

  void cut_xtc(double threshold) {
    const double wanted = threshold * total();
    std::vector<TokenId> above;
    for (const TokenId id : ids_)
      if (share(id) >= wanted) above.push_back(id);
    std::stable_sort(above.begin(), above.end(), [&](TokenId a, TokenId b) { return logit(a) > logit(b); });
    if (!above.empty()) above.pop_back();
    for (const TokenId id : above) std::erase(ids_, id);
  }
  TokenId draw(double uniform) const {
    double left = uniform * total();
    for (const TokenId id : ids_)
      if ((left -= share(id)) < 0) return id;
    return ids_.back();
  }
  std::map<TokenId, double> probabilities() const {
    std::map<TokenId, double> p;
    for (const TokenId id : ids_) p[id] = share(id) / total();
    return p;
  }

 private:
  double logit(TokenId id) const { return logits_[static_cast<size_t>(id)]; }
  double share(TokenId id) const { return std::exp((logit(id) - maximum_) / temperature_); }
  double total() const {
    double sum = 0;
    for (const TokenId id : ids_) sum += share(id);
    return sum;
  }
  void sort() {
    std::sort(ids_.begin(), ids_.end());
    std::stable_sort(ids_.begin(), ids_.end(), [&](TokenId a, TokenId b) { return logit(a) > logit(b); });
  }
  void keep(double wanted) {
    double reached = 0;
    size_t kept = 0;
    while (kept < ids_.size() && (kept == 0 || reached < wanted)) reached += share(ids_[kept++]);
    ids_.resize(kept);
  }
  void cut_sigma(const std::vector<float>& own, double deviations) {
    double mean = 0, variance = 0;
    for (const float logit : own) mean += logit / static_cast<double>(own.size());
    for (const float logit : own) variance += std::pow(logit - mean, 2) / static_cast<double>(own.size());
    std::erase_if(ids_, [&](TokenId id) { return logit(id) < maximum_ - deviations * std::sqrt(variance); });
  }
  void cut_typical(double typical_p) {
    const double sum = total();
    double entropy = 0;
    for (const TokenId id : ids_)
      if (share(id) > 0) entropy -= share(id) / sum * std::log(share(id) / sum);
    const auto off = [&](TokenId id) { return std::abs(-std::log(share(id) / sum) - entropy); };
    sort();
    std::stable_sort(ids_.begin(), ids_.end(), [&](TokenId a, TokenId b) { return off(a) < off(b); });
    keep(typical_p * sum);
    sort();
  }

  const std::vector<float>& logits_;
  double maximum_, temperature_;
  std::vector<TokenId> ids_;
};

TokenId obvious_sample(const std::vector<float>& logits, const SamplingParams& params, const SampleContext& context) {
  const auto adjusted = adjusted_logits(logits, params, context);
  if (params.temperature == 0)
    return static_cast<TokenId>(std::max_element(adjusted.begin(), adjusted.end()) - adjusted.begin());
  Obvious obvious(logits, adjusted, params);
  if (params.xtc_probability == 1 && params.xtc_threshold <= 0.5) obvious.cut_xtc(params.xtc_threshold);
  return obvious.draw(Random(hash_combine(params.seed, context.index)).uniform());
}

/// Some of the parameters, each as often off as on.
SamplingParams random_params(Random& random) {
  const auto maybe = [&](double on, double off) { return random.below(2) ? on : off; };
  SamplingParams params;
  params.temperature = random.below(8) ? 0.05 + 2 * random.uniform() : 0;
  params.top_p = maybe(0.05 + 0.94 * random.uniform(), 1);
  params.top_k = random.below(2) ? 0 : 1 + static_cast<int>(random.below(900));
  params.min_p = maybe(0.3 * random.uniform(), 0);
  params.typical_p = maybe(0.05 + 0.94 * random.uniform(), 1);
  params.top_n_sigma = maybe(3 * random.uniform(), 0);
  params.xtc_probability = maybe(1, 0);
  params.xtc_threshold = 0.001 + 0.6 * random.uniform() * random.uniform();
  params.seed = random.next();
  if (random.below(4) == 0) params.repetition_penalty = 0.5 + 2 * random.uniform();
  if (random.below(4) == 0) params.frequency_penalty = 4 * random.uniform() - 2;
  if (random.below(4) == 0) params.presence_penalty = 4 * random.uniform() - 2;
  if (random.below(4) == 0) params.dry.multiplier = random.uniform();
  if (random.below(4) == 0) params.logit_bias = {{3, 2.0f}, {77, -100.0f}, {5, 100.0f}};
  return params;
}

TEST(Sampler, TheFastWayChoosesWhatTheObviousOneWould) {
  Random random(12);
  for (int i = 0; i < 4000; i++) {
    const int sizes[] = {131072, 1, 2, 63, 64, 65, 129, 700, 5000};
    const auto logits = random_logits(static_cast<uint64_t>(i), i % 500 == 0 ? sizes[0] : sizes[1 + i % 8]);
    const SamplingParams params = random_params(random);
    std::vector<TokenId> tokens(random.below(30));
    for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(logits.size()));
    std::vector<TokenId> forbidden;
    if (random.below(4) == 0 && logits.size() > 1) forbidden = {static_cast<TokenId>(random.below(logits.size()))};
    for (uint64_t index = 0; index < 3; index++) {
      const SampleContext context{.index = index, .tokens = tokens, .prompt_tokens = 0, .forbidden = forbidden};
      ASSERT_EQ(sample(logits, params, context).token, obvious_sample(logits, params, context)) << i;
    }
  }
}

TEST(Sampler, DrawsFollowTheDistributionThatTheCutsLeave) {
  Random random(13);
  for (int i = 0; i < 30; i++) {
    const auto logits = random_logits(static_cast<uint64_t>(i), 40);
    SamplingParams params = random_params(random);
    params.temperature = 0.5 + random.uniform();
    params.xtc_probability = 0;
    const SampleContext context{};
    const auto adjusted = adjusted_logits(logits, params, context);
    const auto p = Obvious(logits, adjusted, params).probabilities();
    constexpr int kDraws = 4000;
    auto counts = histogram(logits, params, kDraws);
    double chi_square = 0, rare = 0;
    int freedom = -1, rarely = kDraws;
    for (const auto& [id, share] : p) {
      const double expected = share * kDraws;
      if (expected < 5) {
        rare += expected;
        continue;
      }
      chi_square += std::pow(counts[id] - expected, 2) / expected;
      rarely -= counts[id];
      freedom++;
    }
    for (const auto& [id, count] : counts) EXPECT_TRUE(count == 0 || p.contains(id)) << i << " " << id;
    if (rare > 0) {
      chi_square += std::pow(rarely - rare, 2) / std::max(rare, 1.0);
      freedom++;
    }
    // Mean and deviation of chi-square are n and sqrt(2n); 5 deviations are never met by chance.
    EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2.0 * std::max(freedom, 1)) + 5) << i;
  }
}

TEST(Sampler, KnownCuts) {
  // At temperature 1: 0.5, 0.25, 0.125, 0.0625, 0.0625.
  const double log2 = std::log(2.0);
  std::vector<float> logits;
  for (const double halvings : {1, 2, 3, 4, 4}) logits.push_back(static_cast<float>(-halvings * log2));
  const auto kept = [&](const SamplingParams& params) {
    std::vector<TokenId> ids;
    for (const auto& [id, count] : histogram(logits, params, 1000)) ids.push_back(id);
    return ids;
  };
  using Ids = std::vector<TokenId>;
  EXPECT_EQ(kept({}), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(kept({.top_k = 4}), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(kept({.top_p = 0.49}), (Ids{0}));
  EXPECT_EQ(kept({.top_p = 0.7}), (Ids{0, 1}));
  EXPECT_EQ(kept({.temperature = 0.5, .top_p = 0.7}), (Ids{0}));  // a share of the tempered distribution: 0.74
  EXPECT_EQ(kept({.min_p = 0.24}), (Ids{0, 1, 2}));
  EXPECT_EQ(kept({.temperature = 2, .min_p = 0.4}), (Ids{0, 1, 2}));
  // Entropy 1.875 bits: off by 0.125 for 0.25, 0.875 for 0.5, 1.125 for 0.125, 2.125 for the last two.
  EXPECT_EQ(kept({.typical_p = 0.2}), (Ids{1}));
  EXPECT_EQ(kept({.typical_p = 0.7}), (Ids{0, 1}));
  EXPECT_EQ(kept({.typical_p = 0.8}), (Ids{0, 1, 2}));
  EXPECT_EQ(kept({.typical_p = 0.9}), (Ids{0, 1, 2, 3}));
  // Halvings 1, 2, 3, 4, 4 deviate by sqrt(1.36) = 1.166 of them.
  EXPECT_EQ(kept({.top_n_sigma = 0.8}), (Ids{0}));
  EXPECT_EQ(kept({.top_n_sigma = 1}), (Ids{0, 1}));
  EXPECT_EQ(kept({.top_n_sigma = 2}), (Ids{0, 1, 2}));
  EXPECT_EQ(kept({.temperature = 3, .top_n_sigma = 1}), (Ids{0, 1}));
  EXPECT_EQ(kept({.xtc_probability = 1, .xtc_threshold = 0.2}), (Ids{1, 2, 3, 4}));
  EXPECT_EQ(kept({.xtc_probability = 1, .xtc_threshold = 0.1}), (Ids{2, 3, 4}));
  EXPECT_EQ(kept({.xtc_probability = 1, .xtc_threshold = 0.4}), (Ids{0, 1, 2, 3, 4}));  // the only one above
  EXPECT_EQ(kept({.top_k = 2, .xtc_probability = 1, .xtc_threshold = 0.3}), (Ids{1}));
  EXPECT_EQ(kept({.xtc_probability = 1, .xtc_threshold = 0.51}), (Ids{0, 1, 2, 3, 4}));
}

TEST(Sampler, ASunkenTokenDoesNotWidenSigma) {
  const std::vector<float> logits{4, 3, 0, 0, 0, 0};  // sigma 1.6
  const std::vector<TokenId> tokens(3000, 2);
  SamplingParams params{.top_n_sigma = 1, .dry = {.multiplier = 1}};
  for (uint64_t i = 0; i < 200; i++)
    EXPECT_LT(sample(logits, params, {.index = i, .tokens = tokens, .prompt_tokens = 1}).token, 2);
}

TEST(Sampler, XtcLeavesAllWhereAnEndTokenWouldGo) {
  const std::vector<float> logits{3, 2.9f, 2.8f, 0};
  const SamplingParams params{.xtc_probability = 1, .xtc_threshold = 0.2};
  const auto seen = [&](std::vector<TokenId> ends) {
    std::map<TokenId, int> counts;
    for (uint64_t i = 0; i < 500; i++) counts[sample(logits, params, {.index = i, .ends = ends}).token]++;
    return counts.size();
  };
  EXPECT_EQ(seen({}), 2u);
  EXPECT_EQ(seen({1}), 4u);
  EXPECT_EQ(seen({2}), 2u);  // stays anyway
  EXPECT_EQ(seen({3}), 2u);
}

TEST(Sampler, XtcHappensAsOftenAsAskedAndIndependentlyOfTheDraw) {
  const std::vector<float> logits{0, 0, 0, 0};  // with XTC only the last, without any
  constexpr int kDraws = 20000;
  auto counts = histogram(logits, {.xtc_probability = 0.4, .xtc_threshold = 0.2, .seed = 8}, kDraws);
  for (const TokenId id : {0, 1, 2}) EXPECT_NEAR(counts[id], 0.15 * kDraws, 5 * std::sqrt(0.15 * 0.85 * kDraws)) << id;
  EXPECT_NEAR(counts[3], 0.55 * kDraws, 5 * std::sqrt(0.55 * 0.45 * kDraws));
}

TEST(Sampler, CutsNeverRemoveTheLastCandidate) {
  SamplingParams params{.temperature = 1,
                        .top_p = 1e-9,
                        .top_k = 1,
                        .min_p = 0.999,
                        .typical_p = 1e-9,
                        .top_n_sigma = 1e-9,
                        .xtc_probability = 1,
                        .xtc_threshold = 0};
  const auto logits = random_logits(3, 500);
  const auto best = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  EXPECT_EQ(sample(logits, params, {}).token, best);
  params.top_k = 0;
  EXPECT_EQ(sample(logits, params, {}).token, best);
  EXPECT_EQ(sample(std::vector<float>{-5}, params, {}).token, 0);
  EXPECT_EQ(sample(std::vector<float>(500, 2.0f), params, {}).token, 0);
}

TEST(Sampler, ATinyTemperatureIsGreedy) {
  for (const double temperature : {1e-6, 1e-300, 5e-324})
    for (uint64_t i = 0; i < 100; i++) {
      const auto logits = random_logits(i, 300);
      const auto best = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      EXPECT_EQ(sample(logits, {.temperature = temperature}, {.index = i}).token, best);
      const SamplingParams cut{.temperature = temperature, .top_p = 0.9, .min_p = 0.1, .typical_p = 0.9};
      EXPECT_EQ(sample(logits, cut, {.index = i}).token, best);
    }
}

TEST(Sampler, ABiasOfAHundredForcesOrForbids) {
  const auto logits = random_logits(5, 400);
  const auto best = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  for (const double temperature : {0.0, 1.0, 2.0})
    for (uint64_t i = 0; i < 50; i++) {
      const SamplingParams force{.temperature = temperature, .logit_bias = {{17, 100.0f}}};
      const SamplingParams forbid{.temperature = temperature, .logit_bias = {{best, -100.0f}}};
      EXPECT_EQ(sample(logits, force, {.index = i}).token, 17);
      EXPECT_NE(sample(logits, forbid, {.index = i}).token, best);
    }
}

TEST(Sampler, ForbiddenTokensAreNeverChosen) {
  const auto logits = random_logits(6, 100);
  std::vector<TokenId> forbidden;
  for (TokenId id = 0; id < 100; id++)
    if (id != 42) forbidden.push_back(id);
  Random random(2);
  for (int i = 0; i < 300; i++) {
    SamplingParams params = random_params(random);
    params.logit_bias = {{7, 100.0f}};
    EXPECT_EQ(sample(logits, params, {.forbidden = forbidden}).token, 42);
  }
  forbidden.push_back(42);
  EXPECT_THROW(sample(logits, {}, {.forbidden = forbidden}), Error);
  EXPECT_THROW(sample(logits, {.temperature = 0}, {.forbidden = forbidden}), Error);
}

TEST(Sampler, TemperatureZeroIsGreedyAfterThePenalties) {
  const std::vector<TokenId> tokens{1};
  const SampleContext context{.tokens = tokens, .prompt_tokens = 0};
  EXPECT_EQ(sample(std::vector<float>{1, 3, 2}, {.temperature = 0, .presence_penalty = 1.5}, context).token, 2);
  EXPECT_EQ(sample(std::vector<float>{1, 3, 2}, {.temperature = 0, .repetition_penalty = 4}, context).token, 2);
  EXPECT_EQ(sample(std::vector<float>{1, 3, 2}, {.temperature = 0, .logit_bias = {{0, 3.0f}}}, context).token, 0);
}

TEST(Sampler, ScoresIgnorePenaltiesAndForbiddenTokens) {
  const auto logits = random_logits(8, 200);
  const std::vector<TokenId> tokens{1, 2, 3}, forbidden{4};
  const SamplingParams params{.repetition_penalty = 1.5, .logit_bias = {{9, 100.0f}}, .top_logprobs = 3};
  const TokenScore score = sample(logits, params, {.tokens = tokens, .prompt_tokens = 1, .forbidden = forbidden});
  EXPECT_EQ(score.token, 9);
  EXPECT_NEAR(score.logprob, std::log(softmax(logits, 1)[9]), 1e-5);
  EXPECT_EQ(score.top, sample(logits, {.temperature = 0, .top_logprobs = 3}, {}).top);
}

TEST(Sampler, AGivenTokenIsScored) {
  const auto logits = random_logits(9, 1000);
  const auto p = softmax(logits, 1);
  for (const TokenId id : {0, 63, 64, 999}) {
    const TokenScore score = score_token(logits, id, 4);
    EXPECT_EQ(score.token, id);
    EXPECT_NEAR(score.logprob, std::log(p[static_cast<size_t>(id)]), 1e-5);
    EXPECT_EQ(score.top, sample(logits, {.temperature = 0, .top_logprobs = 4}, {}).top);
    EXPECT_TRUE(score_token(logits, id, 0).top.empty());
  }
  EXPECT_EQ(score_token(logits, 5, 5000).top.size(), 1000u);
  EXPECT_THROW(score_token(std::vector<float>{1, std::nanf("")}, 0, 0), Error);
}

TEST(Sampler, TheOwnExponentialIsExact) {
  Random random(10);
  for (int i = 0; i < 200000; i++) {
    const double x = i < 1400 ? -0.5 * i : -50 * random.uniform() * random.uniform();
    ASSERT_NEAR(exp_of_negative(x) / std::exp(x), 1, 1e-15) << x;
  }
  EXPECT_EQ(exp_of_negative(0), 1);
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
