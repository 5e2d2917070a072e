// What changes logits before a token is chosen: bias, penalties on what was said already, tokens that are forbidden.
// Only a few of a vocabulary's logits change, so the work grows with the tokens looked back upon, not with both.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "backend/batch.h"
#include "engine/sampling.h"

namespace lancet {

class Tokenizer;
struct SampleContext;

/// Whether the parameters look back upon the tokens so far.
bool looks_back(const SamplingParams& params);

/// Whether adjusted_logits would change anything.
bool adjusts(const SamplingParams& params, const SampleContext& context);

/// The logits after, in this order: logit_bias is added; what occurs in the last repeat_last_n tokens is divided (or
/// multiplied) by repetition_penalty; what the answer's part of them has loses frequency_penalty for each time and
/// presence_penalty once; what would prolong a repetition loses DRY's penalty; the forbidden become -infinity.
/// All others stay finite: they end at +-1e30. Ids outside the logits are ignored. The logits must be finite.
std::vector<float> adjusted_logits(std::span<const float> logits, const SamplingParams& params,
                                   const SampleContext& context);

/// The ids of the tokens whose text contains one of the strings, ascending; a control token's text is its name. Empty
/// strings match nothing; a string that spans tokens is not found. Searches the whole vocabulary for every string: some
/// milliseconds each, so once a request, not on the engine's thread.
std::vector<TokenId> dry_breakers(const Tokenizer& tokenizer, std::span<const std::string> strings);

}  // namespace lancet
