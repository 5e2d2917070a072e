// Shapes of objects -> rules: the names that the shape speaks of become members, the remaining keys are divided by its
// patterns into regions in which every key is treated alike.
#include <algorithm>
#include <bit>

#include "base/error.h"
#include "grammar/schema_emit.h"

namespace lancet {
namespace {

constexpr size_t kMaxPatterns = 64, kMaxRegions = 256, kMaxValues = 256;

template <class T>
void add_new(std::vector<T>& to, const T& x) {
  if (std::ranges::find(to, x) == to.end()) to.push_back(x);
}

/// All rules about keys in a shape.
template <class Visit>
void for_each_rule(const ObjectShape& shape, Visit visit) {
  for (const KeyRule& rule : shape.every) visit(rule);
  for (const auto& options : shape.some) {
    for (const KeyRule& rule : options) visit(rule);
  }
}

}  // namespace

SchemaEmitter::ObjectPlan SchemaEmitter::plan(const ObjectShape& shape) {
  ObjectPlan plan{.shape = shape, .every = KeyIndex(shape.every), .some = {}, .names = {}, .patterns = {}};
  for (const auto& options : shape.some) plan.some.emplace_back(options);
  std::set<std::string, std::less<>> known;
  const auto name = [&](const std::string& text) {
    logic_.budget().step();
    if (known.insert(text).second) plan.names.push_back(text);
  };
  for_each_rule(shape, [&](const KeyRule& rule) {
    if (rule.keys.is_name) name(rule.keys.name);
  });
  std::ranges::for_each(shape.required, name);
  for (const auto& [first, second] : shape.implied) {
    name(first);
    name(second);
  }
  for_each_rule(shape, [&](const KeyRule& rule) {
    if (rule.keys.is_name) return;
    if (!rule.keys.others) return add_new(plan.patterns, rule.keys.pattern);
    std::ranges::for_each(rule.keys.others->names, name);
    for (const Term t : rule.keys.others->patterns) add_new(plan.patterns, t);
  });
  if (plan.patterns.size() > kMaxPatterns || shape.some.size() > 64) {
    throw Error{Fault::budget, "an object is subject to more than 64 patterns or conditions at once"};
  }
  return plan;
}

bool SchemaEmitter::covers(const ObjectPlan& plan, const Keys& keys, uint64_t patterns) const {
  const auto has = [&](Term t) {
    const auto at = std::ranges::find(plan.patterns, t) - plan.patterns.begin();
    return (patterns >> at) & 1;
  };
  if (keys.is_name) return false;
  return keys.others ? std::ranges::none_of(keys.others->patterns, has) : has(keys.pattern);
}

std::vector<SchemaEmitter::Region> SchemaEmitter::regions(const ObjectPlan& plan) {
  TermPool& terms = rules_.terms();
  std::vector<Term> names;
  for (const std::string& name : plan.names) names.push_back(terms.literal(name));
  std::vector<Region> out{{names.empty() ? terms.anything() : terms.complement(terms.either(names)), 0}};
  for (size_t i = 0; i < plan.patterns.size(); i++) {
    const Term pattern = plan.patterns[i];
    const bool forbidden = std::ranges::any_of(plan.shape.every, [&](const KeyRule& rule) {
      return !rule.keys.is_name && !rule.keys.others && rule.keys.pattern == pattern && rule.value == kFalse;
    });
    std::vector<Region> split;
    for (const Region& region : out) {
      logic_.budget().step();
      const Term outside = terms.both({region.keys, terms.complement(pattern)});
      if (!scalars_.is_empty(outside)) split.push_back({outside, region.patterns});
      if (forbidden) continue;
      const Term inside = terms.both({region.keys, pattern});
      if (!scalars_.is_empty(inside)) split.push_back({inside, region.patterns | uint64_t{1} << i});
    }
    out = std::move(split);
    if (out.size() > kMaxRegions)
      throw Error{Fault::budget, "the patterns about an object's keys overlap in too many ways"};
  }
  return out;
}

/// Ways in which the value of a key may be: as every rule says that is about it, and perhaps satisfying some of the
/// needs.
template <class About>
std::vector<ObjectRule::Value> SchemaEmitter::values(ObjectPlan& plan, About about) {
  struct Way {
    Goal goal;
    uint64_t needs = 0;
    bool operator==(const Way&) const = default;
  };
  std::vector<Way> ways{{make_goal(about(plan.shape.every, plan.every)), 0}};
  if (expansion_.is_empty(ways[0].goal)) return {};
  for (size_t i = 0; i < plan.shape.some.size(); i++) {
    const size_t before = ways.size();
    for (const Literal option : about(plan.shape.some[i], plan.some[i])) {
      for (size_t w = 0; w < before; w++) {
        std::vector<Literal> goal = ways[w].goal;
        goal.push_back(option);
        Way way{make_goal(std::move(goal)), ways[w].needs | uint64_t{1} << i};
        if (way.goal == ways[w].goal) {
          ways[w].needs = way.needs;  // satisfied in any case
        } else if (!expansion_.is_empty(way.goal)) {
          add_new(ways, way);
        }
      }
    }
    if (ways.size() > kMaxValues) throw Error{Fault::budget, "an object's conditions combine in too many ways"};
  }
  std::vector<ObjectRule::Value> out;
  for (const Way& way : ways) {
    plan.needs |= way.needs;
    out.push_back({rule(way.goal, false), way.needs});
  }
  return out;
}

bool SchemaEmitter::add_members(ObjectPlan& plan, ObjectRule& object) {
  std::map<std::string, uint32_t, std::less<>> index;
  const std::set<std::string> required(plan.shape.required.begin(), plan.shape.required.end());
  for (const std::string& name : plan.names) {
    ObjectRule::Member member{.name = name, .values = {}, .required = false, .requires_ = {}};
    member.values = values(plan, [&](const std::vector<KeyRule>& rules, const KeyIndex& all) {
      return expansion_.about(rules, all, name);
    });
    member.required = required.contains(name);
    if (member.values.empty() && member.required) return false;
    index.emplace(name, static_cast<uint32_t>(object.members.size()));
    object.members.push_back(std::move(member));
  }
  for (const auto& [first, second] : plan.shape.implied) {
    add_new(object.members[index.at(first)].requires_, index.at(second));
  }
  return true;
}

void SchemaEmitter::add_families(ObjectPlan& plan, ObjectRule& object) {
  for (const Region& region : regions(plan)) {
    std::vector<ObjectRule::Value> ways = values(plan, [&](const std::vector<KeyRule>& rules, const KeyIndex& all) {
      std::vector<Literal> literals;
      for (const uint32_t i : all.wide()) {
        if (covers(plan, rules[i].keys, region.patterns)) literals.push_back(rules[i].value);
      }
      return literals;
    });
    if (ways.empty()) continue;
    const auto same = std::ranges::find_if(object.families, [&](const ObjectRule::Family& family) {
      return std::ranges::equal(family.values, ways, [](const ObjectRule::Value& a, const ObjectRule::Value& b) {
        return a.rule == b.rule && a.needs == b.needs;
      });
    });
    if (same != object.families.end()) {
      same->keys = rules_.terms().either({same->keys, region.keys});
    } else {
      object.families.push_back({region.keys, std::move(ways)});
    }
  }
}

std::optional<RuleId> SchemaEmitter::object(ObjectShape& shape) {
  ObjectPlan plan = this->plan(shape);
  ObjectRule out{.min_members = shape.min, .max_members = shape.max, .any_order = options_.any_order};
  if (!add_members(plan, out)) return std::nullopt;
  add_families(plan, out);
  out.needs = shape.some.empty() ? 0 : ~uint64_t{0} >> (64 - shape.some.size());
  if (out.needs & ~plan.needs) return std::nullopt;
  if (out.families.empty() && out.min_members > out.members.size()) return std::nullopt;
  return rules_.object(std::move(out), options_.spacing);
}

}  // namespace lancet
