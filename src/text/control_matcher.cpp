// The trie's nodes are in one array; a node's children are a linked list, but the root's are looked up by byte.
#include "text/control_matcher.h"

#include <utility>

namespace lancet {

ControlMatcher::ControlMatcher(const Vocabulary& vocabulary) : nodes_(1), roots_(256, 0) {
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const Token& token = vocabulary.tokens[id];
    const bool control = token.kind == Token::Kind::control;
    if ((!control && token.kind != Token::Kind::added) || token.bytes.empty()) continue;
    uint32_t node = 0;
    for (const char c : token.bytes) {
      const auto byte = static_cast<unsigned char>(c);
      uint32_t child = find_child(node, byte);
      if (child == 0) {
        child = static_cast<uint32_t>(nodes_.size());
        uint32_t& head = node == 0 ? roots_[byte] : nodes_[node].child;
        const uint32_t sibling = head;
        head = child;
        nodes_.push_back({.sibling = sibling, .byte = byte});
      }
      node = child;
    }
    nodes_[node].id = static_cast<TokenId>(id);
    nodes_[node].control = control;
    const auto first = static_cast<unsigned char>(token.bytes[0]);
    trusted_first_.set(first);
    if (!control) untrusted_first_.set(first);
  }
}

uint32_t ControlMatcher::find_child(uint32_t node, unsigned char byte) const {
  if (node == 0) return roots_[byte];
  uint32_t child = nodes_[node].child;
  while (child != 0 && nodes_[child].byte != byte) child = nodes_[child].sibling;
  return child;
}

ControlMatcher::Match ControlMatcher::longest_at(std::string_view text, size_t at, bool trusted, size_t& work) const {
  Match best{text.size(), text.size(), -1};
  uint32_t node = 0;
  for (size_t i = at; i < text.size(); i++) {
    node = find_child(node, static_cast<unsigned char>(text[i]));
    work++;
    if (node == 0) break;
    if (nodes_[node].id >= 0 && (trusted || !nodes_[node].control)) best = {at, i + 1, nodes_[node].id};
  }
  return best;
}

ControlMatcher::Match ControlMatcher::next(std::string_view text, size_t from, bool trusted, Budget& budget) const {
  const std::bitset<256>& first = trusted ? trusted_first_ : untrusted_first_;
  Match match{text.size(), text.size(), -1};
  if (first.none()) return match;
  size_t work = 0;
  for (size_t at = from; at < text.size() && match.id < 0; at++) {
    if (!first.test(static_cast<unsigned char>(text[at]))) continue;
    match = longest_at(text, at, trusted, work);
    if (work >= 4096) budget.step(std::exchange(work, 0));
  }
  budget.step(work + match.begin - from);
  return match;
}

}  // namespace lancet
