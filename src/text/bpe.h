// Byte-pair merging of one piece. Two algorithms with the same result: a scan for the strongest pair while a piece is
// short (nearly all are), a heap when it is long, so that no text takes longer than n log n.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "checkpoint/token_index.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// The merges of a vocabulary, ready for look-up. Immutable; any thread.
class Bpe {
 public:
  /// `vocabulary` must outlive this. Throws Error{bad_file} if no byte has a token.
  explicit Bpe(const Vocabulary& vocabulary);

  /// Appends the ids of one piece. Bytes without a token are left out before merging, as Hugging Face does, and set in
  /// `lost`. Spends one budget step a byte and, for long pieces, one a heap entry; charges the heap's memory.
  void encode(std::string_view piece, std::vector<TokenId>& ids, std::bitset<256>& lost, Budget&) const;

  /// encode by one named algorithm, for tests of their equality.
  enum class Algorithm { scan, heap };
  std::vector<TokenId> merge(Algorithm, std::string_view piece, Budget&) const;

 private:
  /// What a pair of neighbours becomes. A lower rank merges first; kNoMerge never.
  struct Rule {
    uint32_t rank;
    TokenId result;
  };
  static constexpr uint32_t kNoMerge = UINT32_MAX;
  struct PairSlot {
    uint64_t pair = UINT64_MAX;  // UINT64_MAX: free
    Rule rule{};
  };
  struct LongPiece;

  static uint64_t pair_key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  Rule rule(TokenId left, TokenId right) const;
  void add_rule(TokenId left, TokenId right, Rule);
  void add_rules_by_rank(const Vocabulary&);
  void mark_whole_tokens(const Vocabulary&);
  void start(std::string_view piece, std::vector<TokenId>& symbols, std::bitset<256>& lost) const;
  void merge_short(std::vector<TokenId>& ids, size_t first) const;
  void merge_long(std::vector<TokenId>& ids, size_t first, Budget&) const;

  std::array<TokenId, 256> byte_ids_;  // -1: this byte has no token
  TokenIndex whole_;                   // pieces that are one token as a whole
  std::vector<PairSlot> pairs_;
  size_t pair_mask_ = 0;
};

}  // namespace lancet
