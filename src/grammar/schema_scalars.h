// The nulls, booleans, numbers and strings that a formula accepts. These are closed under all that schemas can say, so
// negation, oneOf and if/then/else are exact here at no cost.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "grammar/schema_parts.h"

namespace lancet {

/// A set of strings: a list where it is one (large enums), else a language.
struct TextSet {
  bool listed = true;
  std::vector<std::string> list;  // sorted, if listed
  Term term;                      // else
};

struct NumberValues {
  bool all = false;  // every number, in every spelling
  Term term;         // else these numerals, without exponent
};

struct Scalars {
  bool null = false, no = false, yes = false;
  NumberValues numbers;
  TextSet texts;
};

class SchemaScalars {
 public:
  explicit SchemaScalars(SchemaLogic& logic) : logic_(logic), terms_(logic.terms()) {}

  Scalars of(Literal);
  Scalars of(const std::vector<Literal>& all);
  /// The texts as a term.
  Term term(const TextSet&);
  /// True only if it is certain; gives up early.
  bool is_empty(Term);
  bool is_empty(const Scalars&);

 private:
  Scalars everything();
  Scalars of_formula(const Formula&, Literal);
  Scalars of_values(std::span<const boost::json::value* const>);
  Scalars of_parts(const SchemaParts&);
  Scalars exactly_one(const std::vector<Literal>&);
  Scalars at_least_one(const std::vector<Literal>&);
  Scalars both(const Scalars&, const Scalars&);
  Scalars either(const Scalars&, const Scalars&);
  Scalars complement(const Scalars&);
  TextSet both(const TextSet&, const TextSet&);
  TextSet either(const TextSet&, const TextSet&);
  NumberValues both(const NumberValues&, const NumberValues&);
  NumberValues either(const NumberValues&, const NumberValues&);
  Term whole_numerals();
  Term number(const NumberSet&, const std::string& pointer);

  SchemaLogic& logic_;
  TermPool& terms_;
  std::map<Literal, Scalars> done_;  // of positive literals
  std::set<Literal> open_;           // those being worked out: a cycle if met again
  std::map<Term, bool> empty_;
};

}  // namespace lancet
