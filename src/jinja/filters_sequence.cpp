// Filters over lists, dicts and characters. The table is at the end.
#include <algorithm>

#include <fmt/format.h>

#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

using Kind = JinjaValue::Kind;
using Elements = std::vector<JinjaValue>;

/// What sort, unique, min and groupby compare: an attribute, texts without their case unless asked otherwise.
JinjaValue comparison_key(JinjaRun& run, const JinjaValue& item, const JinjaValue* attribute, bool case_sensitive) {
  JinjaValue key = item;
  if (attribute && !attribute->is_none()) {
    if (attribute->is_string() && attribute->str().find(',') != std::string::npos) {
      Elements keys;
      const std::string& names = attribute->str();
      for (size_t begin = 0; begin <= names.size();) {
        const size_t comma = std::min(names.find(',', begin), names.size());
        const JinjaValue name = JinjaValue::string(names.substr(begin, comma - begin), true);
        keys.push_back(comparison_key(run, item, &name, case_sensitive));
        begin = comma + 1;
      }
      return JinjaValue::list(std::move(keys));
    }
    key = attribute->is_string() ? jinja_path(run, item, attribute->str()) : jinja_index(run, item, *attribute);
  }
  if (case_sensitive || !key.is_string()) return key;
  run.charge(key.str().size());
  return JinjaValue::string(lower_text(key.text()));
}

Elements sorted(JinjaRun& run, const Elements& items, const Elements& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const int comparison = jinja_compare(run, keys[a], keys[b]);
    return reverse ? comparison > 0 : comparison < 0;
  });
  Elements result;
  result.reserve(items.size());
  for (const size_t i : order) result.push_back(items[i]);
  return result;
}

JinjaValue filter_length(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  return JinjaValue::integer(jinja_length(run, input));
}

JinjaValue filter_list(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  return JinjaValue::list(jinja_elements(run, input));
}

JinjaValue filter_first(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  const Elements items = jinja_elements(run, input);
  return items.empty() ? JinjaValue::undefined("No first item, sequence was empty.") : items.front();
}

JinjaValue filter_last(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  const Elements items = jinja_elements(run, input);
  return items.empty() ? JinjaValue::undefined("No last item, sequence was empty.") : items.back();
}

JinjaValue filter_join(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "join", given, {"d", "attribute"});
  Elements items = jinja_elements(run, input);
  if (bound[1] && !bound[1]->is_none())
    for (JinjaValue& item : items) item = jinja_path(run, item, jinja_text(run, *bound[1]).str());
  return JinjaValue::string(joined_text(run, bound[0] ? jinja_text(run, *bound[0]) : MarkedText(), items));
}

JinjaValue filter_items(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  if (input.is_undefined()) return JinjaValue::list({});
  if (!input.is(Kind::dict)) run.fail("Can only get item pairs from a mapping.");
  Elements pairs;
  run.charge_items(3 * input.entries().size());
  for (const auto& [key, value] : input.entries()) pairs.push_back(JinjaValue::list({key, value}, true));
  return JinjaValue::list(std::move(pairs));
}

JinjaValue filter_reverse(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  Elements items = jinja_elements(run, input);
  std::reverse(items.begin(), items.end());
  if (input.is_string()) return JinjaValue::string(joined_text(run, {}, items));
  return JinjaValue::list(std::move(items));
}

JinjaValue filter_sort(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "sort", given, {"reverse", "case_sensitive", "attribute"});
  const Elements items = jinja_elements(run, input);
  Elements keys;
  for (const JinjaValue& item : items)
    keys.push_back(comparison_key(run, item, bound[2], argument_truth(bound[1], false)));
  return JinjaValue::list(sorted(run, items, keys, argument_truth(bound[0], false)));
}

JinjaValue filter_dictsort(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "dictsort", given, {"case_sensitive", "by", "reverse"});
  const std::string by = bound[1] && bound[1]->is_string() ? bound[1]->str() : "key";
  if (by != "key" && by != "value") run.fail("You can only sort by either \"key\" or \"value\"");
  if (!input.is(Kind::dict)) run.fail(fmt::format("dictsort needs a mapping, not {}", input.type_name()));
  const Elements pairs = filter_items(run, input, {}).items();
  Elements keys;
  for (const JinjaValue& pair : pairs)
    keys.push_back(comparison_key(run, pair.items()[by == "value"], nullptr, argument_truth(bound[0], false)));
  return JinjaValue::list(sorted(run, pairs, keys, argument_truth(bound[2], false)));
}

