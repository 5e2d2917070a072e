// The vocabulary of JSON Schema: which keyword exists in which draft and what its value must look like. Ill-formed
// values are errors of the request, named by their JSON pointer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

namespace lancet {

enum class Draft : uint8_t { draft4, draft6, draft7, draft2019, draft2020 };

std::string_view draft_name(Draft);  // "draft 7", "2020-12"

/// What a keyword's value must be.
enum class KeywordForm : uint8_t {
  schema,
  schemas,            // a list of at least one schema
  schema_or_schemas,  // `items` before 2020-12
  schemas_by_name,
  schemas_or_names_by_name,  // `dependencies`
  names_by_name,             // `dependentRequired`
  names,                     // a list of strings
  type_names,                // `type`
  values,                    // `enum`
  value,                     // `const`
  count,
  number,
  positive_number,
  number_or_flag,  // `exclusiveMinimum`: a flag in draft 4
  text,
  flag,
  annotation,  // anything
};

struct Keyword {
  std::string_view name;
  KeywordForm form = KeywordForm::annotation;
  Draft first = Draft::draft4, last = Draft::draft2020;
  bool in(Draft draft) const { return first <= draft && draft <= last; }
};

/// Null for what no draft knows.
const Keyword* find_keyword(std::string_view name);
/// Throws Error{bad_request} with `pointer` as param if the value is none of the keyword's form.
void check_keyword(const Keyword&, const boost::json::value&, const std::string& pointer);

}  // namespace lancet
