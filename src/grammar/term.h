// Regular languages over code points: terms with union, intersection, complement and counted repetition, matched by
// derivatives (Brzozowski 1964). Equal terms have equal ids, so a term is its own automaton state, and a state comes
// into being only when some text reaches it: `.{1,100000}` costs nothing until it is walked.
//
// A pool belongs to one grammar and to one thread at a time. Handles stay valid as long as their pool.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "grammar/char_set.h"

namespace lancet {

/// A regular language; a handle into its TermPool. Equal handles are equal languages; unequal ones may be equal too.
struct Term {
  uint32_t id = 0;  // 0: nothing()
  auto operator<=>(const Term&) const = default;
};

class TermPool {
 public:
  TermPool();
  ~TermPool();
  TermPool(TermPool&&) noexcept;
  TermPool& operator=(TermPool&&) noexcept;

  // Building. Simplifies by the laws of these operators, never changes the language. Flat: no call recurses deeper than
  // its arguments' own nesting, which the parsers bound.
  Term nothing() const;  // no text at all
  Term empty() const;    // the empty text
  Term any_char();       // one code point
  Term anything();       // every text
  Term chars(const CharSet&);
  Term literal(std::string_view utf8);  // well-formed UTF-8
  Term concat(std::span<const Term>);
  Term either(std::span<const Term>);
  Term both(std::span<const Term>);
  Term complement(Term);                                         // within anything()
  Term repeat(Term, uint64_t min, std::optional<uint64_t> max);  // nothing: no bound
  /// A language given as a deterministic automaton that starts in state 0. States from which nothing is accepted and
  /// edges to them may be there. The edges of a state are disjoint.
  struct Edge {
    char32_t first = 0, last = 0;  // no surrogates within
    uint32_t to = 0;
  };
  struct AutomatonState {
    std::vector<Edge> edges;
    bool accepts = false;
  };
  Term automaton(std::vector<AutomatonState>);
  Term concat(std::initializer_list<Term> t) { return concat(std::span(t.begin(), t.size())); }
  Term either(std::initializer_list<Term> t) { return either(std::span(t.begin(), t.size())); }
  Term both(std::initializer_list<Term> t) { return both(std::span(t.begin(), t.size())); }

  // As an automaton. Results are kept; what has to explore spends the budget.
  bool nullable(Term) const;           // contains the empty text
  Term next(Term, char32_t, Budget&);  // the texts that may follow this character
  /// The code points in order, cut where next() changes: next(t, c) is the same for all c of one range. Adjacent ranges
  /// may lead to the same term. Surrogates are left out.
  struct Step {
    char32_t first = 0, last = 0;
    Term to;
  };
  std::span<const Step> steps(Term, Budget&);  // only those that do not lead to an empty language; valid until the
                                               // next call that is not const
  bool is_empty(Term, Budget&);                // no text; decided, not guessed
  /// Length in code points of the shortest text; nothing: is_empty. The text itself: shortest().
  std::optional<uint64_t> distance(Term, Budget&);
  std::optional<std::string> shortest(Term, Budget&);
  /// How many texts, at most `limit`: counting stops there.
  uint64_t count(Term, uint64_t limit, Budget&);
  bool matches(Term, std::string_view utf8, Budget&);  // false for ill-formed UTF-8
  /// If the term is every text of [shortest, longest] characters and no other: these lengths.
  struct Lengths {
    uint64_t shortest = 0, longest = 0;  // UINT64_MAX: no bound
  };
  std::optional<Lengths> any_of_length(Term) const;
  /// A term that behaves the same for the next `chars` characters (and in nullability on the way): counters beyond are
  /// clipped, so that states which differ only far away become one.
  Term clip(Term, uint32_t chars);

  size_t bytes() const;  // memory held

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lancet
