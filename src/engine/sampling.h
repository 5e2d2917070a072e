// What a request wants of its tokens' choice. Plain data.
#pragma once

#include <cstdint>

namespace lancet {

struct SamplingParams {
  double temperature = 1.0;  // 0: greedy
  double top_p = 1.0;        // (0, 1]
  int top_k = 0;             // 0: off
  double min_p = 0.0;        // [0, 1)
  uint64_t seed = 0;         // the same seed gives the same tokens, whatever else runs
  int top_logprobs = -1;     // -1: no scores; n: the chosen token's log-probability and those of the n likeliest
};

}  // namespace lancet
