#include "grammar/schema_shapes.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"

namespace lancet {
namespace {

constexpr size_t kLookBack = 64;  // equal entries further apart than this are kept twice, which is harmless

template <class T>
void append_new(std::vector<T>& to, const std::vector<T>& from) {
  for (const T& x : from) {
    const auto start = to.size() > kLookBack ? to.end() - kLookBack : to.begin();
    if (std::find(start, to.end(), x) == to.end()) to.push_back(x);
  }
}

void append_names(std::vector<std::string>& to, const std::vector<std::string>& from) {
  if (from.empty()) return;
  std::unordered_set<std::string> known(to.begin(), to.end());
  for (const std::string& name : from) {
    if (known.insert(name).second) to.push_back(name);
  }
}

std::optional<uint64_t> lesser(std::optional<uint64_t> a, std::optional<uint64_t> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

}  // namespace

bool OtherKeys::has_name(const std::string& name) const { return std::ranges::binary_search(names, name); }

void KeyIndex::add(const Keys& keys, uint32_t position) {
  if (keys.is_name) {
    by_name_[keys.name].push_back(position);
  } else {
    wide_.push_back(position);
  }
}

KeyIndex::KeyIndex(const std::vector<KeyRule>& rules) {
  for (const KeyRule& rule : rules) add(rule.keys, size_++);
}

const std::vector<uint32_t>& KeyIndex::named(const std::string& name) const {
  static const std::vector<uint32_t> kNone;
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? kNone : found->second;
}

bool SeenKeys::operator==(const SeenKeys& other) const {
  return all == other.all && some.names == other.some.names && some.patterns == other.some.patterns;
}

ObjectShape merge(const ObjectShape& a, const ObjectShape& b) {
  ObjectShape out = a;
  append_new(out.every, b.every);
  append_new(out.some, b.some);
  append_names(out.required, b.required);
  append_new(out.implied, b.implied);
  out.min = std::max(a.min, b.min);
  out.max = lesser(a.max, b.max);
  out.seen.all |= b.seen.all;
  append_names(out.seen.some.names, b.seen.some.names);
  append_new(out.seen.some.patterns, b.seen.some.patterns);
  std::ranges::sort(out.seen.some.names);
  return out;
}

ArrayShape merge(const ArrayShape& a, const ArrayShape& b) {
  ArrayShape out = a;
  append_new(out.every, b.every);
  append_new(out.counts, b.counts);
  out.min = std::max(a.min, b.min);
  out.max = lesser(a.max, b.max);
  if (out.unique.empty()) out.unique = b.unique;
  out.seen.all |= b.seen.all;
  out.seen.prefix = std::max(a.seen.prefix, b.seen.prefix);
  append_new(out.seen.contained, b.seen.contained);
  return out;
}

std::vector<ObjectShape> complement(const ObjectShape& shape) {
  std::vector<ObjectShape> out;
  for (const std::string& name : shape.required) {
    out.emplace_back().every = {{Keys::one(name), kFalse}};
  }
  std::vector<KeyRule> violations;
  for (const KeyRule& rule : shape.every) {
    if (rule.value != kTrue) violations.push_back({rule.keys, negated(rule.value)});
  }
  if (!violations.empty()) out.emplace_back().some = {violations};
  for (const std::vector<KeyRule>& options : shape.some) {
    ObjectShape& none = out.emplace_back();
    for (const KeyRule& rule : options) none.every.push_back({rule.keys, negated(rule.value)});
  }
  for (const auto& [first, second] : shape.implied) {
    ObjectShape& broken = out.emplace_back();
    broken.required = {first};
    broken.every = {{Keys::one(second), kFalse}};
  }
  if (shape.min > 0) out.emplace_back().max = shape.min - 1;
  if (shape.max && *shape.max < UINT64_MAX) out.emplace_back().min = *shape.max + 1;
  return out;
}

std::vector<ArrayShape> complement(const ArrayShape& shape) {
  if (!shape.unique.empty()) {
    throw Error{Fault::unsupported, "the negation of uniqueItems cannot be enforced", shape.unique};
  }
  std::vector<ArrayShape> out;
  ItemCount violations{.min = 1};
  for (const ItemRule& rule : shape.every) {
    if (rule.value != kTrue) violations.options.push_back({rule.from, rule.to, negated(rule.value)});
  }
  if (!violations.options.empty()) out.emplace_back().counts = {violations};
  for (const ItemCount& count : shape.counts) {
    if (count.min > 0) out.emplace_back().counts = {{count.options, 0, count.min - 1}};
    if (count.max && *count.max < UINT64_MAX) out.emplace_back().counts = {{count.options, *count.max + 1, {}}};
  }
  if (shape.min > 0) out.emplace_back().max = shape.min - 1;
  if (shape.max && *shape.max < UINT64_MAX) out.emplace_back().min = *shape.max + 1;
  return out;
}

}  // namespace lancet
