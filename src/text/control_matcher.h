// Finding control and added tokens in text: leftmost, then longest. A trie in one array; the cost is the text times
// the length of the longest name, and every byte that begins no name costs one look at a bitmap.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// Immutable after construction; any thread.
class ControlMatcher {
 public:
  explicit ControlMatcher(const Vocabulary&);

  struct Match {
    size_t begin, end;  // bytes of the text
    TokenId id;
  };
  /// The first match at or after `from`; begin == text.size() if there is none. Control tokens are found only if
  /// `trusted`; added tokens always. Spends budget steps for the bytes looked at.
  Match next(std::string_view text, size_t from, bool trusted, Budget&) const;

 private:
  struct Node {
    TokenId id = -1;  // the token that ends here
    bool control = false;
    uint32_t child = 0;  // first child; 0: none (the root is nobody's child)
    uint32_t sibling = 0;
    unsigned char byte = 0;
  };
  uint32_t find_child(uint32_t node, unsigned char byte) const;
  Match longest_at(std::string_view text, size_t at, bool trusted, size_t& work) const;

  std::vector<Node> nodes_;
  std::vector<uint32_t> roots_;  // by first byte; 0: none
  std::bitset<256> trusted_first_, untrusted_first_;
};

}  // namespace lancet
