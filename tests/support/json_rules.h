// Small rules that several tests build their grammars from.
#pragma once

#include "grammar/rules.h"

namespace lancet {

inline RuleId any_string(Rules& rules) { return rules.text(rules.terms().anything(), Encoding::json_string); }

/// Any JSON value of objects, arrays, strings, these numbers and words.
inline RuleId any_value(Rules& rules, Spacing spacing, RuleId number) {
  const RuleId value = rules.declare();
  ObjectRule object;
  object.families.push_back({rules.terms().anything(), {{value, 0}}});
  ArrayRule array;
  array.rest = {{value, 0}};
  rules.define(value, rules.either({rules.object(object, spacing), rules.array(array, spacing), any_string(rules),
                                    number, rules.texts({"true", "false", "null"})}));
  return value;
}

}  // namespace lancet
