// Operators, comparison, indexing. See operators.h.
#include "jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/utf8.h"
#include "jinja/builtins.h"

namespace lancet {
namespace {

using Kind = JinjaValue::Kind;

std::string_view symbol_of(JinjaOperator op) {
  switch (op) {
    case JinjaOperator::add: return "+";
    case JinjaOperator::subtract: return "-";
    case JinjaOperator::multiply: return "*";
    case JinjaOperator::divide: return "/";
    case JinjaOperator::floor_divide: return "//";
    case JinjaOperator::modulo: return "%";
    case JinjaOperator::power: return "**";
    default: return "~";
  }
}

[[noreturn]] void fail_operands(JinjaRun& run, JinjaOperator op, const JinjaValue& a, const JinjaValue& b) {
  for (const JinjaValue* value : {&a, &b})
    if (value->is_undefined()) run.fail(value->hint());
  if (op == JinjaOperator::add && a.is_string())
    run.fail(fmt::format("can only concatenate str (not \"{}\") to str", b.type_name()));
  run.fail(
      fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol_of(op), a.type_name(), b.type_name()));
}

/// Python's % and // round towards minus infinity.
int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0)); }

JinjaValue integer_power(JinjaRun& run, int64_t base, int64_t exponent) {
  if (exponent < 0) return JinjaValue::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  int64_t result = 1;
  for (; exponent > 0; exponent--) {
    run.step();
    if (base == 0 || base == 1) return JinjaValue::integer(base);
    if (__builtin_mul_overflow(result, base, &result)) run.fail("this integer does not fit in 64 bits");
  }
  return JinjaValue::integer(result);
}

JinjaValue integer_operation(JinjaRun& run, JinjaOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case JinjaOperator::add: overflow = __builtin_add_overflow(a, b, &result); break;
    case JinjaOperator::subtract: overflow = __builtin_sub_overflow(a, b, &result); break;
    case JinjaOperator::multiply: overflow = __builtin_mul_overflow(a, b, &result); break;
    case JinjaOperator::power: return integer_power(run, a, b);
    default:
      if (b == 0) run.fail("division by zero");
      if (op == JinjaOperator::divide) return JinjaValue::real(static_cast<double>(a) / static_cast<double>(b));
      if (b == -1) {  // INT64_MIN / -1 overflows
        overflow = op == JinjaOperator::floor_divide && __builtin_sub_overflow(int64_t{0}, a, &result);
        break;
      }
      result = op == JinjaOperator::floor_divide ? floor_quotient(a, b) : a - floor_quotient(a, b) * b;
  }
  if (overflow) run.fail("this integer does not fit in 64 bits");
  return JinjaValue::integer(result);
}

JinjaValue real_operation(JinjaRun& run, JinjaOperator op, double a, double b) {
  switch (op) {
    case JinjaOperator::add: return JinjaValue::real(a + b);
    case JinjaOperator::subtract: return JinjaValue::real(a - b);
    case JinjaOperator::multiply: return JinjaValue::real(a * b);
    case JinjaOperator::power: return JinjaValue::real(std::pow(a, b));
    default: break;
  }
  if (b == 0) run.fail("division by zero");
  if (op == JinjaOperator::divide) return JinjaValue::real(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return JinjaValue::real(op == JinjaOperator::modulo ? rest : std::round((a - rest) / b));
}

JinjaValue repeated(JinjaRun& run, const JinjaValue& value, int64_t count) {
  const auto times = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  const uint64_t size = value.is_string() ? value.str().size() : value.items().size();
  if (size == 0 || times == 0)
    return value.is_string() ? JinjaValue::string("", true) : JinjaValue::list({}, value.list_pointer()->tuple);
  uint64_t total = 0;
  if (__builtin_mul_overflow(size, times, &total)) total = UINT64_MAX;
  if (value.is_string()) {
    run.charge_text(total);
    MarkedText text;
    for (uint64_t i = 0; i < times; i++) text.append(value.text());
    return JinjaValue::string(std::move(text));
  }
  run.charge_items(total);
  std::vector<JinjaValue> items;
  items.reserve(total);
  for (uint64_t i = 0; i < times; i++) items.insert(items.end(), value.items().begin(), value.items().end());
  return JinjaValue::list(std::move(items), value.list_pointer()->tuple);
}

JinjaValue concatenated(JinjaRun& run, const MarkedText& a, const MarkedText& b) {
  run.charge_text(a.size() + b.size());
  MarkedText text = a;
  text.append(b);
  return JinjaValue::string(std::move(text));
}

/// Start, stop and step of a slice of `size` elements, clamped as Python's slice.indices().
struct SliceRange {
  int64_t start, stop, step;
};

SliceRange slice_range(JinjaRun& run, const JinjaValue (&bounds)[3], int64_t size) {
  for (const JinjaValue& bound : bounds)
    if (!bound.is_none() && !bound.is_integral()) run.fail("slice indices must be integers or none");
  const int64_t step = bounds[2].is_none() ? 1 : bounds[2].as_integer();
  if (step == 0) run.fail("slice step cannot be zero");
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto clamp = [&](const JinjaValue& bound, int64_t fallback) {
    if (bound.is_none()) return fallback;
    int64_t at = bound.as_integer();
    if (at < 0) at = at < -size ? low : at + size;
    return std::clamp(at, low, high);
  };
  return {clamp(bounds[0], step > 0 ? low : high), clamp(bounds[1], step > 0 ? high : low), step};
}

int64_t slice_count(const SliceRange& range) {
  const int64_t span = range.step > 0 ? range.stop - range.start : range.start - range.stop;
  if (span <= 0) return 0;
  const uint64_t stride = range.step > 0 ? static_cast<uint64_t>(range.step) : 0 - static_cast<uint64_t>(range.step);
  return static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / stride) + 1;
}

}  // namespace

