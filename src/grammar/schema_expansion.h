// The objects and the arrays that a conjunction of literals accepts, as unions of shapes. A branch that nothing can
// satisfy is dropped; where two branches of oneOf exclude each other (by a constant, say), no negation is spelled out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "grammar/schema_parts.h"
#include "grammar/schema_scalars.h"

namespace lancet {

/// A conjunction of literals: sorted, without repetition. Empty: anything. {kFalse}: nothing.
using Goal = std::vector<Literal>;
Goal make_goal(std::vector<Literal>);

/// Whether it is recorded what was looked at (unevaluated...). `least`: a shape may say less than was seen, as more
/// would only allow more. `exact`: branches exclude each other, so that each says just what was seen.
enum class Seen : uint8_t { no, least, exact };

class SchemaExpansion {
 public:
  SchemaExpansion(SchemaLogic& logic, SchemaScalars& scalars) : logic_(logic), scalars_(scalars) {}

  std::vector<ObjectShape> objects(const Goal&);
  std::vector<ArrayShape> arrays(const Goal&);
  /// True only if it is certain that no value satisfies the goal.
  bool is_empty(const Goal&);
  /// The values of those rules that speak of a name; `index` is theirs.
  std::vector<Literal> about(const std::vector<KeyRule>&, const KeyIndex& index, const std::string& name);
  Goal item(const ArrayShape&, uint64_t position);

 private:
  template <class Shape>
  using Shapes = std::vector<Shape>;
  template <class Shape>
  struct Memo {
    std::map<std::pair<Literal, Seen>, Shapes<Shape>> done;
    std::map<std::pair<Literal, Seen>, int> open;  // and at which depth_ of is_empty()
  };
  template <class Shape>
  Memo<Shape>& memo();

  template <class Shape>
  const Shapes<Shape>& expand(Literal, Seen);
  template <class Shape>
  Shapes<Shape> expand_formula(Literal, Seen);
  template <class Shape>
  Shapes<Shape> all_of(const std::vector<Literal>&, Seen);
  template <class Shape>
  Shapes<Shape> any_of(const std::vector<Literal>&, Seen);
  template <class Shape>
  Shapes<Shape> one_of(const Shapes<Shape>& context, const std::vector<Literal>&, Seen);
  template <class Shape>
  Shapes<Shape> satisfied(const SchemaParts&, Seen);
  template <class Shape>
  Shapes<Shape> satisfied_but_others(const SchemaParts&, Seen);
  template <class Shape>
  Shapes<Shape> violated(const SchemaParts&);
  template <class Shape>
  Shapes<Shape> violated_one(const std::vector<Literal>&);
  template <class Shape>
  Shapes<Shape> product(const Shapes<Shape>&, const Shapes<Shape>&);
  template <class Shape>
  void add(Shapes<Shape>&, Shapes<Shape>);

  /// Thrown inside is_empty() where the answer would need itself.
  struct Undecided {};

  ObjectShape base(const SchemaParts&, const ObjectShape*);
  ArrayShape base(const SchemaParts&, const ArrayShape*);
  Shapes<ObjectShape> of_value(const boost::json::value&, const ObjectShape*);
  Shapes<ArrayShape> of_value(const boost::json::value&, const ArrayShape*);
  bool possible(ObjectShape&);
  bool possible(ArrayShape&);
  bool possible_option(const ObjectShape&, const KeyIndex&, const KeyRule&);
  bool settle_options(ObjectShape&, KeyIndex&);
  void restrict_others(ObjectShape&, Literal);
  void restrict_others(ArrayShape&, Literal);  // all that was not seen is so
  void demand_other(ObjectShape&, Literal);
  void demand_other(ArrayShape&, Literal);  // something that was not seen is so
  [[noreturn]] void too_many() const;

  SchemaLogic& logic_;
  SchemaScalars& scalars_;
  Memo<ObjectShape> objects_;
  Memo<ArrayShape> arrays_;
  std::map<Goal, bool> empty_;
  int depth_ = 0;
  Literal at_ = kTrue;  // for complaints
};

}  // namespace lancet
