// The byte automaton over terms: one state is a term, how its texts are written, and how far the next character has
// come. States come into being when they are reached.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/budget.h"
#include "grammar/rules.h"
#include "grammar/term.h"

namespace lancet {

inline constexpr int64_t kNever = int64_t{1} << 50;  // the cost of what cannot end

class Lexemes {
 public:
  using State = uint32_t;  // 0: no text of the language begins so
  using Row = std::array<State, 256>;

  explicit Lexemes(TermPool& terms);

  State start(Term, Encoding);
  const Row& row(State, Budget&);  // by the next byte; valid as long as the Lexemes
  State next(State state, uint8_t byte, Budget& budget) { return row(state, budget)[byte]; }
  bool accepts(State) const;  // a whole text has been read
  bool is_done(State) const;  // and nothing can follow
  /// Bytes of a short text that completes the state's: with the right next byte it falls by one.
  int64_t cost(State, Budget&);
  /// Bytes of the `count` shortest texts, in order; fewer where there are fewer, or where they get longer than 64
  /// bytes.
  std::vector<int64_t> shortest(State, size_t count, Budget&);
  /// Between two characters (or before the first): the texts that may follow.
  bool at_character(State) const;
  bool is_inside(State state) const {  // of a JSON string or text, not before its opening quote nor behind its end
    return state != 0 && keys_[state].phase != Phase::open && keys_[state].phase != Phase::done;
  }
  bool in_json_string(State state) const { return keys_[state].json; }
  Term term(State state) const { return keys_[state].term; }
  /// The inside of a JSON string without any condition.
  State free_string() { return inside(terms_.anything(), true); }
  /// A state that behaves the same for the next `bytes` bytes.
  State clipped(State, uint32_t bytes);
  size_t bytes() const;

 private:
  enum class Phase : uint8_t { open, inside, escape, hex, tail, done };
  struct Key {
    Term term;
    Phase phase = Phase::inside;
    bool json = false;
    uint8_t left = 0;            // tail: bytes to come; hex: digits read
    uint32_t low = 0, high = 0;  // tail: code points, or of a uniform one its bytes; hex: the value so far
    bool uniform = false;        // tail: all of them lead to `term`
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key&) const;
  };

  State intern(const Key&);
  State inside(Term, bool json);
  State tail(Term, bool json, char32_t low, char32_t high, uint8_t left, Budget&);
  Term follow(Term, char32_t, Budget&);  // nothing() where no text follows
  void fill_inside(const Key&, Row&, Budget&);
  void fill_escape(const Key&, Row&, Budget&);
  void fill_hex(const Key&, Row&, Budget&);
  void fill_tail(const Key&, Row&, Budget&);
  int64_t text_cost(Term, bool json, Budget&);

  TermPool& terms_;
  std::vector<Key> keys_;
  std::vector<std::unique_ptr<Row>> rows_;
  std::vector<int64_t> costs_;  // -1: not known
  std::unordered_map<Key, State, KeyHash> ids_;
  std::array<std::unordered_map<uint32_t, int64_t>, 2> text_costs_;  // by term; utf8, json_string
};

}  // namespace lancet
