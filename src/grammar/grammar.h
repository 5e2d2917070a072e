// A compiled constraint and one request's position in it: which tokens may come next, exactly.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "grammar/rules.h"
#include "grammar/token_trie.h"

namespace lancet {

/// A set of tokens, a bit each.
class TokenMask {
 public:
  explicit TokenMask(int size = 0) : words_((static_cast<size_t>(size) + 63) / 64), size_(size) {}
  bool test(TokenId id) const { return (words_[static_cast<size_t>(id) / 64] >> (id % 64)) & 1; }
  void set(TokenId id) { words_[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64); }
  void clear(TokenId id) { words_[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (id % 64)); }
  int size() const { return size_; }
  int count() const;
  std::vector<uint64_t>& words() { return words_; }
  const std::vector<uint64_t>& words() const { return words_; }

 private:
  std::vector<uint64_t> words_;
  int size_ = 0;
};

struct GrammarLimits {
  size_t cache_bytes = size_t{32} << 20;  // masks kept, and states kept, per grammar; beyond, both begin anew
};

struct GrammarSession;

/// A compiled constraint. States of one grammar share its caches, so all of them belong to one thread at a time.
class Grammar : public std::enable_shared_from_this<Grammar> {
 public:
  /// Throws Error{bad_request} if no text can satisfy the rules or if they are left-recursive, Error{budget} when they
  /// are too costly to examine.
  static std::shared_ptr<Grammar> make(Rules, RuleId start, std::shared_ptr<const TokenTrie>, Budget&,
                                       GrammarLimits = {});
  ~Grammar();

  /// An upper bound on the tokens that a shortest answer takes.
  int64_t shortest_tokens() const;
  size_t bytes() const;  // memory held, about
  struct State;          // grammar_state.h, for the grammar's own files
  State& state() { return *state_; }

 private:
  explicit Grammar(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

/// One answer's position. A value: copies are independent and cheap.
class GrammarState {
 public:
  explicit GrammarState(std::shared_ptr<Grammar>);

  /// Tokens that may come next, with the end tokens if the answer may end here. Valid until the next call on any state
  /// of this grammar. Never empty unless the vocabulary cannot spell what must come.
  const TokenMask& allowed(Budget&);
  /// Of them, those after which at most tokens_left - 1 further tokens complete the answer. Requires
  /// tokens_to_end() <= tokens_left; then it holds again after any of them, so the answer ends in time.
  const TokenMask& allowed_within(int64_t tokens_left, Budget&);
  /// Moves on. False, and nothing changes, if the token may not come next. End tokens only end.
  bool accept(TokenId, Budget&);
  bool accept_bytes(std::string_view, Budget&);
  bool may_end() const;                  // the answer may end here
  bool must_end() const;                 // nothing but the end may come
  bool ended() const { return ended_; }  // an end token was accepted
  /// Bytes that must come next whatever is chosen, at most `limit`: the longest common beginning of all continuations.
  std::string forced(size_t limit, Budget&);
  /// The control token that must come next, if nothing else may.
  std::optional<TokenId> forced_control() const;
  /// An upper bound on the tokens of a shortest completion, end token not counted; 0: may_end().
  int64_t tokens_to_end(Budget&) const;
  /// True inside a JSON string that may end here and takes any character: a place where a long answer can be cut.
  bool in_free_string(Budget&) const;

 private:
  const TokenMask& nothing();

  std::shared_ptr<Grammar> grammar_;
  std::shared_ptr<GrammarSession> session_;
  uint32_t at_ = 0;
  bool ended_ = false;
};

}  // namespace lancet