JinjaValue filter_unique(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "unique", given, {"case_sensitive", "attribute"});
  Elements result, seen;
  for (const JinjaValue& item : jinja_elements(run, input)) {
    JinjaValue key = comparison_key(run, item, bound[1], argument_truth(bound[0], false));
    if (jinja_contains(run, key, JinjaValue::list(seen))) continue;
    run.charge_items(seen.size());
    seen.push_back(std::move(key));
    result.push_back(item);
  }
  return JinjaValue::list(std::move(result));
}

JinjaValue filter_groupby(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "groupby", given, {"attribute", "default", "case_sensitive"}, 1);
  const Elements items = jinja_elements(run, input);
  Elements keys;
  for (const JinjaValue& item : items) {
    JinjaValue key = comparison_key(run, item, bound[0], true);
    if (key.is_undefined() && bound[1]) key = *bound[1];
    keys.push_back(argument_truth(bound[2], false) ? key : comparison_key(run, key, nullptr, false));
  }
  const Elements in_order = sorted(run, items, keys, false), keys_in_order = sorted(run, keys, keys, false);
  Elements groups, members;
  for (size_t i = 0; i < in_order.size(); i++) {
    members.push_back(in_order[i]);
    const bool last = i + 1 == in_order.size() || !jinja_equal(run, keys_in_order[i], keys_in_order[i + 1]);
    if (!last) continue;
    JinjaValue name = comparison_key(run, members.front(), bound[0], true);
    if (name.is_undefined() && bound[1]) name = *bound[1];
    groups.push_back(JinjaValue::list({std::move(name), JinjaValue::list(std::move(members))}, true));
    members = {};
  }
  return JinjaValue::list(std::move(groups));
}

JinjaValue extreme(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given, int wanted) {
  const auto bound = bind_arguments(run, wanted < 0 ? "min" : "max", given, {"case_sensitive", "attribute"});
  const Elements items = jinja_elements(run, input);
  if (items.empty()) return JinjaValue::undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  JinjaValue best_key = comparison_key(run, items[0], bound[1], argument_truth(bound[0], false));
  for (size_t i = 1; i < items.size(); i++) {
    JinjaValue key = comparison_key(run, items[i], bound[1], argument_truth(bound[0], false));
    if (jinja_compare(run, key, best_key) * wanted <= 0) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

JinjaValue filter_min(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  return extreme(run, input, given, -1);
}

JinjaValue filter_max(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  return extreme(run, input, given, 1);
}

JinjaValue filter_sum(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "sum", given, {"attribute", "start"});
  JinjaValue total = bound[1] ? *bound[1] : JinjaValue::integer(0);
  for (const JinjaValue& item : jinja_elements(run, input)) {
    const bool path = bound[0] && !bound[0]->is_none();
    total = jinja_binary(run, JinjaOperator::add, total,
                         path ? jinja_path(run, item, jinja_text(run, *bound[0]).str()) : item);
  }
  return total;
}

JinjaValue filter_batch(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "batch", given, {"linecount", "fill_with"}, 1);
  const int64_t size = argument_integer(run, bound[0], 0);
  if (size < 1) run.fail("batch needs a positive size");
  Elements rows, row;
  for (JinjaValue& item : jinja_elements(run, input)) {
    row.push_back(std::move(item));
    if (row.size() < static_cast<size_t>(size)) continue;
    rows.push_back(JinjaValue::list(std::exchange(row, {})));
  }
  if (row.empty()) return JinjaValue::list(std::move(rows));
  if (bound[1] && !bound[1]->is_none()) {
    run.charge_items(static_cast<uint64_t>(size));
    row.resize(static_cast<size_t>(size), *bound[1]);
  }
  rows.push_back(JinjaValue::list(std::move(row)));
  return JinjaValue::list(std::move(rows));
}

constexpr JinjaFilterRow kFilters[] = {
    {"length", filter_length}, {"count", filter_length},      {"list", filter_list},     {"first", filter_first},
    {"last", filter_last},     {"join", filter_join},         {"items", filter_items},   {"reverse", filter_reverse},
    {"sort", filter_sort},     {"dictsort", filter_dictsort}, {"unique", filter_unique}, {"groupby", filter_groupby},
    {"min", filter_min},       {"max", filter_max},           {"sum", filter_sum},       {"batch", filter_batch},
};

}  // namespace

JinjaFilter find_sequence_filter(std::string_view name) {
  for (const JinjaFilterRow& row : kFilters)
    if (row.name == name) return row.function;
  return nullptr;
}

}  // namespace lancet
