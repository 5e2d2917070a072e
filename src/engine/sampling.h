// What a request wants of its tokens' choice. Plain data; the defaults ask for nothing but a draw at temperature 1.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "backend/batch.h"

namespace lancet {

/// DRY: a token that would prolong a repetition of at least allowed_length tokens loses
/// multiplier * base^(length - allowed_length). After p-e-w's "DRY" (llama.cpp, text-generation-webui).
struct DryParams {
  double multiplier = 0;  // 0: off
  double base = 1.75;     // >= 1
  int allowed_length = 2;
  int last_n = -1;                // tokens looked back upon; -1: all
  std::vector<TokenId> breakers;  // ascending; a repetition never reaches across one of them
};

struct SamplingParams {
  double temperature = 1.0;  // 0: greedy
  double top_p = 1.0;        // (0, 1]
  int top_k = 0;             // 0: off
  double min_p = 0.0;        // [0, 1)
  double typical_p = 1.0;    // (0, 1], 1: off
  double top_n_sigma = 0;    // standard deviations below the highest logit that stay; 0: off
  double xtc_probability = 0;
  double xtc_threshold = 0.1;  // above 0.5: off
  /// Subtracted once from every token that was generated, and once for each time it was. [-2, 2]
  double presence_penalty = 0, frequency_penalty = 0;
  /// Logits of tokens of the prompt or the answer are divided by it if positive, multiplied if negative. > 0; 1: off
  double repetition_penalty = 1;
  int repeat_last_n = -1;  // tokens that the three penalties look back upon; -1: all
  DryParams dry;
  std::vector<std::pair<TokenId, float>> logit_bias;  // added before all else; distinct ids
  uint64_t seed = 0;                                  // the same seed gives the same tokens, whatever else runs
  int top_logprobs = -1;  // -1: no scores; n: the chosen token's log-probability and those of the n likeliest
};

}  // namespace lancet
