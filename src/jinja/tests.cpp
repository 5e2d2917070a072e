// Jinja's tests: the words after "is". The table is at the end.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

using Kind = JinjaValue::Kind;

const JinjaValue& other(JinjaRun& run, const JinjaArguments& given) {
  return *bind_arguments(run, "the test", given, {"other"}, 1)[0];
}

template <Kind kind>
bool is_kind(JinjaRun&, const JinjaValue& value, const JinjaArguments&) {
  return value.is(kind);
}

bool is_defined(JinjaRun&, const JinjaValue& value, const JinjaArguments&) { return !value.is_undefined(); }
bool is_true(JinjaRun&, const JinjaValue& value, const JinjaArguments&) {
  return value.is(Kind::boolean) && value.as_bool();
}
bool is_false(JinjaRun&, const JinjaValue& value, const JinjaArguments&) {
  return value.is(Kind::boolean) && !value.as_bool();
}
bool is_number(JinjaRun&, const JinjaValue& value, const JinjaArguments&) { return value.is_number(); }

/// What Python can iterate; undefined counts, as in Jinja.
bool is_iterable(JinjaRun&, const JinjaValue& value, const JinjaArguments&) {
  return value.is(Kind::list) || value.is(Kind::dict) || value.is_string() || value.is_undefined();
}

bool is_callable(JinjaRun&, const JinjaValue& value, const JinjaArguments&) {
  return value.is(Kind::object) && value.object_pointer()->callable();
}

int64_t whole(JinjaRun& run, const JinjaValue& value) {
  if (value.is_undefined()) run.fail(value.hint());
  if (!value.is_integral()) run.fail(fmt::format("an integer is required, not {}", value.type_name()));
  return value.as_integer();
}

bool is_even(JinjaRun& run, const JinjaValue& value, const JinjaArguments&) { return whole(run, value) % 2 == 0; }
bool is_odd(JinjaRun& run, const JinjaValue& value, const JinjaArguments&) { return whole(run, value) % 2 != 0; }

bool is_divisible(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  const int64_t divisor = whole(run, other(run, given));
  if (divisor == 0) run.fail("division by zero");
  return divisor == -1 || whole(run, value) % divisor == 0;
}

bool is_equal(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  return jinja_equal(run, value, other(run, given));
}
bool is_not_equal(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  return !is_equal(run, value, given);
}
bool is_less(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  return jinja_compare(run, value, other(run, given)) < 0;
}
bool is_less_equal(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  return jinja_compare(run, value, other(run, given)) <= 0;
}
bool is_greater(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  return jinja_compare(run, value, other(run, given)) > 0;
}
bool is_greater_equal(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  return jinja_compare(run, value, other(run, given)) >= 0;
}
bool is_in(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  return jinja_contains(run, value, other(run, given));
}

/// The same object: for scalars and texts, equality of the same kind.
bool is_same(JinjaRun& run, const JinjaValue& value, const JinjaArguments& given) {
  const JinjaValue& with = other(run, given);
  if (value.kind() != with.kind()) return false;
  if (value.is(Kind::list)) return value.list_pointer() == with.list_pointer();
  if (value.is(Kind::dict)) return value.dict_pointer() == with.dict_pointer();
  return jinja_scalar_equal(value, with);
}

bool is_lower(JinjaRun& run, const JinjaValue& value, const JinjaArguments&) {
  const MarkedText text = jinja_text(run, value);
  return lower_text(text).str() == text.str() && upper_text(text).str() != text.str();
}
bool is_upper(JinjaRun& run, const JinjaValue& value, const JinjaArguments&) {
  const MarkedText text = jinja_text(run, value);
  return upper_text(text).str() == text.str() && lower_text(text).str() != text.str();
}

bool is_filter(JinjaRun&, const JinjaValue& value, const JinjaArguments&) {
  return value.is_string() && find_jinja_filter(value.str()) != nullptr;
}
bool is_test(JinjaRun&, const JinjaValue& value, const JinjaArguments&) {
  return value.is_string() && find_jinja_test(value.str()) != nullptr;
}

struct Row {
  std::string_view name;
  JinjaTest function;
};
constexpr Row kTests[] = {
    {"defined", is_defined},
    {"undefined", is_kind<Kind::undefined>},
    {"none", is_kind<Kind::none>},
    {"string", is_kind<Kind::string>},
    {"mapping", is_kind<Kind::dict>},
    {"iterable", is_iterable},
    {"sequence", is_iterable},
    {"number", is_number},
    {"integer", is_kind<Kind::integer>},
    {"float", is_kind<Kind::real>},
    {"boolean", is_kind<Kind::boolean>},
    {"true", is_true},
    {"false", is_false},
    {"callable", is_callable},
    {"even", is_even},
    {"odd", is_odd},
    {"divisibleby", is_divisible},
    {"equalto", is_equal},
    {"eq", is_equal},
    {"==", is_equal},
    {"ne", is_not_equal},
    {"!=", is_not_equal},
    {"lt", is_less},
    {"lessthan", is_less},
    {"<", is_less},
    {"le", is_less_equal},
    {"<=", is_less_equal},
    {"gt", is_greater},
    {"greaterthan", is_greater},
    {">", is_greater},
    {"ge", is_greater_equal},
    {">=", is_greater_equal},
    {"in", is_in},
    {"sameas", is_same},
    {"lower", is_lower},
    {"upper", is_upper},
    {"filter", is_filter},
    {"test", is_test},
};

}  // namespace

JinjaTest find_jinja_test(std::string_view name) {
  for (const Row& row : kTests)
    if (row.name == name) return row.function;
  return nullptr;
}

}  // namespace lancet