bool jinja_scalar_equal(const JinjaValue& a, const JinjaValue& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
    return a.as_real() == b.as_real();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::string: return a.str() == b.str();
    case Kind::name_space: return a.name_space_pointer() == b.name_space_pointer();
    case Kind::object: return a.object_pointer() == b.object_pointer();
    case Kind::list:
    case Kind::dict: return false;
    default: return true;
  }
}

bool jinja_equal(JinjaRun& run, const JinjaValue& a, const JinjaValue& b, int depth) {
  run.step(a.is_string() ? 1 + a.str().size() / 256 : 1);
  if (depth > kJinjaMaxValueDepth) run.fail("these values nest too deep to be compared (do they contain themselves?)");
  if (a.is(Kind::list) && b.is(Kind::list)) {
    return a.list_pointer()->tuple == b.list_pointer()->tuple &&
           std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                      [&](const JinjaValue& x, const JinjaValue& y) { return jinja_equal(run, x, y, depth + 1); });
  }
  if (!a.is(Kind::dict) || !b.is(Kind::dict)) return jinja_scalar_equal(a, b);
  if (a.entries().size() != b.entries().size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const auto& entry) {
    run.step(b.entries().size() / 8);
    const JinjaValue* other = b.dict_pointer()->find(entry.first);
    return other && jinja_equal(run, entry.second, *other, depth + 1);
  });
}

int jinja_compare(JinjaRun& run, const JinjaValue& a, const JinjaValue& b, int depth) {
  run.step();
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral())
      return a.as_integer() < b.as_integer() ? -1 : a.as_integer() > b.as_integer();
    return a.as_real() < b.as_real() ? -1 : a.as_real() > b.as_real();
  }
  if (a.is_string() && b.is_string()) {  // the order of UTF-8 is the order of code points
    const int order = a.str().compare(b.str());
    return order < 0 ? -1 : order > 0;
  }
  if (a.is(Kind::list) && b.is(Kind::list) && depth < kJinjaMaxValueDepth) {
    const size_t shorter = std::min(a.items().size(), b.items().size());
    for (size_t i = 0; i < shorter; i++)
      if (const int order = jinja_compare(run, a.items()[i], b.items()[i], depth + 1)) return order;
    return a.items().size() < b.items().size() ? -1 : a.items().size() > b.items().size();
  }
  for (const JinjaValue* value : {&a, &b})
    if (value->is_undefined()) run.fail(value->hint());
  run.fail(fmt::format("'<' not supported between instances of '{}' and '{}'", a.type_name(), b.type_name()));
}

