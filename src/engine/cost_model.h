// How long steps take, learnt while they run: a step of those who generate, alone, and what a prompt row adds to it.
// From these the engine picks how many prompt rows a step may read without making streams stutter.
//
// What a stream's step takes alone is measured, not extrapolated: as contexts grow, a line through steps that all have
// prompt rows drifts, and it drifts towards ever longer steps. So while prompts are read, one step in seventeen reads
// none.
#pragma once

#include <array>

namespace lancet {

/// No clock of its own. Not thread-safe.
class CostModel {
 public:
  /// How many prompt rows a step with so many generating sequences may take to last at most `stretch` times as long as
  /// without them, at most `most`. 0: this step is to show what it takes without.
  int prompt_rows(int decoding, double stretch, int most) const;
  /// A step with a row for each of `decoding` sequences and `prompt_rows` others has run for `seconds`.
  void observe(int decoding, int prompt_rows, double seconds);
  /// Speed of reading prompts; 0: not measured yet.
  double prompt_tokens_s() const { return prompt_seconds_ > 0 ? prompt_rows_ / prompt_seconds_ : 0; }

 private:
  double alone_s() const;

  std::array<double, 3> alone_ = {};             // the latest steps without prompt rows, seconds
  int alone_count_ = 0;                          // ever observed
  int mixed_ = 0;                                // steps with both since
  double row_s_ = 0;                             // what a prompt row adds; 0: not measured yet
  double prompt_rows_ = 0, prompt_seconds_ = 0;  // recent prompt rows and the time that they took
};

}  // namespace lancet
