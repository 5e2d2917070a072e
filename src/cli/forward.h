// Drives a Model without an engine: one or more plain sequences from position 0 on, for score and bench.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/model.h"

namespace lancet {

/// Sequences of equal length in their own cache blocks. Allocates the model's cache: one per model.
class ForwardRun {
 public:
  /// Room for `sequences` sequences of `tokens` tokens each. Error{context_overflow} if the model was made for fewer.
  ForwardRun(Model& model, int sequences, int tokens);
  /// Forgets everything and cuts the same memory anew: at most as many blocks as at first.
  void reshape(int sequences, int tokens);
  /// Blocks that `sequences` sequences of `tokens` tokens take.
  static int blocks(int sequences, int tokens);

  /// Appends tokens to one sequence, at most `chunk` rows a step; calls see(position, logits) for every one of them if
  /// `all_logits`, else for the last. The logits are valid during the call.
  using See = std::function<void(int position, std::span<const float> logits)>;
  void append(int sequence, std::span<const TokenId> tokens, bool all_logits, const See& see);
  /// Appends to a sequence tokens that see no others than those of their own step: the cache is as full as after
  /// append(), and what steps cost from there on does not depend on its numbers, but this costs no attention to all
  /// that is before.
  void fill(int sequence, std::span<const TokenId> tokens);
  /// Appends one token to each of the first `count` sequences in one step; returns the logits of all, row by row.
  std::span<const float> append_each(std::span<const TokenId> tokens);
  /// Forgets all but the first `tokens` tokens of every sequence.
  void rewind(int tokens);

 private:
  /// Positions count from the sequence's token `origin`, the first of a block, and nothing before it is seen.
  void add_rows(Batch& batch, int sequence, std::span<const TokenId> tokens, int origin = 0) const;

  Model& model_;
  int tokens_each_ = 0, blocks_each_ = 0, blocks_ = 0;
  std::vector<int> lengths_;
};

}  // namespace lancet
