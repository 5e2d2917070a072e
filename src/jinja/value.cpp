// Construction and inspection of values. See value.h.
#include "jinja/value.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/error.h"
#include "jinja/operators.h"
#include "jinja/run.h"

namespace lancet {
namespace {

[[noreturn]] void fail_depth() {
  throw Error(Fault::bad_request, "values of the template nest deeper than " + std::to_string(kJinjaMaxValueDepth));
}

int depth_above(int child_depth) {
  if (child_depth >= kJinjaMaxValueDepth) fail_depth();
  return child_depth + 1;
}

}  // namespace

std::optional<JinjaValue> JinjaObject::attribute(std::string_view) const { return std::nullopt; }

JinjaValue JinjaObject::call(JinjaRun& run, const JinjaArguments&) const {
  run.fail("'" + std::string(type_name()) + "' object is not callable");
}

JinjaValue JinjaValue::undefined(std::string hint) {
  return JinjaValue(Storage(std::in_place_index<0>, Hint{std::make_shared<const std::string>(std::move(hint))}));
}

JinjaValue JinjaValue::string(MarkedText text) {
  return JinjaValue(Storage(std::in_place_index<5>, std::make_shared<const MarkedText>(std::move(text))));
}

JinjaValue JinjaValue::list(std::vector<JinjaValue> items, bool tuple) {
  int depth = 0;
  for (const JinjaValue& item : items) depth = std::max(depth, item.depth());
  depth = depth_above(depth);
  return JinjaValue(
      Storage(std::in_place_index<6>, std::make_shared<JinjaList>(JinjaList{std::move(items), tuple, depth, true})));
}

JinjaValue JinjaValue::dict(std::vector<std::pair<JinjaValue, JinjaValue>> entries) {
  int depth = 0;
  for (const auto& [key, value] : entries) depth = std::max({depth, key.depth(), value.depth()});
  depth = depth_above(depth);
  return JinjaValue(
      Storage(std::in_place_index<7>, std::make_shared<JinjaDict>(JinjaDict{std::move(entries), depth, true})));
}

JinjaValue JinjaValue::name_space(std::shared_ptr<JinjaNamespace> value) {
  return JinjaValue(Storage(std::in_place_index<8>, std::move(value)));
}

JinjaValue JinjaValue::object(std::shared_ptr<const JinjaObject> value) {
  return JinjaValue(Storage(std::in_place_index<9>, std::move(value)));
}

JinjaValue JinjaValue::from_json(const boost::json::value& json, bool trusted) {
  switch (json.kind()) {
    case boost::json::kind::null: return none();
    case boost::json::kind::bool_: return boolean(json.get_bool());
    case boost::json::kind::int64: return integer(json.get_int64());
    case boost::json::kind::uint64: {
      const uint64_t value = json.get_uint64();
      return value <= INT64_MAX ? integer(static_cast<int64_t>(value)) : real(static_cast<double>(value));
    }
    case boost::json::kind::double_: return real(json.get_double());
    case boost::json::kind::string: return string(std::string_view(json.get_string()), trusted);
    case boost::json::kind::array: {
      std::vector<JinjaValue> items;
      items.reserve(json.get_array().size());
      for (const auto& item : json.get_array()) items.push_back(from_json(item, trusted));
      JinjaValue result = list(std::move(items));
      result.list_pointer()->trusted = trusted;
      return result;
    }
    case boost::json::kind::object: break;
  }
  std::vector<std::pair<JinjaValue, JinjaValue>> entries;
  entries.reserve(json.get_object().size());
  for (const auto& member : json.get_object())
    entries.emplace_back(string(std::string_view(member.key()), trusted), from_json(member.value(), trusted));
  JinjaValue result = dict(std::move(entries));
  result.dict_pointer()->trusted = trusted;
  return result;
}

const std::vector<JinjaValue>& JinjaValue::items() const { return list_pointer()->items; }
const std::vector<std::pair<JinjaValue, JinjaValue>>& JinjaValue::entries() const { return dict_pointer()->entries; }

std::string JinjaValue::hint() const {
  const Hint& hint = std::get<0>(storage_);
  return hint.text ? *hint.text : "the value is undefined";
}

int JinjaValue::depth() const {
  if (is(Kind::list)) return list_pointer()->depth;
  if (is(Kind::dict)) return dict_pointer()->depth;
  return 0;
}

bool JinjaValue::truth() const {
  switch (kind()) {
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean: return as_bool();
    case Kind::integer: return as_integer() != 0;
    case Kind::real: return as_real() != 0;
    case Kind::string: return !str().empty();
    case Kind::list: return !items().empty();
    case Kind::dict: return !entries().empty();
    case Kind::name_space:
    case Kind::object: return true;
  }
  return false;
}

std::string_view JinjaValue::type_name() const {
  switch (kind()) {
    case Kind::undefined: return "Undefined";
    case Kind::none: return "NoneType";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::real: return "float";
    case Kind::string: return "str";
    case Kind::list: return list_pointer()->tuple ? "tuple" : "list";
    case Kind::dict: return "dict";
    case Kind::name_space: return "Namespace";
    case Kind::object: return object_pointer()->type_name();
  }
  return "object";
}

const JinjaValue* JinjaDict::find(std::string_view key) const {
  for (const auto& [name, value] : entries)
    if (name.is_string() && name.str() == key) return &value;
  return nullptr;
}

const JinjaValue* JinjaDict::find(const JinjaValue& key) const {
  if (key.is_string()) return find(key.str());
  for (const auto& [name, value] : entries)
    if (jinja_scalar_equal(name, key)) return &value;
  return nullptr;
}

void JinjaDict::set(const JinjaValue& key, JinjaValue value) {
  depth = std::max({depth, depth_above(value.depth()), depth_above(key.depth())});
  for (auto& [name, old] : entries) {
    if (!jinja_scalar_equal(name, key)) continue;
    old = std::move(value);
    return;
  }
  entries.emplace_back(key, std::move(value));
}

bool contains_untrusted(const JinjaValue& value, int depth) {
  if (depth > kJinjaMaxValueDepth) fail_depth();
  if (value.is_string()) return !value.text().all_trusted();
  if (value.is(JinjaValue::Kind::list)) {
    return !value.list_pointer()->trusted ||
           std::any_of(value.items().begin(), value.items().end(),
                       [&](const JinjaValue& item) { return contains_untrusted(item, depth + 1); });
  }
  if (!value.is(JinjaValue::Kind::dict)) return false;
  return !value.dict_pointer()->trusted ||
         std::any_of(value.entries().begin(), value.entries().end(), [&](const auto& entry) {
           return contains_untrusted(entry.first, depth + 1) || contains_untrusted(entry.second, depth + 1);
         });
}

}  // namespace lancet
