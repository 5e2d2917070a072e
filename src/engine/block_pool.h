// Which cache block belongs to whom, and which hold a prefix that others can use. Integers only: no memory, no model.
//
// A full block whose tokens are known is published under its parent publication and its own 16 tokens. Lookups compare
// both, so a hash collision can never hand out wrong content. Free blocks keep their content until they are reused,
// least recently released first.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/batch.h"

namespace lancet {

/// Names the content of a published block together with everything before it. 0 is the empty prefix.
using PrefixId = uint64_t;

/// Not thread-safe. What throws std::bad_alloc has changed nothing.
class BlockPool {
 public:
  explicit BlockPool(int blocks);

  int blocks() const { return static_cast<int>(entries_.size()); }
  int free_blocks() const { return free_; }
  /// Of the free ones, those whose content can be found.
  int cached_blocks() const { return cached_; }
  /// Blocks whose findable content was given up for new content.
  uint64_t evicted_blocks() const { return evicted_; }
  /// How many tables hold the block.
  int references(int32_t block) const { return entries_[static_cast<size_t>(block)].references; }

  /// The empty prefix of those who share this salt, and only of those. Salts are hashes: of their 64 bits 63 count.
  static PrefixId root(uint64_t salt) { return salt == 0 ? 0 : salt | kSalted; }

  /// Appends to `table` the published blocks that hold the longest prefix of `tokens`, takes a reference on each and
  /// returns the prefix that they make. Only whole blocks that end before the last token count, so that a row is always
  /// left to run.
  PrefixId match(std::span<const TokenId> tokens, std::vector<int32_t>& table, PrefixId root = 0);
  /// Appends `count` blocks with unknown content; false: not enough are free, and nothing was taken.
  bool extend(std::vector<int32_t>& table, int count);
  /// Says that `block`, held by the caller, now contains these kBlockTokens tokens after `parent`. Returns the prefix
  /// that ends with it; another block may have published the same content first.
  PrefixId publish(int32_t block, PrefixId parent, std::span<const TokenId> tokens);
  /// Gives up one reference on every block and empties the table.
  void release(std::vector<int32_t>& table) noexcept;
  /// The same for content that must not be used again: blocks that nobody else holds are forgotten.
  void release_and_forget(std::vector<int32_t>& table) noexcept;

 private:
  // Publications are counted from 1 and never reach this bit.
  static constexpr PrefixId kSalted = PrefixId{1} << 63;

  using Tokens = std::array<TokenId, kBlockTokens>;
  struct Entry {
    int references = 0;
    PrefixId id = 0, parent = 0;  // id 0: not published
    Tokens tokens = {};
    int32_t before = -1, after = -1;  // neighbours in the list of free blocks
  };

  static uint64_t key(PrefixId parent, std::span<const TokenId> tokens);
  int32_t find(PrefixId parent, std::span<const TokenId> tokens) const;
  void forget(int32_t block) noexcept;
  void take(int32_t block) noexcept;  // adds a reference; leaves the free list if it was there
  void link_oldest(int32_t block) noexcept;
  void link_newest(int32_t block) noexcept;
  void unlink(int32_t block) noexcept;

  std::vector<Entry> entries_;
  std::unordered_multimap<uint64_t, int32_t> published_;
  int32_t oldest_ = -1, newest_ = -1;  // ends of the list of free blocks
  int free_ = 0, cached_ = 0;
  uint64_t evicted_ = 0;
  PrefixId next_id_ = 1;
};

}  // namespace lancet