JinjaValue jinja_binary(JinjaRun& run, JinjaOperator op, const JinjaValue& a, const JinjaValue& b) {
  if (op == JinjaOperator::concatenate) return concatenated(run, jinja_text(run, a), jinja_text(run, b));
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return integer_operation(run, op, a.as_integer(), b.as_integer());
    return real_operation(run, op, a.as_real(), b.as_real());
  }
  if (op == JinjaOperator::add && a.is_string() && b.is_string()) return concatenated(run, a.text(), b.text());
  if (op == JinjaOperator::add && a.is(Kind::list) && b.is(Kind::list) &&
      a.list_pointer()->tuple == b.list_pointer()->tuple) {
    run.charge_items(a.items().size() + b.items().size());
    std::vector<JinjaValue> items;
    items.reserve(a.items().size() + b.items().size());
    items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    JinjaValue result = JinjaValue::list(std::move(items), a.list_pointer()->tuple);
    result.list_pointer()->trusted = a.list_pointer()->trusted && b.list_pointer()->trusted;
    return result;
  }
  if (op == JinjaOperator::multiply) {
    if ((a.is_string() || a.is(Kind::list)) && b.is_integral()) return repeated(run, a, b.as_integer());
    if ((b.is_string() || b.is(Kind::list)) && a.is_integral()) return repeated(run, b, a.as_integer());
  }
  if (op == JinjaOperator::modulo && a.is_string()) return percent_format(run, a, b);
  fail_operands(run, op, a, b);
}

JinjaValue jinja_negate(JinjaRun& run, const JinjaValue& value) {
  if (value.is(Kind::real)) return JinjaValue::real(-value.as_real());
  if (value.is_integral()) return integer_operation(run, JinjaOperator::subtract, 0, value.as_integer());
  if (value.is_undefined()) run.fail(value.hint());
  run.fail(fmt::format("bad operand type for unary -: '{}'", value.type_name()));
}

bool jinja_contains(JinjaRun& run, const JinjaValue& item, const JinjaValue& container) {
  switch (container.kind()) {
    case Kind::undefined: return false;
    case Kind::string:
      if (item.is_undefined()) run.fail(item.hint());
      if (!item.is_string()) {
        run.fail(fmt::format("'in <string>' requires string as left operand, not {}", item.type_name()));
      }
      run.step(container.str().size() / 64);
      return container.str().find(item.str()) != std::string::npos;
    case Kind::list:
      run.step(container.items().size() / 4);
      return std::any_of(container.items().begin(), container.items().end(),
                         [&](const JinjaValue& value) { return jinja_equal(run, value, item); });
    case Kind::dict: run.step(container.entries().size() / 4); return container.dict_pointer()->find(item) != nullptr;
    default: run.fail(fmt::format("argument of type '{}' is not iterable", container.type_name()));
  }
}

JinjaValue jinja_attribute(JinjaRun& run, const JinjaValue& object, const std::string& name) {
  if (object.is_undefined()) run.fail(object.hint());
  if (object.is(Kind::name_space)) {
    if (const JinjaValue* value = object.name_space_pointer()->values.find(name)) return *value;
  } else if (object.is(Kind::object)) {
    if (auto value = object.object_pointer()->attribute(name)) return *value;
  } else {
    if (auto method = jinja_method(object, name)) return *method;
    if (object.is(Kind::dict)) {
      run.step(object.entries().size() / 8);
      if (const JinjaValue* value = object.dict_pointer()->find(name)) return *value;
    }
  }
  return JinjaValue::undefined(fmt::format("'{} object' has no attribute '{}'", object.type_name(), name));
}

JinjaValue jinja_index(JinjaRun& run, const JinjaValue& object, const JinjaValue& key) {
  if (object.is_undefined()) run.fail(object.hint());
  if (object.is(Kind::dict)) {
    run.step(object.entries().size() / 8);
    if (const JinjaValue* value = object.dict_pointer()->find(key)) return *value;
  }
  if (key.is_string() && !object.is(Kind::dict)) return jinja_attribute(run, object, key.str());
  if (key.is_string())
    if (auto method = jinja_method(object, key.str())) return *method;
  if (key.is_integral() && (object.is(Kind::list) || object.is_string())) {
    int64_t at = key.as_integer();
    if (object.is_string()) {
      run.step(object.str().size() / 64);
      const auto offsets = character_offsets(object.str());
      const auto size = static_cast<int64_t>(offsets.size()) - 1;
      if (at < 0) at += size;
      if (at >= 0 && at < size) {
        const auto i = static_cast<size_t>(at);
        return JinjaValue::string(object.text().slice(offsets[i], offsets[i + 1]));
      }
    } else {
      const auto size = static_cast<int64_t>(object.items().size());
      if (at < 0) at += size;
      if (at >= 0 && at < size) return object.items()[static_cast<size_t>(at)];
    }
  }
  const std::string shown = key.is_string() ? "'" + key.str() + "'" : jinja_text(run, key).str();
  return JinjaValue::undefined(fmt::format("{} object has no element {}", object.type_name(), shown));
}

