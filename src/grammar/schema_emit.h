// Goals -> rules. A goal becomes one rule, however often it is met, so recursion in the schema is recursion in the
// rules. Goals wait in a queue: nothing here recurses with the schema's depth.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "grammar/schema_expansion.h"

namespace lancet {

class SchemaEmitter {
 public:
  SchemaEmitter(SchemaLogic& logic, Rules& rules, const SchemaOptions& options)
      : logic_(logic), scalars_(logic), expansion_(logic, scalars_), rules_(rules), options_(options) {}

  /// The rule of a literal's values, all that it needs defined. Throws if nothing satisfies it.
  RuleId emit(Literal);

 private:
  /// `once`: equal values have equal bytes, for uniqueItems.
  struct Wanted {
    Goal goal;
    bool once = false;
    auto operator<=>(const Wanted&) const = default;
  };
  /// Keys beyond the named ones that the patterns of a shape do not tell apart.
  struct Region {
    Term keys;
    uint64_t patterns = 0;  // those that match, a bit each
  };
  struct ObjectPlan {
    const ObjectShape& shape;
    KeyIndex every;
    std::vector<KeyIndex> some;      // of shape.some, each
    std::vector<std::string> names;  // in the order of the schema
    std::vector<Term> patterns;
    uint64_t needs = 0;  // those that something can satisfy
  };

  RuleId rule(const Goal&, bool once);
  std::optional<RuleId> define(const Wanted&);  // nothing: no value satisfies it
  void add_scalars(const Wanted&, std::vector<RuleId>& ways);
  RuleId any_value();
  Term plain_numerals();
  Term without_zero_fraction();

  std::optional<RuleId> object(ObjectShape&);
  ObjectPlan plan(const ObjectShape&);
  std::vector<Region> regions(const ObjectPlan&);
  bool covers(const ObjectPlan&, const Keys&, uint64_t patterns) const;
  template <class About>
  std::vector<ObjectRule::Value> values(ObjectPlan&, About about);
  bool add_members(ObjectPlan&, ObjectRule&);
  void add_families(ObjectPlan&, ObjectRule&);

  std::optional<RuleId> array(ArrayShape&);
  std::vector<ArrayRule::Item> items(const ArrayShape&, uint64_t position, uint64_t& provided);
  bool structured(const Goal&);
  bool must_be_unique(const ArrayShape&, uint64_t end);

  SchemaLogic& logic_;
  SchemaScalars scalars_;
  SchemaExpansion expansion_;
  Rules& rules_;
  SchemaOptions options_;
  std::map<Wanted, RuleId> emitted_;
  std::vector<Wanted> waiting_;
  std::map<Goal, bool> structured_;
  std::optional<RuleId> any_value_;
  std::optional<Term> plain_numerals_, without_zero_fraction_;
};

}  // namespace lancet
