// What a conjunction of schemas demands of one object or one array, in a form closed under intersection and complement:
// "every member whose key is in K has a value in V", "some member ...", bounds, required names. Values are literals:
// a formula (a schema, mostly) or its negation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "grammar/term.h"

namespace lancet {

/// A formula's index times two, plus one for its negation. The formula 0 is true.
using Literal = uint32_t;
constexpr Literal kTrue = 0, kFalse = 1;
constexpr Literal negated(Literal l) { return l ^ 1; }
constexpr bool is_negated(Literal l) { return l & 1; }

/// Keys that are none of these names and match none of these patterns.
struct OtherKeys {
  std::vector<std::string> names;  // sorted
  std::vector<Term> patterns;
  bool has_name(const std::string&) const;
};

/// A set of member names: one name, or a language, or all others.
struct Keys {
  std::string name;
  bool is_name = false;
  std::shared_ptr<const OtherKeys> others;
  Term pattern;  // if it is neither a name nor `others`
  bool operator==(const Keys&) const = default;

  static Keys one(std::string name) { return {.name = std::move(name), .is_name = true}; }
  static Keys matching(Term pattern) { return {.pattern = pattern}; }
  static Keys all_but(OtherKeys others) { return {.others = std::make_shared<OtherKeys>(std::move(others))}; }
};

struct KeyRule {
  Keys keys;
  Literal value = kTrue;
  bool operator==(const KeyRule&) const = default;
};

/// Where in a list of rules a name is spoken of, and which rules speak of more than a name.
class KeyIndex {
 public:
  explicit KeyIndex(const std::vector<KeyRule>&);
  const std::vector<uint32_t>& named(const std::string&) const;
  const std::vector<uint32_t>& wide() const { return wide_; }
  void push_back(const KeyRule& rule) { add(rule.keys, size_++); }  // of the list, too

 private:
  void add(const Keys&, uint32_t position);
  std::unordered_map<std::string, std::vector<uint32_t>> by_name_;
  std::vector<uint32_t> wide_;
  uint32_t size_ = 0;
};

/// Which keys `properties` and its kin have looked at, for unevaluatedProperties.
struct SeenKeys {
  bool all = false;
  OtherKeys some;  // these names and patterns have been seen
  bool operator==(const SeenKeys&) const;
};

struct ObjectShape {
  std::vector<KeyRule> every;              // each member with a key of `keys` has such a value
  std::vector<std::vector<KeyRule>> some;  // of each list: at least one member is as at least one entry says
  std::vector<std::string> required;
  std::vector<std::pair<std::string, std::string>> implied;  // if the first is present, so is the second
  uint64_t min = 0;
  std::optional<uint64_t> max;
  SeenKeys seen;
  bool operator==(const ObjectShape&) const = default;
};

constexpr uint64_t kNoEnd = UINT64_MAX;

struct ItemRule {
  uint64_t from = 0, to = kNoEnd;  // positions [from, to)
  Literal value = kTrue;
  bool operator==(const ItemRule&) const = default;
};

struct ItemCount {
  std::vector<ItemRule> options;  // an item counts if any of these says so
  uint64_t min = 0;
  std::optional<uint64_t> max;
  bool operator==(const ItemCount&) const = default;
};

/// Which items have been looked at, for unevaluatedItems.
struct SeenItems {
  bool all = false;
  uint64_t prefix = 0;
  std::vector<Literal> contained;  // and those that satisfy one of these
  bool operator==(const SeenItems&) const = default;
};

struct ArrayShape {
  std::vector<ItemRule> every;
  std::vector<ItemCount> counts;
  uint64_t min = 0;
  std::optional<uint64_t> max;
  std::string unique;  // pointer of the uniqueItems that holds; empty: none does
  SeenItems seen;
  bool operator==(const ArrayShape&) const = default;
};

/// The shapes that both describe.
ObjectShape merge(const ObjectShape&, const ObjectShape&);
ArrayShape merge(const ArrayShape&, const ArrayShape&);
/// Shapes whose union is everything that the shape does not describe. What was seen is forgotten.
std::vector<ObjectShape> complement(const ObjectShape&);
std::vector<ArrayShape> complement(const ArrayShape&);  // Error{unsupported} for uniqueItems

}  // namespace lancet