JinjaValue jinja_slice(JinjaRun& run, const JinjaValue& object, const JinjaValue (&bounds)[3]) {
  if (object.is_undefined()) run.fail(object.hint());
  if (object.is_string()) {
    const auto offsets = character_offsets(object.str());
    const SliceRange range = slice_range(run, bounds, static_cast<int64_t>(offsets.size()) - 1);
    const int64_t count = slice_count(range);
    run.charge_text(object.str().size());
    MarkedText text;
    if (range.step == 1 && count > 0) {
      text = object.text().slice(offsets[static_cast<size_t>(range.start)], offsets[static_cast<size_t>(range.stop)]);
      return JinjaValue::string(std::move(text));
    }
    run.step(static_cast<uint64_t>(count));
    for (int64_t i = 0; i < count; i++) {
      const auto at = static_cast<size_t>(range.start + i * range.step);
      text.append_slice(object.text(), offsets[at], offsets[at + 1]);
    }
    return JinjaValue::string(std::move(text));
  }
  if (!object.is(Kind::list)) run.fail(fmt::format("'{}' object is not subscriptable", object.type_name()));
  const SliceRange range = slice_range(run, bounds, static_cast<int64_t>(object.items().size()));
  const int64_t count = slice_count(range);
  run.charge_items(static_cast<uint64_t>(count));
  std::vector<JinjaValue> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; i++)
    items.push_back(object.items()[static_cast<size_t>(range.start + i * range.step)]);
  return JinjaValue::list(std::move(items), object.list_pointer()->tuple);
}

JinjaValue jinja_path(JinjaRun& run, const JinjaValue& object, const std::string& path) {
  JinjaValue value = object;
  for (size_t begin = 0; begin <= path.size();) {
    run.step();
    const size_t dot = std::min(path.find('.', begin), path.size());
    const std::string part = path.substr(begin, dot - begin);
    const bool number = !part.empty() && part.size() < 10 &&
                        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    // Members before methods: attribute="items" means the key.
    value = jinja_index(run, value, number ? JinjaValue::integer(std::stoll(part)) : JinjaValue::string(part, true));
    begin = dot + 1;
  }
  return value;
}

std::vector<JinjaValue> jinja_elements(JinjaRun& run, const JinjaValue& value) {
  std::vector<JinjaValue> elements;
  switch (value.kind()) {
    case Kind::undefined: return elements;
    case Kind::list: run.charge_items(value.items().size()); return value.items();
    case Kind::dict:
      run.charge_items(value.entries().size());
      for (const auto& entry : value.entries()) elements.push_back(entry.first);
      return elements;
    case Kind::string: {
      const auto offsets = character_offsets(value.str());
      run.charge_items(offsets.size());
      run.step(offsets.size());
      for (size_t i = 0; i + 1 < offsets.size(); i++)
        elements.push_back(JinjaValue::string(value.text().slice(offsets[i], offsets[i + 1])));
      return elements;
    }
    default: run.fail(fmt::format("'{}' object is not iterable", value.type_name()));
  }
}

int64_t jinja_length(JinjaRun& run, const JinjaValue& value) {
  switch (value.kind()) {
    case Kind::undefined: return 0;
    case Kind::list: return static_cast<int64_t>(value.items().size());
    case Kind::dict: return static_cast<int64_t>(value.entries().size());
    case Kind::string:
      run.step(value.str().size() / 64);
      return static_cast<int64_t>(character_offsets(value.str()).size()) - 1;
    default: run.fail(fmt::format("object of type '{}' has no len()", value.type_name()));
  }
}

std::vector<size_t> character_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size(); at += utf8_next(text.substr(at)).length) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

}  // namespace lancet
