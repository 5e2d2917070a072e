// Methods of lists and dicts, and the functions that every template can call. The tables are at the end of each half.
#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

using Kind = JinjaValue::Kind;
using Method = JinjaValue (*)(JinjaRun&, const JinjaValue& self, const JinjaArguments&);

/// A list that is about to change. One that gets a list or dict might come to contain itself: the run empties it.
std::vector<JinjaValue>& changing(JinjaRun& run, const JinjaValue& self, const JinjaValue& added) {
  JinjaList& list = *self.list_pointer();
  if (list.tuple) run.fail("a tuple cannot be changed");
  if (added.is(Kind::list) || added.is(Kind::dict) || added.is(Kind::name_space) || added.is(Kind::object)) {
    run.keep(self.list_pointer());
  }
  list.depth = std::max(list.depth, std::min(added.depth() + 1, kJinjaMaxValueDepth));
  run.charge_items(1);
  return list.items;
}

JinjaValue list_append(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaValue& item = *bind_arguments(run, "append", given, {"object"}, 1)[0];
  changing(run, self, item).push_back(item);
  return JinjaValue::none();
}

JinjaValue list_extend(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto items = jinja_elements(run, *bind_arguments(run, "extend", given, {"iterable"}, 1)[0]);
  for (const JinjaValue& item : items) changing(run, self, item).push_back(item);
  return JinjaValue::none();
}

JinjaValue list_insert(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "insert", given, {"index", "object"}, 2);
  auto& items = changing(run, self, *bound[1]);
  const auto size = static_cast<int64_t>(items.size());
  int64_t at = argument_integer(run, bound[0], 0);
  at = std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  run.step(items.size() / 4);
  items.insert(items.begin() + at, *bound[1]);
  return JinjaValue::none();
}

JinjaValue list_pop(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "pop", given, {"index"});
  auto& items = changing(run, self, JinjaValue::none());
  const auto size = static_cast<int64_t>(items.size());
  int64_t at = argument_integer(run, bound[0], -1);
  if (at < 0) at += size;
  if (at < 0 || at >= size) run.fail("pop index out of range");
  JinjaValue item = items[static_cast<size_t>(at)];
  run.step(items.size() / 4);
  items.erase(items.begin() + at);
  return item;
}

JinjaValue list_index(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaValue& wanted = *bind_arguments(run, "index", given, {"value"}, 1)[0];
  for (size_t i = 0; i < self.items().size(); i++)
    if (jinja_equal(run, self.items()[i], wanted)) return JinjaValue::integer(static_cast<int64_t>(i));
  run.fail("the value is not in the list");
}

JinjaValue list_count(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaValue& wanted = *bind_arguments(run, "count", given, {"value"}, 1)[0];
  return JinjaValue::integer(std::count_if(self.items().begin(), self.items().end(),
                                           [&](const JinjaValue& item) { return jinja_equal(run, item, wanted); }));
}

JinjaValue list_copy(JinjaRun& run, const JinjaValue& self, const JinjaArguments&) {
  return JinjaValue::list(jinja_elements(run, self), self.list_pointer()->tuple);
}

JinjaValue dict_items(JinjaRun& run, const JinjaValue& self, const JinjaArguments&) {
  std::vector<JinjaValue> pairs;
  run.charge_items(3 * self.entries().size());
  for (const auto& [key, value] : self.entries()) pairs.push_back(JinjaValue::list({key, value}, true));
  return JinjaValue::list(std::move(pairs));
}

JinjaValue dict_keys(JinjaRun& run, const JinjaValue& self, const JinjaArguments&) {
  return JinjaValue::list(jinja_elements(run, self));
}

JinjaValue dict_values(JinjaRun& run, const JinjaValue& self, const JinjaArguments&) {
  std::vector<JinjaValue> values;
  run.charge_items(self.entries().size());
  for (const auto& entry : self.entries()) values.push_back(entry.second);
  return JinjaValue::list(std::move(values));
}

JinjaValue dict_get(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "get", given, {"key", "default"}, 1);
  run.step(self.entries().size() / 8);
  if (const JinjaValue* value = self.dict_pointer()->find(*bound[0])) return *value;
  return bound[1] ? *bound[1] : JinjaValue::none();
}

void dict_store(JinjaRun& run, const JinjaValue& self, const JinjaValue& key, const JinjaValue& value) {
  if (key.is(Kind::list) || key.is(Kind::dict)) run.fail(fmt::format("unhashable type: '{}'", key.type_name()));
  run.keep(self.dict_pointer());
  run.charge_items(2);
  run.step(self.entries().size() / 8);
  self.dict_pointer()->set(key, value);
}

JinjaValue dict_setdefault(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "setdefault", given, {"key", "default"}, 1);
  if (const JinjaValue* value = self.dict_pointer()->find(*bound[0])) return *value;
  const JinjaValue value = bound[1] ? *bound[1] : JinjaValue::none();
  dict_store(run, self, *bound[0], value);
  return value;
}

JinjaValue dict_update(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  for (const JinjaValue& from : given.positional) {
    if (!from.is(Kind::dict)) run.fail("update needs a dict");
    const auto entries = from.entries();
    for (const auto& [key, value] : entries) dict_store(run, self, key, value);
  }
  for (const auto& [name, value] : given.named) dict_store(run, self, JinjaValue::string(name, true), value);
  return JinjaValue::none();
}

JinjaValue dict_pop(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "pop", given, {"key", "default"}, 1);
  auto& entries = self.dict_pointer()->entries;
  run.step(entries.size() / 4);
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const auto& entry) { return jinja_scalar_equal(entry.first, *bound[0]); });
  if (found == entries.end()) {
    if (!bound[1]) run.fail("pop: the dict has no such key");
    return *bound[1];
  }
  JinjaValue value = found->second;
  entries.erase(found);
  return value;
}

JinjaValue dict_copy(JinjaRun& run, const JinjaValue& self, const JinjaArguments&) {
  run.charge_items(2 * self.entries().size());
  return JinjaValue::dict(self.entries());
}

struct Row {
  std::string_view name;
  Method function;
};
constexpr Row kListMethods[] = {{"append", list_append}, {"extend", list_extend}, {"insert", list_insert},
                                {"pop", list_pop},       {"index", list_index},   {"count", list_count},
                                {"copy", list_copy}};
constexpr Row kDictMethods[] = {
    {"items", dict_items},           {"keys", dict_keys},     {"values", dict_values}, {"get", dict_get},
    {"setdefault", dict_setdefault}, {"update", dict_update}, {"pop", dict_pop},       {"copy", dict_copy}};

std::optional<JinjaValue> bound_method(std::span<const Row> rows, const JinjaValue& object, std::string_view name) {
  for (const Row& row : rows) {
    if (row.name != name) continue;
    return jinja_function([object, method = row.function](JinjaRun& run, const JinjaArguments& given) {
      return method(run, object, given);
    });
  }
  return std::nullopt;
}

}  // namespace

std::optional<JinjaValue> jinja_method(const JinjaValue& object, std::string_view name) {
  if (object.is_string()) return text_method(object, name);
  if (object.is(Kind::list)) return bound_method(kListMethods, object, name);
  if (object.is(Kind::dict)) return bound_method(kDictMethods, object, name);
  return std::nullopt;
}

}  // namespace lancet
