// Logits -> token. The random numbers are a pure function of (seed, index of the token), so a request gets the same
// tokens whatever else runs, also after it was preempted.
//
// With a grammar, tokens that it does not allow are out before all else: the steps below work on the logits of the
// allowed ones as if there were no others (allowed.h), and no other logit is read. Scores stay those of all logits.
//
// The order, each step on what the one before left:
//   1. logit_bias, repetition penalty, frequency and presence penalty, DRY, forbidden tokens   (penalties.h)
//   2. temperature 0 takes the highest; nothing below applies
//   3. top_n_sigma, top_k: on the logits, so the temperature does not matter. Sigma is that of the model's own logits:
//      one token that DRY sank to -1e30 would widen it beyond use.
//   4. typical_p, top_p, min_p, XTC: on the distribution at the temperature over what is still there
//   5. the draw
// 1 is the order of llama.cpp and vLLM. 4 differs from llama.cpp, which tempers last; it is that of vLLM, transformers
// and text-generation-webui. No cut removes the last candidate. Where equals are parted, the lower id counts as higher.
#pragma once

#include <span>

#include "engine/generation.h"
#include "engine/sampling.h"
#include "grammar/grammar.h"

namespace lancet {

/// What the choice of one token depends on besides logits and parameters. Ids outside the logits are ignored.
struct SampleContext {
  uint64_t index = 0;                  // of the token in its answer
  std::span<const TokenId> tokens;     // prompt, then the answer so far
  int prompt_tokens = 0;               // of `tokens`
  std::span<const TokenId> forbidden;  // never chosen: what would end an answer that is still too short
  /// XTC leaves everything where it would remove one of them: the end tokens, so that an answer can end.
  std::span<const TokenId> ends;
  const TokenMask* allowed = nullptr;  // a grammar's; null: every token is
};

/// Chooses a token. Greedy ties go to the lowest id. The score is of the model's own distribution (temperature 1, no
/// penalty, nothing cut) and is filled only if params.top_logprobs >= 0.
/// Throws Error{internal} if a logit that is read is NaN or infinite, or if every token is forbidden.
TokenScore sample(std::span<const float> logits, const SamplingParams& params, const SampleContext& context);

/// The log-probability of a given token, with the `top` likeliest: what prompt scores are made of. token must be an id
/// of the logits. Throws Error{internal} if a logit is NaN or infinite.
TokenScore score_token(std::span<const float> logits, TokenId token, int top);

}  // namespace lancet
