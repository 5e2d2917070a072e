// How long a step takes, learnt while it runs: a share that every step pays (the weights are read once, whoever asks)
// and a price per row. From these the engine picks how many prompt rows a step may read without making streams stutter.
//
// The line is fitted to recent steps, newer ones counting more. Steps that are all alike say nothing about its slope,
// so then only its height follows them and the slope stays what steps of different size showed last.
#pragma once

namespace lancet {

/// No clock of its own. Not thread-safe.
class CostModel {
 public:
  /// How many prompt rows a step with so many generating sequences may take to last at most `stretch` times as long as
  /// without them; in [1, most]. `most` when nobody generates; few while nothing was measured.
  int prompt_rows(int decoding, double stretch, int most) const;
  /// A step with a row for each of `decoding` sequences and `prompt_rows` others has run for `seconds`.
  void observe(int decoding, int prompt_rows, double seconds);
  /// What a step is expected to take; 0: nothing was measured yet.
  double expected_s(int rows) const;
  /// Speed of reading prompts; 0: not measured yet.
  double prompt_tokens_s() const { return prompt_seconds_ > 0 ? prompt_rows_ / prompt_seconds_ : 0; }

 private:
  double row_s() const;

  int observations_ = 0;
  int surprises_ = 0;                            // in a row
  double mean_rows_ = 0, mean_s_ = 0;            // of recent steps
  double variance_rows_ = 0, covariance_ = 0;    // rows squared, rows times seconds
  double row_s_ = 0;                             // the slope; 0: not measured yet
  double prompt_rows_ = 0, prompt_seconds_ = 0;  // recent prompt rows and the time that they took
};

}  // namespace lancet
