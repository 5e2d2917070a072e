// Which tokens may come in a state of the machine. A mask is a walk over the token trie; inside JSON strings, where
// most tokens stay inside, the walk is over the string's own automaton and shared by all places that have such a
// string.
#pragma once

#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/machine.h"

namespace lancet {

class Masks {
 public:
  struct Entry {
    TokenMask mask;
    int64_t worst = 0;  // the highest cost after any of its tokens, end tokens aside
    /// Tokens that read on behind a kept text: whether they may come depends on that text.
    std::vector<TokenId> suspects;
  };

  Masks(Machine& machine, size_t cache_bytes) : machine_(machine), cache_bytes_(cache_bytes) {}

  /// Valid until the next call.
  const Entry& of(StateId, Budget&);
  /// Tokens after which the cost is at most tokens_left - 1; where there is none, those that lead to the lowest.
  const TokenMask& within(StateId, int64_t tokens_left, Budget&);
  size_t bytes() const;

 private:
  /// Tokens that stay in a JSON string (or end with it), and where in the trie others leave it.
  struct Slice {
    TokenMask stay;
    int64_t cost = 0, worst = 0;
    std::vector<uint32_t> exits;  // nodes whose subtrees go on behind the closing quote
  };
  struct Walk {
    Entry& into;
    int64_t limit;  // tokens that cost more afterwards are left out
    Budget& budget;
  };

  const Entry& of_position(const Position&, Budget&);
  void compute(const Position&, Walk&);
  void walk(StateId from, uint32_t begin, uint32_t end, uint32_t depth, Walk&);
  const Slice& slice(Lexemes::State, Budget&);
  void fill_by_length(TermPool::Lengths, Slice&) const;
  void scan_string(Lexemes::State, int64_t limit, Slice&, Budget&);
  void scan_difference(Lexemes::State from, Lexemes::State other, const Slice& known, Slice&, Budget&);
  void compute_string(const Position&, Walk&);
  void leave_string(const Position&, const Slice&, Walk&);
  bool is_kept(const Position&) const;
  static Position of_unknown_text(Position);
  void limit_kept(const Position&, Walk&);
  void remove_excluded(const Position&, Walk&);
  void remove_false_suspects(const Position&, Entry&, Budget&);
  void add_tokens(const TokenTrie::Node&, Entry&) const;

  Machine& machine_;
  size_t cache_bytes_;
  std::unordered_map<StateId, Entry> entries_;
  std::unordered_map<Lexemes::State, Slice> slices_;
  Entry limited_, own_;
};

}  // namespace lancet
