// Logits -> token. The random number is a pure function of (seed, index of the token), so a request gets the same
// tokens whatever else runs, also after it was preempted.
#pragma once

#include <span>

#include "engine/generation.h"
#include "engine/sampling.h"

namespace lancet {

/// What the choice of one token depends on besides logits and parameters.
struct SampleContext {
  uint64_t index = 0;                  // of the token in its answer
  std::span<const TokenId> tokens;     // prompt, then the answer so far
  int prompt_tokens = 0;               // of `tokens`
  std::span<const TokenId> forbidden;  // never chosen: what would end an answer that is still too short
};

/// Chooses a token. Greedy ties go to the lowest id. The score is of the model's own distribution (temperature 1,
/// nothing cut) and is filled only if params.top_logprobs >= 0.
/// Throws Error{internal} if a logit is NaN or infinite.
TokenScore sample(std::span<const float> logits, const SamplingParams& params, const SampleContext& context);

}  // namespace lancet
