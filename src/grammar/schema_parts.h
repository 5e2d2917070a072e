// A schema taken apart by the type of value that each keyword speaks about. Read once a schema, when something needs
// it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/json/value.hpp>

#include "base/budget.h"
#include "grammar/numbers.h"
#include "grammar/schema_document.h"
#include "grammar/schema_shapes.h"
#include "grammar/term.h"

namespace lancet {

enum TypeBit : uint8_t {
  null_bit = 1,
  boolean_bit = 2,
  number_bit = 4,
  string_bit = 8,
  array_bit = 16,
  object_bit = 32
};
constexpr uint8_t kAllTypes = 63;

struct SchemaParts {
  SchemaId schema = 0;
  uint8_t types = kAllTypes;
  std::vector<NumberSet> numbers;  // all of them
  bool no_fraction = false;        // draft 4: an integer is written without fraction or exponent
  std::vector<Term> texts;         // all of them
  ObjectShape object;
  ArrayShape array;
  struct Values {
    std::vector<const boost::json::value*> scalars;
    std::vector<Literal> structures;  // arrays and objects
  };
  std::optional<Values> values, constant;      // enum, const: one of these
  std::vector<Literal> all;                    // $ref, allOf, not
  std::vector<std::vector<Literal>> any, one;  // anyOf, oneOf: of each list at least one, exactly one
  struct Conditional {
    Literal condition = kTrue, then = kTrue, otherwise = kTrue;
  };
  std::optional<Conditional> conditional;
  std::vector<Literal> name_rules;                         // propertyNames: each key, as a string, satisfies these
  std::vector<std::pair<std::string, Literal>> dependent;  // if there is such a member, all of it is so
  std::optional<Literal> other_members, other_items;       // unevaluatedProperties, unevaluatedItems
};

/// What a literal is about, its sign aside.
struct Formula {
  enum class Kind : uint8_t { truth, schema, value, any } kind = Kind::truth;
  SchemaId schema = 0;
  ScopeId scope = 0;
  const boost::json::value* value = nullptr;
  std::vector<Literal> any;  // at least one
};

/// The formulas of one document and their parts.
class SchemaLogic {
 public:
  SchemaLogic(SchemaDocument&, TermPool&, Budget&);

  SchemaDocument& document() { return document_; }
  TermPool& terms() { return terms_; }
  Budget& budget() { return budget_; }
  const Formula& formula(Literal l) const { return formulas_[l / 2]; }
  const SchemaParts& parts(const Formula&);
  /// Where complaints about a literal point.
  std::string pointer(Literal) const;

  /// A schema that is met in a scope. kTrue or kFalse where that is plain.
  Literal schema(SchemaId, ScopeId);
  Literal value(const boost::json::value&);
  Literal any(std::vector<Literal>);
  bool matches(Term, const std::string& name);
  bool covers(const Keys&, const std::string& name);

 private:
  friend class PartsReader;
  Literal add(Formula);
  SchemaDocument& document_;
  TermPool& terms_;
  Budget& budget_;
  std::deque<Formula> formulas_;
  std::map<std::pair<SchemaId, ScopeId>, Literal> schemas_;
  std::unordered_map<const boost::json::value*, Literal> values_;
  std::map<std::vector<Literal>, Literal> anys_;
  std::map<std::pair<SchemaId, ScopeId>, std::unique_ptr<SchemaParts>> parts_;
  std::map<std::pair<Term, std::string>, bool> matches_;
};

/// A JSON number's value as a numeral.
std::string numeral(const boost::json::value&);

}  // namespace lancet
