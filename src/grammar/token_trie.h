// A vocabulary's tokens as a trie of their bytes, in depth-first order, so that one forward scan visits every token and
// skips whole subtrees. Control tokens are not in it: no bytes spell them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace lancet {

/// The tokens inside of a JSON string that takes any text: what a string of any length allows follows from it.
struct StringTokens {
  struct Token {
    TokenId id;
    uint16_t chars;  // begun, as in the string's text
  };
  struct Exit {
    uint32_t node;   // the closing quote, with tokens that go on
    uint16_t chars;  // before it
  };
  std::vector<uint64_t> inside;  // a bit per token that stays inside
  std::vector<Token> by_length;  // these, the longest first
  std::vector<Token> closing;    // tokens that end with the closing quote; chars before it
  std::vector<Exit> exits;
};

class TokenTrie {
 public:
  explicit TokenTrie(const Tokenizer&);
  /// For tests and tools: tokens by id, no control tokens but `ends`.
  TokenTrie(std::vector<std::string> tokens, std::vector<TokenId> ends);

  struct Node {
    uint32_t end = 0;    // index behind this node's subtree
    uint16_t depth = 0;  // bytes from the root, >= 1
    uint8_t byte = 0;
    uint32_t first = 0, last = 0;  // its tokens: [first, last) of ids()
  };
  std::span<const Node> nodes() const { return nodes_; }  // depth-first; the root is not among them
  std::span<const TokenId> ids() const { return ids_; }
  std::string_view bytes(TokenId) const;                   // empty for control tokens
  std::span<const TokenId> ends() const { return ends_; }  // tokens that end a generation
  bool is_control(TokenId id) const { return control_[static_cast<size_t>(id)]; }
  /// Tokens with three quotes or more: only they can end one JSON string and contain all of another.
  std::span<const TokenId> rejoining() const { return rejoining_; }
  std::span<const TokenId> quoting() const { return quoting_; }  // with a quote
  const StringTokens& string_tokens() const { return strings_; }
  int size() const { return static_cast<int>(bytes_.size()); }  // of the vocabulary
  int longest() const { return longest_; }                      // bytes of the longest token
  /// The node of `byte` among the children in [begin, end), or end: children follow each other's subtrees.
  uint32_t child(uint32_t begin, uint32_t end, uint8_t byte) const;
  /// How many tokens spell the text if the longest that fits is taken each time; nothing: some byte has no token.
  std::optional<int64_t> greedy_tokens(std::string_view) const;
  /// The same for every end of the text, by where it begins; INT32_MAX: some byte has no token.
  std::vector<int32_t> greedy_suffixes(std::string_view) const;

 private:
  size_t longest_match(std::string_view text) const;  // bytes
  void build();
  void find_string_tokens();  // string_tokens.cpp
  std::vector<std::string> bytes_;
  std::vector<bool> control_;
  std::vector<TokenId> ends_;
  std::vector<Node> nodes_;
  std::vector<TokenId> ids_, rejoining_, quoting_;
  int longest_ = 0;
  StringTokens strings_;
};

}  // namespace lancet
