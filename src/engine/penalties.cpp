#include "engine/penalties.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/repeats.h"
#include "engine/sampler.h"
#include "text/tokenizer.h"

namespace lancet {
namespace {

constexpr double kHighest = 1e30;  // far beyond any logit, and its square fits a double

float bounded(double logit) { return static_cast<float>(std::clamp(logit, -kHighest, kHighest)); }

/// The last `count` tokens, all if it is negative.
std::span<const TokenId> last_tokens(std::span<const TokenId> tokens, int count) {
  return count < 0 ? tokens : tokens.last(std::min(tokens.size(), static_cast<size_t>(count)));
}

bool penalizes(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.frequency_penalty != 0 || params.presence_penalty != 0;
}

/// The logits under work, with one number for each token that every step leaves at zero.
class Adjustment {
 public:
  explicit Adjustment(std::span<const float> logits) : logits_(logits.begin(), logits.end()) {}

  void add_bias(const SamplingParams& params) {
    for (const auto& [token, bias] : params.logit_bias)
      if (knows(token)) set(token, get(token) + static_cast<double>(bias));
  }
  void penalize_said(const SamplingParams& params, const SampleContext& context);
  void penalize_repetitions(const DryParams& dry, std::span<const TokenId> tokens);
  void forbid(std::span<const TokenId> tokens) {
    for (const TokenId token : tokens)
      if (knows(token)) logits_[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
  }
  std::vector<float> take() { return std::move(logits_); }

 private:
  bool knows(TokenId token) const { return token >= 0 && static_cast<size_t>(token) < logits_.size(); }
  double get(TokenId token) const { return logits_[static_cast<size_t>(token)]; }
  void set(TokenId token, double logit) { logits_[static_cast<size_t>(token)] = bounded(logit); }
  int& note(TokenId token) { return notes_[static_cast<size_t>(token)]; }

  std::vector<float> logits_;
  std::vector<int> notes_ = std::vector<int>(logits_.size());
};

void Adjustment::penalize_said(const SamplingParams& params, const SampleContext& context) {
  const auto window = last_tokens(context.tokens, params.repeat_last_n);
  const size_t first = context.tokens.size() - window.size();  // of the window, in the tokens
  const auto prompt = static_cast<size_t>(std::max(context.prompt_tokens, 0));
  const size_t answer = std::min(prompt - std::min(prompt, first), window.size());  // where it begins in the window
  // A note is 1 for a token of the window, plus 1 for each time it is in the answer.
  for (size_t i = 0; i < window.size(); i++) {
    if (!knows(window[i])) continue;
    int& times = note(window[i]);
    times = std::max(times, 1) + (i >= answer ? 1 : 0);
  }
  for (const TokenId token : window) {
    if (!knows(token) || note(token) == 0) continue;
    const int times = note(token) - 1;
    const double logit = get(token);
    const double less = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    set(token, less - times * params.frequency_penalty - (times > 0 ? params.presence_penalty : 0));
    note(token) = 0;
  }
}

void Adjustment::penalize_repetitions(const DryParams& dry, std::span<const TokenId> tokens) {
  const auto is_breaker = [&](TokenId t) { return std::binary_search(dry.breakers.begin(), dry.breakers.end(), t); };
  const auto window = last_tokens(tokens, dry.last_n);
  if (window.size() < 2) return;
  const auto begin = std::find_if(window.rbegin(), window.rend(), is_breaker);
  const auto reach = static_cast<int>(begin - window.rbegin());  // no repetition is longer
  if (reach == 0 || reach < dry.allowed_length) return;
  const auto matches = suffix_matches(window, window.size());
  // A note is the length of the longest repetition that the token would prolong.
  for (size_t d = 1; d < window.size(); d++) {
    const TokenId next = window[window.size() - d];
    const int length = std::min(matches[d], reach);
    if (length > 0 && length >= dry.allowed_length && knows(next)) note(next) = std::max(note(next), length);
  }
  for (const TokenId next : window) {
    if (!knows(next) || note(next) == 0) continue;
    const double penalty = dry.multiplier * std::pow(dry.base, note(next) - dry.allowed_length);
    if (!is_breaker(next)) set(next, get(next) - penalty);
    note(next) = 0;
  }
}

}  // namespace

bool looks_back(const SamplingParams& params) { return penalizes(params) || params.dry.multiplier != 0; }

bool adjusts(const SamplingParams& params, const SampleContext& context) {
  return !params.logit_bias.empty() || !context.forbidden.empty() || (looks_back(params) && !context.tokens.empty());
}

std::vector<float> adjusted_logits(std::span<const float> logits, const SamplingParams& params,
                                   const SampleContext& context) {
  Adjustment adjustment(logits);
  adjustment.add_bias(params);
  if (penalizes(params)) adjustment.penalize_said(params, context);
  if (params.dry.multiplier != 0) adjustment.penalize_repetitions(params.dry, context.tokens);
  adjustment.forbid(context.forbidden);
  return adjustment.take();
}

std::vector<TokenId> dry_breakers(const Tokenizer& tokenizer, std::span<const std::string> strings) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < tokenizer.size(); id++) {
    const std::string_view text = tokenizer.bytes(id);
    const auto breaks = [&](const std::string& s) { return !s.empty() && text.find(s) != std::string_view::npos; };
    if (std::any_of(strings.begin(), strings.end(), breaks)) ids.push_back(id);
  }
  return ids;
}

}  // namespace lancet
