// The functions that every template can call: range, namespace, dict, joiner, raise_exception, strftime_now.
#include <ctime>

#include <fmt/format.h>

#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

JinjaValue global_range(JinjaRun& run, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "range", given, {"start", "stop", "step"}, 1);
  const int64_t start = bound[1] ? argument_integer(run, bound[0], 0) : 0;
  const int64_t stop = argument_integer(run, bound[1] ? bound[1] : bound[0], 0);
  const int64_t step = argument_integer(run, bound[2], 1);
  if (step == 0) run.fail("range() arg 3 must not be zero");
  std::vector<JinjaValue> numbers;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    run.step();
    run.charge(sizeof(JinjaValue));
    numbers.push_back(JinjaValue::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return JinjaValue::list(std::move(numbers));
}

JinjaValue global_namespace(JinjaRun& run, const JinjaArguments& given) {
  auto space = std::make_shared<JinjaNamespace>();
  run.keep(space);
  for (const JinjaValue& from : given.positional) {
    if (!from.is(JinjaValue::Kind::dict)) run.fail("namespace() takes dicts and named arguments");
    run.charge_items(2 * from.entries().size());
    for (const auto& [key, value] : from.entries()) space->values.set(key, value);
  }
  for (const auto& [name, value] : given.named) {
    run.charge_items(2);
    space->values.set(JinjaValue::string(name, true), value);
  }
  return JinjaValue::name_space(std::move(space));
}

JinjaValue global_dict(JinjaRun& run, const JinjaArguments& given) {
  JinjaDict dict;
  for (const JinjaValue& from : given.positional) {
    if (!from.is(JinjaValue::Kind::dict)) run.fail("dict() takes dicts and named arguments");
    run.charge_items(2 * from.entries().size());
    run.step(from.entries().size() * (dict.entries.size() / 8 + 1));
    for (const auto& [key, value] : from.entries()) dict.set(key, value);
  }
  for (const auto& [name, value] : given.named) {
    run.charge_items(2);
    dict.set(JinjaValue::string(name, true), value);
  }
  return JinjaValue::dict(std::move(dict.entries));
}

/// joiner(", ")(): nothing at the first call, the separator later.
JinjaValue global_joiner(JinjaRun& run, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "joiner", given, {"sep"});
  const JinjaValue separator = bound[0] ? *bound[0] : JinjaValue::string(", ", true);
  return jinja_function([separator, used = std::make_shared<bool>(false)](JinjaRun&, const JinjaArguments&) {
    return std::exchange(*used, true) ? separator : JinjaValue::string("", true);
  });
}

JinjaValue global_raise_exception(JinjaRun& run, const JinjaArguments& given) {
  run.raise(jinja_text(run, *bind_arguments(run, "raise_exception", given, {"message"}, 1)[0]).str());
}

JinjaValue global_strftime_now(JinjaRun& run, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "strftime_now", given, {"format"}, 1);
  const MarkedText format = jinja_text(run, *bound[0]);
  const std::tm now = run.now();
  std::string text;
  const std::string& whole = format.str();
  for (size_t i = 0; i < whole.size(); i++) {
    run.step();
    std::string conversion(1, whole[i]);
    if (whole[i] == '%' && i + 1 < whole.size()) {
      conversion += whole[++i];
      if (whole[i] == '-' && i + 1 < whole.size()) conversion += whole[++i];  // glibc: no padding
    }
    // Only conversions of the C standard: what others do is up to the C library.
    constexpr std::string_view kKnown = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%";
    if (conversion.size() < 2 || kKnown.find(conversion.back()) == std::string_view::npos) {
      text += conversion;
      continue;
    }
    char buffer[128];
    text.append(buffer, std::strftime(buffer, sizeof(buffer), conversion.c_str(), &now));
  }
  run.charge_text(text.size());
  return JinjaValue::string(text, format.all_trusted());
}

struct Row {
  std::string_view name;
  JinjaValue value;
};

}  // namespace

const JinjaValue* find_jinja_global(std::string_view name) {
  // Immutable after construction, so threads share it.
  static const Row kGlobals[] = {
      {"range", jinja_function(global_range)},
      {"namespace", jinja_function(global_namespace)},
      {"dict", jinja_function(global_dict)},
      {"joiner", jinja_function(global_joiner)},
      {"raise_exception", jinja_function(global_raise_exception)},
      {"strftime_now", jinja_function(global_strftime_now)},
  };
  for (const Row& row : kGlobals)
    if (row.name == name) return &row.value;
  return nullptr;
}

}  // namespace lancet
