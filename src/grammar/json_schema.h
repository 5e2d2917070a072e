// JSON Schema (drafts 4 to 2020-12) -> rules. Every keyword is enforced or refused; annotations are named in the docs.
#pragma once

#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "base/budget.h"
#include "grammar/rules.h"

namespace lancet {

struct SchemaOptions {
  Spacing spacing = Spacing::flexible;
  bool any_order = false;    // members of objects in any order; else as the schema gives them
  bool whole_plain = false;  // whole numbers without a fraction: many programs do not take 5.0 for an integer
};

struct SchemaNote {
  std::string pointer;  // JSON pointer of the keyword
  std::string text;     // "format \"color\" is an annotation"
};

/// A rule for the JSON texts that the schema accepts. Throws Error{bad_request} (ill-formed, contradictory) or
/// Error{unsupported} (cannot be enforced), both with the JSON pointer of the keyword as param and a reason as message.
/// The schema may have a depth of at most 32 as parsed by base/json, references in themselves included.
RuleId add_json_schema(Rules&, const boost::json::value& schema, const SchemaOptions&, Budget&,
                       std::vector<SchemaNote>* notes = nullptr);
/// Any JSON object (response_format json_object), or any JSON value.
RuleId add_json_object(Rules&, const SchemaOptions&);
RuleId add_json_value(Rules&, const SchemaOptions&);

}  // namespace lancet
