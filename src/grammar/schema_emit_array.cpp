// Shapes of arrays -> rules.
#include <algorithm>

#include "base/error.h"
#include "grammar/schema_emit.h"

namespace lancet {
namespace {

constexpr size_t kMaxCounters = 64, kMaxItems = 256;

}  // namespace

bool SchemaEmitter::structured(const Goal& goal) {
  const auto [slot, fresh] = structured_.try_emplace(goal, true);
  if (fresh) slot->second = !expansion_.objects(goal).empty() || !expansion_.arrays(goal).empty();
  return slot->second;
}

/// Whether the rule must compare items. Throws where it would have to compare objects or arrays.
bool SchemaEmitter::must_be_unique(const ArrayShape& shape, uint64_t end) {
  if (shape.unique.empty() || (shape.max && *shape.max <= 1)) return false;
  for (uint64_t i = 0; i <= end; i++) {
    if (shape.max && i >= *shape.max) break;
    if (!structured(expansion_.item(shape, i))) continue;
    throw Error{Fault::unsupported, "uniqueItems cannot be enforced where items may be objects or arrays",
                shape.unique};
  }
  return true;
}

/// Ways in which the item at a position may be, and which counters it then adds to.
std::vector<ArrayRule::Item> SchemaEmitter::items(const ArrayShape& shape, uint64_t position, uint64_t& provided) {
  struct Way {
    Goal goal;
    uint64_t counts = 0;
  };
  std::vector<Way> ways{{expansion_.item(shape, position), 0}};
  for (size_t c = 0; c < shape.counts.size(); c++) {
    const ItemCount& count = shape.counts[c];
    std::vector<Way> more;
    std::vector<Literal> none;
    for (const ItemRule& option : count.options) {
      if (position < option.from || position >= option.to) continue;
      none.push_back(negated(option.value));
      for (const Way& way : ways) {
        std::vector<Literal> goal = way.goal;
        goal.push_back(option.value);
        more.push_back({make_goal(std::move(goal)), way.counts | uint64_t{1} << c});
      }
    }
    for (Way& way : ways) {
      // With an upper bound, what satisfies an option must be counted.
      std::vector<Literal> goal = way.goal;
      if (count.max) goal.insert(goal.end(), none.begin(), none.end());
      more.push_back({make_goal(std::move(goal)), way.counts});
    }
    std::erase_if(more, [&](const Way& way) { return expansion_.is_empty(way.goal); });
    ways = std::move(more);
    if (ways.size() > kMaxItems) throw Error{Fault::budget, "an array's conditions combine in too many ways"};
  }
  std::vector<ArrayRule::Item> out;
  for (const Way& way : ways) {
    if (expansion_.is_empty(way.goal)) continue;
    provided |= way.counts;
    out.push_back({rule(way.goal, !shape.unique.empty()), way.counts});
  }
  return out;
}

std::optional<RuleId> SchemaEmitter::array(ArrayShape& shape) {
  uint64_t end = 0;  // positions from here on are alike
  const auto widen = [&](const ItemRule& rule) {
    end = std::max(end, rule.from);
    if (rule.to != kNoEnd) end = std::max(end, rule.to);
  };
  std::ranges::for_each(shape.every, widen);
  for (const ItemCount& count : shape.counts) std::ranges::for_each(count.options, widen);
  if (shape.counts.size() > kMaxCounters) throw Error{Fault::budget, "an array has more than 64 conditions to count"};
  if (!must_be_unique(shape, end)) shape.unique.clear();
  ArrayRule out{.min_items = shape.min, .max_items = shape.max, .unique = !shape.unique.empty()};
  uint64_t provided = 0;
  for (uint64_t i = 0; i < end && (!shape.max || i < *shape.max); i++) {
    std::vector<ArrayRule::Item> ways = items(shape, i, provided);
    if (ways.empty()) {
      shape.max = out.max_items = i;
      break;
    }
    out.prefix.push_back(std::move(ways));
  }
  if (!shape.max || *shape.max > end) out.rest = items(shape, end, provided);
  for (size_t c = 0; c < shape.counts.size(); c++) {
    const ItemCount& count = shape.counts[c];
    out.counters.push_back({count.min, count.max});
    if (count.min > 0 && !((provided >> c) & 1)) return std::nullopt;
    if (out.max_items && count.min > *out.max_items) return std::nullopt;
  }
  if (out.max_items && out.min_items > *out.max_items) return std::nullopt;
  if (out.rest.empty() && out.min_items > out.prefix.size()) return std::nullopt;
  return rules_.array(std::move(out), options_.spacing);
}

}  // namespace lancet
