#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "base/random.h"

namespace lancet {
namespace {

/// Highest logit, lowest id among equals. Throws on NaN or infinity.
TokenId argmax(std::span<const float> logits) {
  size_t best = 0;
  bool finite = true;
  for (size_t i = 0; i < logits.size(); i++) {
    finite &= logits[i] - logits[i] == 0;
    if (logits[i] > logits[best]) best = i;
  }
  if (!finite) throw Error(Fault::internal, "the model produced non-finite logits");
  return static_cast<TokenId>(best);
}

/// The `count` highest logits' ids, highest first.
std::vector<TokenId> highest(std::span<const float> logits, size_t count) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  count = std::min(count, ids.size());
  const auto higher = [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const auto end = ids.begin() + static_cast<ptrdiff_t>(count);
  if (count < ids.size()) std::nth_element(ids.begin(), end, ids.end(), higher);
  std::sort(ids.begin(), end, higher);
  ids.resize(count);
  return ids;
}

/// Unnormalised probabilities at a temperature: exp((logit - maximum) / temperature).
double weight(float logit, float maximum, double temperature) {
  return std::exp((static_cast<double>(logit) - static_cast<double>(maximum)) / temperature);
}

/// Walks candidates until their weights pass the drawn share of `total`.
TokenId draw(std::span<const TokenId> ids, std::span<const double> weights, double total, double uniform) {
  double left = uniform * total;
  TokenId last = ids.front();
  for (size_t i = 0; i < ids.size(); i++) {
    if (weights[i] == 0) continue;
    last = ids[i];
    left -= weights[i];
    if (left < 0) break;
  }
  return last;  // where rounding ate the rest: the last that may be chosen
}

/// Cuts `ids` (likeliest first) behind the one with which their weights reach `wanted`; false: they never do.
bool cut(std::vector<TokenId>& ids, std::span<const float> logits, double temperature, double wanted) {
  const float maximum = logits[static_cast<size_t>(ids.front())];
  double reached = 0;
  for (size_t i = 0; i < ids.size(); i++) {
    reached += weight(logits[static_cast<size_t>(ids[i])], maximum, temperature);
    if (reached < wanted) continue;
    ids.resize(i + 1);
    return true;
  }
  return false;
}

/// The likeliest candidates, as many as top_k and top_p leave.
std::vector<TokenId> nucleus(std::span<const float> logits, const SamplingParams& params, float maximum) {
  if (params.top_k > 0) {
    std::vector<TokenId> ids = highest(logits, static_cast<size_t>(params.top_k));
    double total = 0;
    for (const TokenId id : ids) total += weight(logits[static_cast<size_t>(id)], maximum, params.temperature);
    cut(ids, logits, params.temperature, params.top_p < 1 ? params.top_p * total : HUGE_VAL);
    return ids;
  }
  double total = 0;
  for (const float logit : logits) total += weight(logit, maximum, params.temperature);
  // A few hundred of 131,072 tokens nearly always hold the nucleus, so only as many are sorted.
  for (size_t count = 256;; count *= 4) {
    std::vector<TokenId> ids = highest(logits, count);
    if (cut(ids, logits, params.temperature, params.top_p * total) || ids.size() == logits.size()) return ids;
  }
}

TokenId choose(std::span<const float> logits, TokenId best, const SamplingParams& params, uint64_t index) {
  if (params.temperature <= 0) return best;
  const float maximum = logits[static_cast<size_t>(best)];
  std::vector<TokenId> ids;
  if (params.top_k > 0 || params.top_p < 1) {
    ids = nucleus(logits, params, maximum);
  } else {
    ids.resize(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
  }
  std::vector<double> weights(ids.size());
  double total = 0;
  for (size_t i = 0; i < ids.size(); i++) {
    const double share = weight(logits[static_cast<size_t>(ids[i])], maximum, params.temperature);
    weights[i] = share < params.min_p ? 0 : share;  // the likeliest has weight 1
    total += weights[i];
  }
  Random random(hash_combine(params.seed, index));
  return draw(ids, weights, total, random.uniform());
}

void add_score(TokenScore& score, std::span<const float> logits, TokenId best, int top) {
  const float maximum = logits[static_cast<size_t>(best)];
  double sum = 0;
  for (const float logit : logits) sum += weight(logit, maximum, 1);
  const double log_total = static_cast<double>(maximum) + std::log(sum);
  const auto logprob = [&](TokenId id) { return static_cast<float>(logits[static_cast<size_t>(id)] - log_total); };
  score.logprob = logprob(score.token);
  if (top == 0) return;
  for (const TokenId id : highest(logits, static_cast<size_t>(top))) score.top.emplace_back(id, logprob(id));
}

}  // namespace

TokenScore sample(std::span<const float> logits, const SamplingParams& params, const SampleContext& context) {
  const TokenId best = argmax(logits);
  TokenScore score{.token = choose(logits, best, params, context.index)};
  if (params.top_logprobs >= 0) add_score(score, logits, best, params.top_logprobs);
  return score;
}

}  // namespace lancet
