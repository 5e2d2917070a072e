// Texts -> token ids, for a quarter million of them in a few milliseconds: open addressing in one array, no copies.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// A map from byte strings to ids. The strings are views: their bytes must outlive the index. Built by one thread,
/// then read by any.
class TokenIndex {
 public:
  /// Room for `capacity` entries; more is our own mistake (the table would fill up).
  explicit TokenIndex(size_t capacity) : slots_(std::bit_ceil(capacity + capacity / 2 + 2)), mask_(slots_.size() - 1) {}

  /// False, and no change, if the text is there already.
  bool insert(std::string_view text, TokenId id) {
    Slot& slot = slots_[position(text)];
    if (slot.id >= 0) return false;
    slot = {text.data(), static_cast<uint32_t>(text.size()), id};
    return true;
  }
  std::optional<TokenId> find(std::string_view text) const {
    const Slot& slot = slots_[position(text)];
    if (slot.id < 0) return std::nullopt;
    return slot.id;
  }

 private:
  struct Slot {
    const char* bytes = nullptr;
    uint32_t size = 0;
    TokenId id = -1;  // -1: free
  };

  /// Where the text is, or the free slot where it would go.
  size_t position(std::string_view text) const {
    size_t at = hash64(std::as_bytes(std::span(text))) & mask_;
    while (slots_[at].id >= 0 && std::string_view(slots_[at].bytes, slots_[at].size) != text) at = (at + 1) & mask_;
    return at;
  }

  std::vector<Slot> slots_;
  size_t mask_;
};

}  // namespace lancet
