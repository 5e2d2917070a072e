// Logits -> token. The random number is a pure function of (seed, index of the token), so a request gets the same
// tokens whatever else runs, also after it was preempted.
#pragma once

#include <span>

#include "engine/generation.h"
#include "engine/sampling.h"

namespace lancet {

/// Chooses the token with index `index` of its request. Order: temperature, top_k, top_p, min_p, draw; top_p and min_p
/// are shares of the distribution at that temperature. Greedy ties go to the lowest id. The score is of the model's own
/// distribution (temperature 1, nothing cut) and is filled only if params.top_logprobs >= 0.
/// Throws Error{internal} if a logit is NaN or infinite.
TokenScore sample(std::span<const float> logits, const SamplingParams& params, uint64_t index);

}  // namespace lancet
