#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "base/random.h"
#include "engine/allowed.h"
#include "engine/candidates.h"
#include "engine/penalties.h"

namespace lancet {
namespace {

constexpr uint64_t kXtcDraw = 0x787463;  // makes XTC's random number another one than the draw's

double sum_of_weights(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.weight;
  return sum;
}

/// Sorts by `before` and keeps the first that weigh `wanted` together, at least one; false: all together weigh less.
template <typename Before>
bool keep_first(std::vector<Candidate>& candidates, double wanted, Before before) {
  // A few hundred are nearly always enough, so no more are sorted.
  double reached = 0;
  auto sorted = candidates.begin();
  for (ptrdiff_t step = 256; sorted != candidates.end(); step *= 4) {
    const auto end = sorted + std::min(step, candidates.end() - sorted);
    if (end != candidates.end()) std::nth_element(sorted, end, candidates.end(), before);
    std::sort(sorted, end, before);
    for (; sorted != end; ++sorted) {
      reached += sorted->weight;
      if (reached < wanted) continue;
      candidates.erase(sorted + 1, candidates.end());
      return true;
    }
  }
  return false;
}

/// The nucleus of all logits of at least `floor`.
std::vector<Candidate> nucleus(const Peaks& peaks, const Tempering& tempering, double floor, double top_p) {
  const double wanted = top_p * peaks.total(floor, tempering);
  std::vector<Candidate> candidates = peaks.highest(256, tempering);
  std::erase_if(candidates, [&](const Candidate& c) { return c.logit < floor; });
  if (keep_first(candidates, wanted, likelier)) return candidates;
  candidates = peaks.at_least(floor, tempering);
  keep_first(candidates, wanted, likelier);
  return candidates;
}

/// Keeps those whose surprise is nearest to the distribution's entropy, as many as have the share typical_p together;
/// likeliest first. Meister et al., Locally Typical Sampling, 2022.
void cut_typical(std::vector<Candidate>& candidates, const Tempering& tempering, double typical_p) {
  const double total = sum_of_weights(candidates), log_total = std::log(total);
  const auto surprise = [&](const Candidate& c) { return log_total - tempering.exponent(c.logit); };
  double entropy = 0;
  for (const Candidate& c : candidates) entropy += c.weight / total * surprise(c);
  keep_first(candidates, typical_p * total, [&](const Candidate& a, const Candidate& b) {
    const double x = std::abs(surprise(a) - entropy), y = std::abs(surprise(b) - entropy);
    return x != y ? x < y : likelier(a, b);
  });
  std::sort(candidates.begin(), candidates.end(), likelier);
}

void cut_min_p(std::vector<Candidate>& candidates, double min_p) {
  double likeliest = 0;
  for (const Candidate& c : candidates) likeliest = std::max(likeliest, c.weight);
  std::erase_if(candidates, [&](const Candidate& c) { return c.weight < min_p * likeliest; });
}

/// With xtc_probability, removes all of at least xtc_threshold but the least likely of them; nothing if an end token
/// were among them. After p-e-w's XTC (text-generation-webui, modules/sampler_hijack.py).
void cut_xtc(std::vector<Candidate>& candidates, const SamplingParams& params, const SampleContext& context) {
  const double wanted = params.xtc_threshold * sum_of_weights(candidates);
  const Candidate* least = nullptr;
  for (const Candidate& c : candidates)
    if (c.weight >= wanted && (least == nullptr || likelier(*least, c))) least = &c;
  if (least == nullptr) return;
  const TokenId kept = least->id;
  const auto goes = [&](const Candidate& c) { return c.weight >= wanted && c.id != kept; };
  const auto is_end = [&](TokenId id) {
    return std::find(context.ends.begin(), context.ends.end(), id) != context.ends.end();
  };
  if (std::any_of(candidates.begin(), candidates.end(), [&](const Candidate& c) { return goes(c) && is_end(c.id); }))
    return;
  std::erase_if(candidates, goes);
}

bool wants_xtc(const SamplingParams& params, const SampleContext& context) {
  if (params.xtc_probability <= 0 || params.xtc_threshold > 0.5) return false;
  Random random(hash_combine(hash_combine(params.seed, context.index), kXtcDraw));
  return random.uniform() < params.xtc_probability;
}

/// What the cuts leave: likeliest first after top_k, typical_p or top_p, else by id. Not empty. `own`: before
/// penalties.
std::vector<Candidate> remaining(const Peaks& peaks, const Peaks& own, const Tempering& tempering,
                                 const SamplingParams& params) {
  double floor = tempering.floor();
  if (params.top_n_sigma > 0) floor = std::max(floor, tempering.maximum - params.top_n_sigma * own.deviation());
  std::vector<Candidate> candidates;
  const bool typical = params.typical_p < 1;
  if (params.top_k > 0) {
    candidates = peaks.highest(static_cast<size_t>(params.top_k), tempering);
    std::erase_if(candidates, [&](const Candidate& c) { return c.logit < floor; });
  } else if (params.top_p < 1 && !typical) {
    candidates = nucleus(peaks, tempering, floor, params.top_p);
  } else {
    // min_p alone needs no more than what it keeps; the margin is for rounding.
    if (!typical && params.min_p > 0)
      floor = std::max(floor, tempering.maximum + (std::log(params.min_p) - 1e-6) / tempering.inverse);
    candidates = peaks.at_least(floor, tempering);
  }
  if (typical) cut_typical(candidates, tempering, params.typical_p);
  if (params.top_p < 1 && (typical || params.top_k > 0))
    keep_first(candidates, params.top_p * sum_of_weights(candidates), likelier);
  if (params.min_p > 0) cut_min_p(candidates, params.min_p);
  return candidates;
}

/// Walks candidates until their weights pass the drawn share of their sum.
TokenId draw(std::span<const Candidate> candidates, double uniform) {
  double left = uniform * sum_of_weights(candidates);
  for (const Candidate& candidate : candidates)
    if ((left -= candidate.weight) < 0) return candidate.id;
  return candidates.back().id;  // rounding ate the rest
}

TokenId choose(const Peaks& peaks, const Peaks& own, const SamplingParams& params, const SampleContext& context) {
  if (params.temperature <= 0) return peaks.best();
  const Tempering tempering(peaks.maximum(), params.temperature);
  const bool xtc = wants_xtc(params, context);
  const double uniform = Random(hash_combine(params.seed, context.index)).uniform();
  const bool cuts =
      params.top_n_sigma > 0 || params.top_k > 0 || params.typical_p < 1 || params.top_p < 1 || params.min_p > 0 || xtc;
  if (!cuts) return peaks.draw(uniform, tempering);
  std::vector<Candidate> candidates = remaining(peaks, own, tempering, params);
  if (xtc) cut_xtc(candidates, params, context);
  return draw(candidates, uniform);
}

Peaks checked_peaks(std::span<const float> logits) {
  Peaks peaks(logits);
  if (!peaks.finite()) throw Error(Fault::internal, "the model produced non-finite logits");
  return peaks;
}

void add_score(TokenScore& score, std::span<const float> logits, const Peaks& peaks, int top) {
  const Tempering own(peaks.maximum(), 1);
  const double log_total = own.maximum + std::log(peaks.total(own.floor(), own));
  score.logprob = static_cast<float>(logits[static_cast<size_t>(score.token)] - log_total);
  if (top <= 0) return;
  for (const Candidate& c : peaks.highest(static_cast<size_t>(top), own))
    score.top.emplace_back(c.id, static_cast<float>(c.logit - log_total));
}

/// The choice among the allowed, as if the vocabulary had no others.
TokenScore sample_allowed(std::span<const float> logits, const SamplingParams& params, const SampleContext& context) {
  const AllowedTokens allowed(*context.allowed, logits.size());
  if (allowed.count() == 0) throw Error(Fault::internal, "no token is left to choose: the grammar allows none");
  const RankedChoice ranked(allowed, params, context);
  const SampleContext inside{.index = context.index,
                             .tokens = ranked.tokens,
                             .prompt_tokens = context.prompt_tokens,
                             .forbidden = ranked.forbidden,
                             .ends = ranked.ends};
  const TokenId chosen = allowed.token(sample(allowed.gather(logits), ranked.params, inside).token);
  return params.top_logprobs < 0 ? TokenScore{.token = chosen} : score_token(logits, chosen, params.top_logprobs);
}

}  // namespace

TokenScore sample(std::span<const float> logits, const SamplingParams& params, const SampleContext& context) {
  if (context.allowed) return sample_allowed(logits, params, context);
  const Peaks own = checked_peaks(logits);
  TokenScore score;
  if (adjusts(params, context)) {
    const std::vector<float> adjusted = adjusted_logits(logits, params, context);
    const Peaks peaks(adjusted);
    if (peaks.maximum() == -std::numeric_limits<float>::infinity())
      throw Error(Fault::internal, "no token is left to choose: all of them are forbidden");
    score.token = choose(peaks, own, params, context);
  } else {
    score.token = choose(own, own, params, context);
  }
  if (params.top_logprobs >= 0) add_score(score, logits, own, params.top_logprobs);
  return score;
}

TokenScore score_token(std::span<const float> logits, TokenId token, int top) {
  TokenScore score{.token = token};
  add_score(score, logits, checked_peaks(logits), top);
  return score;
}

}  // namespace lancet
