// A grammar as a nondeterministic pushdown machine over bytes, made deterministic as it is walked. A State is a set of
// Positions; a Position is a place in a leaf with the Frames to return to when the leaf is complete. Everything is
// interned, so equal futures are one number and what was computed for it is found again.
//
// Invariant: only positions that some text completes exist. Hence a state without positions is dead, and no walk along
// next() ever gets stuck.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "grammar/interner.h"
#include "grammar/lexemes.h"
#include "grammar/plans.h"
#include "grammar/rules_state.h"
#include "grammar/token_trie.h"

namespace lancet {

using FrameId = uint32_t;  // 0: the answer is complete
using StateId = uint32_t;  // 0: dead
using TextId = uint32_t;   // bytes read by a leaf whose text matters later; 0: not kept
inline constexpr TextId kUnknownText = 1, kEmptyText = 2;

/// What a rule's evaluation is at, to be resumed when the part that now runs is complete.
struct Frame {
  RuleId rule = 0;
  FrameId parent = 0;
  uint32_t at = 0;  // sequence: the next part; repeat: parts done; object, array: their progress
  bool operator==(const Frame&) const = default;
  uint64_t hash() const { return hash_combine(hash_combine(rule, parent), at); }
};

struct Position {
  enum class Kind : uint32_t { text, texts, key, control };
  Kind kind = Kind::text;
  RuleId rule = 0;  // key and texts of a family: the object
  FrameId frame = 0;
  uint32_t a = 0, b = 0, c = 0;  // text: lexeme state. texts, key: [a, b) of the sorted texts, c bytes read
  TextId text = 0;               // text, texts: what was read so far
  uint32_t excluded = 0;         // text, texts: the set of texts that must not be read (sets_), 0: none
  uint32_t low = 0, high = 0;    // of the sorted excluded texts those that begin so
  bool operator==(const Position&) const = default;
  auto operator<=>(const Position&) const = default;
  uint64_t hash() const { return hash64(std::as_bytes(std::span(this, 1))); }
};

class Machine {
 public:
  /// All must outlive it. `costs`: of each rule the tokens of a shortest text, kNever where there is none.
  Machine(Rules::State&, const RuleCosts& costs, const TokenTrie&, Lexemes&);

  StateId start(RuleId, Budget&);
  StateId next(StateId state, uint8_t byte, Budget& budget) {
    const StateData& data = states_[state];
    if (data.row) {
      const StateId to = (*data.row)[byte];
      return to != kNotYet ? to : compute_next(state, byte, budget);
    }
    for (const auto& [known, to] : data.few) {
      if (known == byte) return to;
    }
    return compute_next(state, byte, budget);
  }
  StateId next_control(StateId, TokenId, Budget&);
  /// The byte that must come next, if only one may and the answer may not end here.
  std::optional<uint8_t> only_byte(StateId, Budget&);
  bool accepts(StateId state) const { return states_[state].accepts; }
  std::span<const Position> positions(StateId state) const { return states_[state].positions; }
  /// An upper bound on the tokens of a shortest completion; kNever for the dead state.
  int64_t cost(StateId, Budget&);
  int64_t cost(const Position&, Budget&);
  /// The state that has only this position; and the one after its leaf is complete, having read an unknown text.
  StateId alone(const Position&);
  StateId after(const Position&, Budget&);
  int64_t frame_cost(FrameId frame) const { return frame_costs_[frame]; }

  Lexemes& lexemes() { return lexemes_; }
  const TokenTrie& trie() const { return trie_; }
  const Rules::State& rules() const { return rules_; }
  /// The excluded texts of a position, sorted.
  const SortedTexts& excluded(uint32_t set);
  uint32_t text_bytes(TextId text) const { return text_bytes_[text]; }
  /// Moves what a position has read, and which excluded texts begin so, by a byte.
  void follow_text(Position&, uint8_t byte);
  /// False if every text that the position could still read is excluded.
  bool alive(const Position&, Budget&);
  size_t bytes() const;

