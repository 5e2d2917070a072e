#include "grammar/schema_keywords.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <boost/json.hpp>

#include "base/error.h"

namespace lancet {
namespace {

namespace json = boost::json;
using enum KeywordForm;
using enum Draft;

constexpr Keyword kKeywords[] = {
    {"$anchor", text, draft2019},
    {"$comment", annotation},
    {"$defs", schemas_by_name, draft2019},
    {"$dynamicAnchor", text, draft2020},
    {"$dynamicRef", text, draft2020},
    {"$id", text, draft6},
    {"$recursiveAnchor", flag, draft2019, draft2019},
    {"$recursiveRef", text, draft2019, draft2019},
    {"$ref", text},
    {"$schema", text},
    {"$vocabulary", annotation, draft2019},
    {"additionalItems", schema, draft4, draft2019},
    {"additionalProperties", schema},
    {"allOf", schemas},
    {"anyOf", schemas},
    {"const", value, draft6},
    {"contains", schema, draft6},
    {"contentEncoding", annotation, draft7},
    {"contentMediaType", annotation, draft7},
    {"contentSchema", annotation, draft2019},
    {"default", annotation},
    {"definitions", schemas_by_name},
    {"dependencies", schemas_or_names_by_name},
    {"dependentRequired", names_by_name, draft2019},
    {"dependentSchemas", schemas_by_name, draft2019},
    {"deprecated", annotation, draft2019},
    {"description", annotation},
    {"else", schema, draft7},
    {"enum", values},
    {"examples", annotation, draft6},
    {"exclusiveMaximum", number_or_flag},
    {"exclusiveMinimum", number_or_flag},
    {"format", text},
    {"id", text, draft4, draft4},
    {"if", schema, draft7},
    {"items", schema_or_schemas},
    {"maxContains", count, draft2019},
    {"maxItems", count},
    {"maxLength", count},
    {"maxProperties", count},
    {"maximum", number},
    {"minContains", count, draft2019},
    {"minItems", count},
    {"minLength", count},
    {"minProperties", count},
    {"minimum", number},
    {"multipleOf", positive_number},
    {"not", schema},
    {"oneOf", schemas},
    {"pattern", text},
    {"patternProperties", schemas_by_name},
    {"prefixItems", schemas, draft2020},
    {"properties", schemas_by_name},
    {"propertyNames", schema, draft6},
    {"readOnly", annotation, draft7},
    {"required", names},
    {"then", schema, draft7},
    {"title", annotation},
    {"type", type_names},
    {"unevaluatedItems", schema, draft2019},
    {"unevaluatedProperties", schema, draft2019},
    {"uniqueItems", flag},
    {"writeOnly", annotation, draft7},
};

bool is_schema(const json::value& v) { return v.is_object() || v.is_bool(); }
bool are_names(const json::value& v) {
  return v.is_array() && std::ranges::all_of(v.get_array(), [](const json::value& x) { return x.is_string(); });
}
bool are_schemas(const json::value& v) {
  return v.is_array() && !v.get_array().empty() && std::ranges::all_of(v.get_array(), is_schema);
}
template <class Predicate>
bool is_map_of(const json::value& v, Predicate predicate) {
  return v.is_object() && std::ranges::all_of(v.get_object(), [&](const auto& kv) { return predicate(kv.value()); });
}

bool is_type_name(const json::value& v) {
  constexpr std::array kNames{"null", "boolean", "integer", "number", "string", "array", "object"};
  return v.is_string() && std::ranges::find(kNames, std::string_view(v.get_string())) != kNames.end();
}
bool are_type_names(const json::value& v) {
  return is_type_name(v) ||
         (v.is_array() && !v.get_array().empty() && std::ranges::all_of(v.get_array(), is_type_name));
}

bool is_count(const json::value& v) {
  if (v.is_int64()) return v.get_int64() >= 0;
  return v.is_uint64() || (v.is_double() && v.get_double() >= 0 && std::floor(v.get_double()) == v.get_double());
}

bool is_positive(const json::value& v) {
  if (v.is_int64()) return v.get_int64() > 0;
  return v.is_uint64() || (v.is_double() && v.get_double() > 0);
}

/// Empty if the value has the form, else what was wanted.
std::string_view wanted(KeywordForm form, const json::value& v) {
  const auto names_or_schema = [](const json::value& x) { return is_schema(x) || are_names(x); };
  const auto unless = [](bool good, std::string_view what) { return good ? std::string_view() : what; };
  switch (form) {
    case schema: return unless(is_schema(v), "a schema (an object, true or false)");
    case schemas: return unless(are_schemas(v), "a list of one schema or more");
    case schema_or_schemas:
      return unless(is_schema(v) || (v.is_array() && std::ranges::all_of(v.get_array(), is_schema)),
                    "a schema or a list of schemas");
    case schemas_by_name: return unless(is_map_of(v, is_schema), "an object of schemas");
    case schemas_or_names_by_name:
      return unless(is_map_of(v, names_or_schema), "an object of schemas or lists of names");
    case names_by_name: return unless(is_map_of(v, are_names), "an object of lists of names");
    case names: return unless(are_names(v), "a list of names");
    case type_names:
      return unless(are_type_names(v), "null, boolean, integer, number, string, array, object or a list of these");
    case values: return unless(v.is_array() && !v.get_array().empty(), "a list of one value or more");
    case count: return unless(is_count(v), "an integer of at least 0");
    case number: return unless(v.is_number(), "a number");
    case positive_number: return unless(is_positive(v), "a number above 0");
    case number_or_flag: return unless(v.is_number() || v.is_bool(), "a number");
    case text: return unless(v.is_string(), "a string");
    case flag: return unless(v.is_bool(), "true or false");
    case value:
    case annotation: return {};
  }
  return {};
}

}  // namespace

std::string_view draft_name(Draft draft) {
  constexpr std::array<std::string_view, 5> kNames{"draft 4", "draft 6", "draft 7", "2019-09", "2020-12"};
  return kNames[static_cast<size_t>(draft)];
}

const Keyword* find_keyword(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kKeywords, name, {}, &Keyword::name);
  return found != std::end(kKeywords) && found->name == name ? found : nullptr;
}

void check_keyword(const Keyword& keyword, const json::value& v, const std::string& pointer) {
  const std::string_view want = wanted(keyword.form, v);
  if (want.empty()) return;
  throw Error{Fault::bad_request,
              "schema keyword " + std::string(keyword.name) + " wants " + std::string(want) + ", found " +
                  quoted(json::serialize(v)),
              pointer};
}

}  // namespace lancet
