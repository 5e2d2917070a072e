// A test double that makes paging visible. Its "cache" stores (position, token) a slot; the logits of a row pick the
// hash of every pair that its block table lets it see. Any wrong slot, table, position, stale block or skipped row
// changes the answer.
#pragma once

#include <functional>
#include <vector>

#include "model/model.h"

namespace lancet::test {

class HashModel : public Model {
 public:
  explicit HashModel(int vocabulary, int context = 1 << 16) : vocabulary_(vocabulary), context_(context) {}

  ModelLimits limits() const override;
  void allocate_cache(int blocks) override;
  std::span<const float> forward(const Batch&) override;
  /// A state is one number: the token at that row.
  std::span<const float> states() const override { return states_; }

  /// Called before each step with its number (from 0) and batch; may throw, to inject a fault.
  std::function<void(int step, const Batch&)> before_step;
  /// Logits of rows whose sequence contains this token become NaN; -1: none.
  TokenId poison = -1;
  int steps = 0;
  int most_rows = 0;  // rows of the largest batch seen

 private:
  struct Cell {
    int32_t position = -1;
    TokenId token = -1;
  };
  int vocabulary_, context_;
  std::vector<Cell> cache_;
  std::vector<float> logits_, states_;
};

/// 256 byte tokens, then control tokens "<s>" (256, bos), "</s>" (257, ends generation) and unused ids up to `size`.
Vocabulary byte_vocabulary(int size = 300);

}  // namespace lancet::test
