// One step's work: rows of tokens that requests owe, with where their keys and values go. Integers only.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/vocabulary.h"

namespace lancet {

/// Tokens per cache block.
inline constexpr int kBlockTokens = 16;

/// One request's rows in a batch; rows of one request are consecutive and in order of position.
struct SequenceRows {
  int first_row = 0, rows = 0;
  int context = 0;      // tokens this request has in the cache once the step has run
  int first_block = 0;  // its block table starts at Batch::blocks[first_block]
};

/// Everything one step needs; built by the scheduler. Prompt chunks and decode tokens look alike.
struct Batch {
  std::vector<TokenId> tokens;     // [rows]
  std::vector<int32_t> positions;  // [rows] position in its own sequence
  std::vector<int32_t> slots;      // [rows] cache row for the new key and value: block * kBlockTokens + offset
  std::vector<int32_t> blocks;     // all block tables, end to end
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> logit_rows;  // rows whose next-token logits are wanted, ascending
  /// The only tokens whose logits will be read, ascending: the others need not be computed. Empty: all are read.
  std::vector<TokenId> wanted;
  std::vector<int32_t> state_rows;  // rows whose final states are wanted (embeddings), ascending
  int rows() const { return static_cast<int>(tokens.size()); }
};

}  // namespace lancet
