// Which shapes can be: what is certain to have no value is dropped early, so that branches which exclude each other do
// not multiply. Not knowing is no harm: the grammar finds what is left.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "grammar/schema_expansion.h"

namespace lancet {
namespace {

constexpr int kEmptinessDepth = 3;  // levels of values that is_empty() looks into

}  // namespace

Goal make_goal(std::vector<Literal> literals) {
  std::ranges::sort(literals);
  const auto [end, last] = std::ranges::unique(literals);
  literals.erase(end, last);
  std::erase(literals, kTrue);
  for (size_t i = 0; i < literals.size(); i++) {
    const bool both = i + 1 < literals.size() && literals[i + 1] == negated(literals[i]) && !is_negated(literals[i]);
    if (literals[i] == kFalse || both) return {kFalse};
  }
  return literals;
}

std::vector<Literal> SchemaExpansion::about(const std::vector<KeyRule>& rules, const KeyIndex& index,
                                            const std::string& name) {
  std::vector<Literal> literals;
  for (const uint32_t i : index.named(name)) literals.push_back(rules[i].value);
  for (const uint32_t i : index.wide()) {
    if (logic_.covers(rules[i].keys, name)) literals.push_back(rules[i].value);
  }
  logic_.budget().step(1 + literals.size());
  return literals;
}

Goal SchemaExpansion::item(const ArrayShape& shape, uint64_t position) {
  std::vector<Literal> literals;
  for (const ItemRule& rule : shape.every) {
    logic_.budget().step();
    if (rule.from <= position && position < rule.to) literals.push_back(rule.value);
  }
  return make_goal(std::move(literals));
}

bool SchemaExpansion::is_empty(const Goal& goal) {
  if (goal.empty()) return false;
  if (goal == Goal{kFalse}) return true;
  if (const auto known = empty_.find(goal); known != empty_.end()) return known->second;
  if (depth_ >= kEmptinessDepth) return false;
  depth_++;
  bool empty = false;
  try {
    empty = scalars_.is_empty(scalars_.of(goal)) && objects(goal).empty() && arrays(goal).empty();
  } catch (const Undecided&) {
  } catch (const Error& e) {
    if (e.fault() != Fault::unsupported) {
      depth_--;
      throw;
    }
  }
  depth_--;
  return empty_[goal] = empty;
}

bool SchemaExpansion::possible_option(const ObjectShape& shape, const KeyIndex& index, const KeyRule& option) {
  Goal goal;
  if (option.keys.is_name) {
    goal = about(shape.every, index, option.keys.name);
  } else {
    for (const uint32_t i : index.wide()) {
      if (shape.every[i].keys == option.keys) goal.push_back(shape.every[i].value);
    }
  }
  goal.push_back(option.value);
  return !is_empty(make_goal(std::move(goal)));
}

/// Drops options that cannot be. False if a list is left without any; the only option of a list is no option.
bool SchemaExpansion::settle_options(ObjectShape& shape, KeyIndex& index) {
  std::vector<std::vector<KeyRule>> open;
  for (std::vector<KeyRule>& options : shape.some) {
    std::erase_if(options, [&](const KeyRule& option) { return !possible_option(shape, index, option); });
    if (options.empty()) return false;
    if (options.size() > 1 || !options[0].keys.is_name) {
      open.push_back(std::move(options));
      continue;
    }
    shape.every.push_back(options[0]);
    index.push_back(options[0]);
    if (std::ranges::find(shape.required, options[0].keys.name) == shape.required.end()) {
      shape.required.push_back(options[0].keys.name);
    }
  }
  shape.some = std::move(open);
  return true;
}

bool SchemaExpansion::possible(ObjectShape& shape) {
  if (shape.max && *shape.max < std::max<uint64_t>(shape.min, shape.required.size())) return false;
  if (shape.some.empty() && shape.required.empty()) return true;
  KeyIndex index(shape.every);
  if (!settle_options(shape, index)) return false;
  if (!shape.implied.empty()) {
    std::set<std::string> required(shape.required.begin(), shape.required.end());
    for (size_t i = 0; i < shape.required.size(); i++) {
      for (const auto& [first, second] : shape.implied) {
        logic_.budget().step();
        if (first == shape.required[i] && required.insert(second).second) shape.required.push_back(second);
      }
    }
  }
  for (const std::string& name : shape.required) {
    if (is_empty(make_goal(about(shape.every, index, name)))) return false;
  }
  return !shape.max || *shape.max >= shape.required.size();
}

bool SchemaExpansion::possible(ArrayShape& shape) {
  constexpr uint64_t kLook = 32;  // positions looked at
  uint64_t end = 0;               // positions from here on are alike
  for (const ItemRule& rule : shape.every) end = std::max(end, rule.to == kNoEnd ? rule.from : rule.to);
  for (uint64_t i = 0; i <= std::min(end, kLook); i++) {
    if (shape.max && i >= *shape.max) break;
    if (is_empty(item(shape, i))) {
      shape.max = i;
      break;
    }
  }
  if (shape.max && *shape.max < shape.min) return false;
  std::vector<ItemCount> counts;
  for (ItemCount& count : shape.counts) {
    std::erase_if(count.options, [&](const ItemRule& option) {
      if (option.value == kFalse || (shape.max && option.from >= *shape.max)) return true;
      if (option.from < end && option.to != option.from + 1) return false;
      Goal goal = item(shape, option.from);
      goal.push_back(option.value);
      return is_empty(make_goal(std::move(goal)));
    });
    if (count.max && *count.max < count.min) return false;
    if (count.options.empty() && count.min > 0) return false;
    if (!count.options.empty()) counts.push_back(std::move(count));
  }
  shape.counts = std::move(counts);
  return true;
}

}  // namespace lancet