 private:
  static constexpr StateId kNotYet = UINT32_MAX;
  struct StateData {
    std::vector<Position> positions;
    bool accepts = false;
    std::vector<std::pair<uint8_t, StateId>> few;  // the first moves that were asked for; then all are in the row
    std::unique_ptr<std::array<StateId, 256>> row;
    int64_t cost = -1;
  };
  /// What remains to be done to find the leaves that come next.
  struct Work {
    enum class Kind : uint32_t { enter, resume };
    Kind kind;
    uint32_t id;     // enter: rule; resume: frame
    FrameId frame;   // enter: where to return
    TextId text;     // resume: what the completed leaf read
    uint32_t moved;  // resume: 1 if bytes were read since the frame was made
    bool operator==(const Work&) const = default;
    uint64_t hash() const {
      return hash_combine(hash_combine(uint64_t{id} << 32 | frame, text), uint64_t(kind) << 1 | moved);
    }
  };
  struct Closure {
    Budget& budget;
    std::vector<Position> positions;
    bool accepts = false;
    Interner<Work> work;                         // also what was done already
    std::unordered_map<FrameId, uint32_t> made;  // frames made here -> `moved` of who made them
    void add(Work::Kind kind, uint32_t id, FrameId frame, TextId text, uint32_t moved) {
      work.id({kind, id, frame, text, moved});
    }
  };
  struct Text {
    TextId parent;
    uint32_t byte;
    bool operator==(const Text&) const = default;
    uint64_t hash() const { return hash_combine(parent, byte); }
  };
  struct TextSet {  // a set grown by one text
    uint32_t parent;
    TextId text;
    bool operator==(const TextSet&) const = default;
    uint64_t hash() const { return hash_combine(parent, text); }
  };

  // machine.cpp
  StateId compute_next(StateId, uint8_t, Budget&);
  void advance(const Position&, uint8_t, Closure&);
  void advance_text(const Position&, uint8_t, Closure&);
  StateId finish(Closure&);
  void run(Closure&);
  void enter(const Work&, Closure&);
  void resume(const Work&, Closure&);
  void enter_leaf(const Work&, const Rule&, Closure&);
  void complete(const Position&, Closure&);
  FrameId frame(RuleId, FrameId parent, uint32_t at, Closure*, uint32_t moved, Budget&);
  int64_t cost_after(const Frame&, Budget&);
  // machine_text.cpp: leaves whose text matters
  TextId extended(TextId, uint8_t);
  std::string text(TextId) const;
  uint32_t with(uint32_t set, TextId);
  void keep_text(Position&, uint32_t set);
  bool is_excluded(const Position&);
  int64_t text_cost(const Position&, int64_t best, Budget&);
  int64_t texts_cost(const Position&);
  // machine_object.cpp
  void resume_object(const Frame&, TextId, uint32_t moved, Closure&);
  void offer_keys(const Frame&, ObjectProgress, Closure&);
  Position family_key(RuleId object, const ObjectBody&, uint32_t family, const ObjectProgress&);
  bool family_has_key(const ObjectBody&, uint32_t family, const ObjectProgress&, Budget&);
  bool key_may_come(const Position&);
  void complete_key(const Position&, Closure&);
  int64_t object_cost(const ObjectBody&, const ObjectProgress&);
  int64_t key_cost(const Position&);
  // machine_array.cpp
  void resume_array(const Frame&, TextId, uint32_t moved, Closure&);
  void offer_items(const Frame&, const ArrayProgress&, uint32_t moved, Closure&);
  bool has_other(RuleId item, uint32_t set, Budget&);
  int64_t array_cost(const ArrayBody&, const ArrayProgress&);

  Rules::State& rules_;
  const RuleCosts& costs_;
  const TokenTrie& trie_;
  Lexemes& lexemes_;
  Interner<Frame> frames_;
  std::vector<int64_t> frame_costs_;
  Interner<Words> progress_;
  std::unordered_map<uint64_t, int64_t> plain_sums_;  // by rule and progress: members_to_come() of plain objects
  std::vector<StateData> states_;
  std::unordered_map<uint64_t, std::vector<StateId>> state_ids_;  // by hash of positions
  Interner<Text> texts_;
  std::vector<uint32_t> text_bytes_;
  Interner<TextSet> sets_;
  std::map<uint32_t, SortedTexts> sorted_sets_;  // made when first asked for
};

}  // namespace lancet
