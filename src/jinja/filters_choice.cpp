// Filters that apply other filters and tests: map, select and their relatives; default and attr.
#include <fmt/format.h>

#include "base/error.h"
#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

using Elements = std::vector<JinjaValue>;

/// The positional arguments from `begin` on, and all named ones.
JinjaArguments rest_of(const JinjaArguments& given, size_t begin) {
  JinjaArguments rest;
  for (size_t i = begin; i < given.positional.size(); i++) rest.positional.push_back(given.positional[i]);
  rest.named = given.named;
  return rest;
}

JinjaValue mapped_attribute(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "map", given, {"attribute", "default"}, 1);
  Elements result;
  for (const JinjaValue& item : jinja_elements(run, input)) {
    JinjaValue value =
        bound[0]->is_string() ? jinja_path(run, item, bound[0]->str()) : jinja_index(run, item, *bound[0]);
    if (value.is_undefined() && bound[1]) value = *bound[1];
    result.push_back(std::move(value));
  }
  return JinjaValue::list(std::move(result));
}

JinjaValue filter_map(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  if (given.positional.empty()) return mapped_attribute(run, input, given);
  const JinjaFilter filter = given.positional[0].is_string() ? find_jinja_filter(given.positional[0].str()) : nullptr;
  if (!filter) run.fail("map: unknown filter " + quoted(jinja_text(run, given.positional[0]).str(), 40));
  const JinjaArguments rest = rest_of(given, 1);
  Elements result;
  for (const JinjaValue& item : jinja_elements(run, input)) {
    run.step();
    result.push_back(filter(run, item, rest));
  }
  return JinjaValue::list(std::move(result));
}

/// select, reject (attribute false) and selectattr, rejectattr: what passes the test, or is true without one.
JinjaValue chosen(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given, bool attribute, bool wanted) {
  const size_t at = attribute ? 1 : 0;
  if (given.positional.size() < at) run.fail("selectattr and rejectattr need an attribute");
  JinjaTest test = nullptr;
  if (given.positional.size() > at) {
    const JinjaValue& name = given.positional[at];
    test = name.is_string() ? find_jinja_test(name.str()) : nullptr;
    if (!test) run.fail("unknown test " + quoted(jinja_text(run, name).str(), 40));
  }
  const JinjaArguments rest = rest_of(given, at + 1);
  Elements result;
  for (JinjaValue& item : jinja_elements(run, input)) {
    run.step();
    JinjaValue subject = item;
    if (attribute) subject = jinja_path(run, item, jinja_text(run, given.positional[0]).str());
    if ((test ? test(run, subject, rest) : subject.truth()) == wanted) result.push_back(std::move(item));
  }
  return JinjaValue::list(std::move(result));
}

JinjaValue filter_select(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  return chosen(run, input, given, false, true);
}

JinjaValue filter_reject(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  return chosen(run, input, given, false, false);
}

JinjaValue filter_selectattr(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  return chosen(run, input, given, true, true);
}

JinjaValue filter_rejectattr(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  return chosen(run, input, given, true, false);
}

JinjaValue filter_default(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "default", given, {"default_value", "boolean"});
  const bool absent = input.is_undefined() || (argument_truth(bound[1], false) && !input.truth());
  if (!absent) return input;
  return bound[0] ? *bound[0] : JinjaValue::string("", true);
}

JinjaValue filter_attr(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "attr", given, {"name"}, 1);
  if (input.is(JinjaValue::Kind::dict)) {  // attributes only: never the members of a dict
    const auto method = jinja_method(input, jinja_text(run, *bound[0]).str());
    return method ? *method : JinjaValue::undefined("this dict has no such attribute");
  }
  return jinja_attribute(run, input, jinja_text(run, *bound[0]).str());
}

constexpr JinjaFilterRow kFilters[] = {
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
    {"default", filter_default},
    {"d", filter_default},
    {"attr", filter_attr},
};

}  // namespace

JinjaFilter find_choice_filter(std::string_view name) {
  for (const JinjaFilterRow& row : kFilters)
    if (row.name == name) return row.function;
  return nullptr;
}

}  // namespace lancet
