// What a TermPool holds, for term*.cpp only. A node is one term; equal nodes are one (hash-consing), so ids compare
// terms. Built only through the make_ functions, which apply the laws that keep the number of states small.
//
// Invariants: children have smaller ids than their parents; a term that is not `hard` (no intersection or complement
// within) and is not nothing() has a text; no concat has a concat of up to kFlatten parts as its head; either and both
// have at least two children, sorted, none of their own kind.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "grammar/term.h"

namespace lancet {

inline constexpr uint64_t kEndless = UINT64_MAX;  // no bound; lengths saturate at it

inline uint64_t add_lengths(uint64_t a, uint64_t b) { return a > kEndless - b ? kEndless : a + b; }
inline uint64_t multiply_lengths(uint64_t a, uint64_t b) {
  if (a == 0 || b == 0) return 0;
  return a > kEndless / b ? kEndless : a * b;
}

struct TermPool::State {
  enum class Kind : uint8_t { nothing, empty, set, literal, concat, either, both, complement, repeat, automaton };
  enum class Texts : uint8_t { unknown, none, some };
  using Id = uint32_t;
  static constexpr Id kNothing = 0, kEmpty = 1, kAnyChar = 2, kAnything = 3;
  static constexpr uint32_t kNoSteps = UINT32_MAX;
  static constexpr uint64_t kFlatten = 32;

  struct Node {
    Kind kind = Kind::nothing;
    bool nullable = false;
    bool hard = false;  // an intersection or a complement is within
    Texts texts = Texts::some;
    uint16_t depth = 0;  // nesting
    uint32_t a = 0, b = 0;
    // set: a = set. literal: a = text, b = offset. concat: a then b. either, both: children [a, a + b).
    // complement, repeat: a. automaton: a = table, b = state.
    uint64_t min = 0, max = 0;     // repeat; concat: min = number of parts
    uint64_t low = 0, high = 0;    // bounds of the texts' lengths; low is exact unless hard
    uint64_t reach = 0;            // unless hard: after any live prefix, some text ends within so many characters
    uint64_t distance = kEndless;  // of the shortest text, once known
    uint32_t steps = kNoSteps, step_count = 0;  // all successors, in `steps`
    uint32_t live = kNoSteps, live_count = 0;   // those with texts
  };

  /// An explicit automaton in which every state reaches an accepting one.
  struct Table {
    std::vector<uint32_t> first_edge;  // by state, one more at the end
    std::vector<Step> edges;           // `to` is a state number
    std::vector<bool> accepts;
    std::vector<uint64_t> low;
    std::vector<uint64_t> high;
    uint64_t reach = 0;
  };

  std::vector<Node> nodes;
  std::vector<Id> children;
  std::vector<Step> all_steps;
  std::vector<Id> slots;  // open addressing: id + 1
  std::vector<CharSet> sets;
  std::map<CharSet, Id> set_ids;
  std::unordered_map<char32_t, Id> single_ids;
  std::vector<std::u32string> texts;
  std::unordered_map<std::u32string, uint32_t> text_ids;
  std::vector<Table> tables;
  std::unordered_map<std::string, uint32_t> table_ids;
  std::unordered_map<uint64_t, Id> clipped;  // (id, characters)

  State();

  // term_build.cpp
  const Node& at(Id id) const { return nodes[id]; }
  Id intern(Node, std::span<const Id> kids = {});
  Id make_set(const CharSet&);
  Id make_single(char32_t);
  Id make_text(std::u32string);                // of any length
  Id make_suffix(uint32_t text, uint32_t at);  // of a text, at most its length
  Id make_concat(std::span<const Id>);         // joins neighbouring literals
  Id cons(Id head, Id tail);                   // concat of two, in constant time
  Id make_repeat(Id, uint64_t min, uint64_t max);
  Id make_complement(Id);
  std::span<const Id> kids(Id id) const { return std::span(children).subspan(at(id).a, at(id).b); }
  bool is_single(Id) const;

  // term_sets.cpp
  Id make_either(std::vector<Id>);
  Id make_both(std::vector<Id>);
  void flatten(std::vector<Id>&, Kind) const;
  void merge_counters(std::vector<Id>&);
  bool has_opposites(const std::vector<Id>& sorted) const;

  // term_table.cpp
  Id make_table(std::vector<AutomatonState>);
  Id make_trie(std::vector<Id> literals);
  Id make_table_state(uint32_t table, uint32_t state);

  // term_steps.cpp: successors with and without those that have no text
  std::span<const Step> raw_steps(Id, Budget&);
  std::span<const Step> live_steps(Id, Budget&);

  // term_search.cpp
  bool is_empty(Id, Budget&);
  uint64_t distance(Id, Budget&);  // kEndless: no text
  uint64_t count(Id, uint64_t limit, Budget&);

  // term_clip.cpp
  Id clip(Id, uint64_t chars);
  Id clip_concat(Id, uint64_t chars);
  Id clip_both(Id, uint64_t chars);

 private:
  Node describe(Node, std::span<const Id> kids) const;  // fills in what follows from the children
  void describe_many(Node&, std::span<const Id> kids) const;
  size_t hash(const Node&, std::span<const Id> kids) const;
  bool same(const Node&, const Node&, std::span<const Id> kids) const;
  void grow_slots();
  Id cons_flat(Id head, Id tail);
  std::vector<Step> derive(Id, Budget&);
  std::vector<Step> derive_concat(Id, Budget&);
  std::vector<Step> derive_leaf(Id);
  std::vector<Step> derive_complement(Id, Budget&);
  std::vector<Step> derive_many(Id, Budget&);
  std::vector<Step> sweep(std::vector<Step> events, size_t lists, Budget&);
  bool explore(Id, Budget&);
  uint64_t search(Id, Budget&);
};

}  // namespace lancet
