#include <algorithm>
#include <bit>

#include "grammar/lexemes.h"
#include "grammar/plans.h"

namespace lancet {
namespace {

constexpr uint64_t kSingly = 64;   // members of a family whose growing costs are looked at one by one
constexpr size_t kMostNeeds = 10;  // needs missing at once that are planned exactly; a set of them is a bit mask

int64_t plus(int64_t a, int64_t b) { return std::min(kNever, a + b); }

int64_t cheapest_value(const std::vector<ObjectRule::Value>& values, const RuleCosts& costs) {
  int64_t best = kNever;
  for (const auto& value : values) best = std::min(best, costs[value.rule]);
  return best;
}

int64_t around(const ObjectBody& body, const RuleCosts& costs) {
  return plus(costs[body.marks.colon], costs[body.marks.comma]);
}

/// Plans what must still come.
class Planner {
 public:
  Planner(const ObjectBody& body, const ObjectProgress& progress, const RuleCosts& costs)
      : body_(body), progress_(progress), costs_(costs), chosen_(body.rule.members.size()) {}

  int64_t plan(uint64_t at_least) {
    for (uint32_t m = 0; m < members(); ++m) {
      if (body_.rule.members[m].required && !progress_.has(m)) choose(m);
      if (progress_.has(m)) choose_required_by(m);
    }
    while (!open_.empty() && cost_ < kNever) {
      const uint32_t m = open_.back();
      open_.pop_back();
      choose_required_by(m);
    }
    if (cost_ < kNever && (body_.rule.needs & ~progress_.needs) != 0) satisfy_needs();
    const uint64_t min = body_.rule.min_members;
    uint64_t wanted = std::max(at_least, min > progress_.count ? min - progress_.count : 0);
    if (cost_ < kNever && wanted > added_) fill(wanted - added_);
    const auto& max = body_.rule.max_members;
    return max && progress_.count + added_ > *max ? kNever : cost_;
  }

 private:
  uint32_t members() const { return static_cast<uint32_t>(body_.rule.members.size()); }
  bool available(uint32_t m) const {
    return !progress_.has(m) && (body_.rule.any_order || m >= progress_.place) && member_cost(m) < kNever;
  }
  int64_t around() const { return lancet::around(body_, costs_); }
  int64_t member_cost(uint32_t m) const { return lancet::member_cost(body_, m, costs_); }
  void choose(uint32_t m) {
    if (chosen_[m] || progress_.has(m)) return;
    cost_ = plus(cost_, available(m) ? member_cost(m) : kNever);
    chosen_[m] = true;
    ++added_;
    open_.push_back(m);
  }
  void choose_required_by(uint32_t m) {
    for (const uint32_t other : body_.rule.members[m].requires_) choose(other);
  }

  /// Of the next key of a family, when so many more were planned.
  int64_t key_cost(size_t family, uint64_t planned) const {
    if (body_.family_keys[family] == 0) return kNever;
    return body_.family_costs[family].at(progress_.other_count + planned);
  }

  struct Way {
    uint64_t needs;
    int64_t cost;
    uint64_t members;
    std::optional<uint32_t> member;  // that was not chosen otherwise
  };
  /// Ways of one member, of which one can be taken; or of a family, of which each can be taken again.
  std::vector<Way> member_ways(uint32_t m) const {
    std::vector<Way> ways;
    if (!chosen_[m] && !available(m)) return ways;
    const auto& values = body_.rule.members[m].values;
    const auto [others_cost, others] = chosen_[m] ? std::pair<int64_t, uint64_t>(0, 0) : cost_of_requirements(m);
    for (const auto& value : values) {
      if (value.needs == 0 || costs_[value.rule] >= kNever || others_cost >= kNever) continue;
      const int64_t own = chosen_[m] ? costs_[value.rule] - cheapest_value(values, costs_)
                                     : plus(plus(body_.key_costs[m], around()), costs_[value.rule]);
      ways.push_back({value.needs, plus(own, others_cost), chosen_[m] ? 0 : 1 + others,
                      chosen_[m] ? std::nullopt : std::optional(m)});
    }
    return ways;
  }
  std::vector<Way> family_ways() const {
    std::vector<Way> ways;
    for (size_t f = 0; f < body_.rule.families.size(); ++f) {
      for (const auto& value : body_.rule.families[f].values) {
        const int64_t cost = plus(plus(key_cost(f, 0), around()), costs_[value.rule]);
        if (value.needs != 0 && cost < kNever) ways.push_back({value.needs, cost, 1, std::nullopt});
      }
    }
    return ways;
  }
  /// What a member that was not chosen brings with it.
  std::pair<int64_t, uint64_t> cost_of_requirements(uint32_t member) const {
    std::vector<uint32_t> open{member};
    std::vector<bool> counted(members());
    counted[member] = true;
    int64_t cost = 0;
    uint64_t added = 0;
    while (!open.empty()) {
      const uint32_t m = open.back();
      open.pop_back();
      for (const uint32_t other : body_.rule.members[m].requires_) {
        if (counted[other] || chosen_[other] || progress_.has(other)) continue;
        counted[other] = true;
        cost = plus(cost, available(other) ? member_cost(other) : kNever);
        ++added;
        open.push_back(other);
      }
    }
    return {cost, added};
  }

  struct Best {
    int64_t cost = kNever;
    uint64_t members = UINT32_MAX;
    std::vector<uint32_t> taken;
  };
  /// With a bound on members the fewest count first.
  bool better(const Best& a, const Best& b) const {
    if (a.cost >= kNever || b.cost >= kNever) return a.cost < b.cost;
    if (body_.rule.max_members && a.members != b.members) return a.members < b.members;
    return a.cost < b.cost;
  }
  /// The best set of ways that covers the needs: by covered needs, what it costs.
  void satisfy_needs() {
    std::vector<uint64_t> bits;
    for (uint64_t rest = body_.rule.needs & ~progress_.needs; rest != 0; rest &= rest - 1)
      bits.push_back(rest & (~rest + 1));
    if (bits.size() > kMostNeeds) bits.resize(kMostNeeds);
    std::vector<Best> best(size_t{1} << bits.size());
    best[0] = {0, 0, {}};
    const auto take = [&](const std::vector<Best>& from, const Way& way) {
      size_t covers = 0;
      for (size_t i = 0; i < bits.size(); ++i) covers |= (way.needs & bits[i]) != 0 ? size_t{1} << i : 0;
      for (size_t mask = 0; mask < best.size(); ++mask) {
        if (from[mask].cost >= kNever) continue;
        Best next{plus(from[mask].cost, way.cost), from[mask].members + way.members, from[mask].taken};
        if (way.member) next.taken.push_back(*way.member);
        if (better(next, best[mask | covers])) best[mask | covers] = next;
      }
    };
    for (uint32_t m = 0; m < members(); ++m) {
      const std::vector<Way> ways = member_ways(m);
      if (ways.empty()) continue;
      const std::vector<Best> before = best;
      for (const Way& way : ways) take(before, way);
    }
    const std::vector<Way> again = family_ways();
    for (size_t round = 0; round < bits.size(); ++round) {
      for (const Way& way : again) take(std::vector<Best>(best), way);
    }
    cost_ = plus(cost_, best.back().cost);
    added_ += best.back().cost < kNever ? best.back().members : 0;
    for (const uint32_t m : best.back().taken) chosen_[m] = true;
  }
  /// So many more members, the cheapest first.
  void fill(uint64_t wanted) {
    std::vector<std::pair<int64_t, uint64_t>> offers;  // cost, how often
    for (uint32_t m = 0; m < members(); ++m) {
      if (!chosen_[m] && available(m) && cost_of_requirements(m).second == 0) offers.emplace_back(member_cost(m), 1);
    }
    for (size_t f = 0; f < body_.rule.families.size(); ++f) {
      const int64_t value = plus(cheapest_value(body_.rule.families[f].values, costs_), around());
      const uint64_t keys = body_.family_keys[f];
      const uint64_t left = keys == kUnbounded ? kUnbounded : keys - std::min<uint64_t>(progress_.other_count, keys);
      const uint64_t singly = std::min({wanted, left, kSingly});
      for (uint64_t i = 0; i < singly; ++i) offers.emplace_back(plus(value, key_cost(f, i)), 1);
      if (left > singly) offers.emplace_back(plus(value, key_cost(f, singly)), left - singly);
    }
    std::sort(offers.begin(), offers.end());
    for (const auto& [cost, often] : offers) {
      const uint64_t taken = std::min(wanted, often);
      if (cost >= kNever) break;
      cost_ = taken > static_cast<uint64_t>(kNever / std::max<int64_t>(cost, 1))
                  ? kNever
                  : plus(cost_, cost * static_cast<int64_t>(taken));
      added_ += taken;
      if ((wanted -= taken) == 0) return;
    }
    // Members that bring others with them.
    for (uint32_t m = 0; m < members() && wanted > 0; ++m) {
      if (chosen_[m] || !available(m)) continue;
      const auto [cost, others] = cost_of_requirements(m);
      if (others == 0 || cost >= kNever) continue;
      cost_ = plus(cost_, plus(cost, member_cost(m)));
      added_ += 1 + others;
      wanted -= std::min(wanted, 1 + others);
    }
    if (wanted > 0) cost_ = kNever;
  }

  const ObjectBody& body_;
  const ObjectProgress& progress_;
  const RuleCosts& costs_;
  std::vector<bool> chosen_;
  std::vector<uint32_t> open_;  // chosen, whose own requirements were not looked at
  uint64_t added_ = 0;
  int64_t cost_ = 0;
};

}  // namespace

ObjectProgress::ObjectProgress(const Words& packed)
    : phase(static_cast<Phase>(packed.words[0] & 0xFF)),
      current(static_cast<uint32_t>(packed.words[0] >> 32)),
      place(static_cast<uint32_t>(packed.words[1])),
      others(static_cast<uint32_t>(packed.words[1] >> 32)),
      count(packed.words[2] & UINT32_MAX),
      needs(packed.words[3]),
      other_count(static_cast<uint32_t>(packed.words[2] >> 32)),
      seen(packed.words.begin() + 4, packed.words.end()) {}

Words ObjectProgress::pack() const {
  Words packed{{static_cast<uint64_t>(phase) | uint64_t{current} << 32, place | uint64_t{others} << 32,
                count | uint64_t{other_count} << 32, needs}};
  packed.words.insert(packed.words.end(), seen.begin(), seen.end());
  return packed;
}

const std::vector<ObjectRule::Value>& values_of(const ObjectBody& body, uint32_t member) {
  const auto& members = body.rule.members;
  return member < members.size() ? members[member].values : body.rule.families[member - members.size()].values;
}

ObjectProgress with_member(const ObjectBody& body, ObjectProgress progress, uint32_t member,
                           const ObjectRule::Value& value) {
  const auto members = static_cast<uint32_t>(body.rule.members.size());
  if (member < members) progress.seen[member / 64] |= uint64_t{1} << (member % 64);
  if (!body.rule.any_order) progress.place = std::min(member + 1, members);
  progress.needs |= value.needs & body.rule.needs;
  // Without an upper bound only the distance to the lower one matters.
  if (body.rule.max_members || progress.count < std::max<uint64_t>(body.rule.min_members, 1)) ++progress.count;
  if (!body.plain && member >= members) ++progress.other_count;
  progress.current = 0;
  progress.phase = ObjectProgress::Phase::value;
  return progress;
}

int64_t members_to_come(const ObjectBody& body, const ObjectProgress& progress, uint64_t at_least,
                        const RuleCosts& costs) {
  return Planner(body, progress, costs).plan(at_least);
}

int64_t member_cost(const ObjectBody& body, uint32_t member, const RuleCosts& costs) {
  return plus(plus(body.key_costs[member], around(body, costs)),
              cheapest_value(body.rule.members[member].values, costs));
}

int64_t cost_after_key(const ObjectBody& body, const ObjectProgress& progress, uint32_t member,
                       const RuleCosts& costs) {
  int64_t best = kNever;
  for (const auto& value : values_of(body, member)) {
    if (costs[value.rule] >= kNever) continue;
    const int64_t rest = members_to_come(body, with_member(body, progress, member, value), 0, costs);
    best = std::min(best, plus(costs[value.rule], rest));
  }
  return plus(best, costs[body.marks.colon]);
}

bool may_come(const ObjectBody& body, const ObjectProgress& progress, uint32_t member, const RuleCosts& costs) {
  const auto members = static_cast<uint32_t>(body.rule.members.size());
  if (member < members && (progress.has(member) || (!body.rule.any_order && member < progress.place))) return false;
  if (cheapest_value(values_of(body, member), costs) >= kNever) return false;
  if (!body.plain) return cost_after_key(body, progress, member, costs) < kNever;
  if (body.rule.any_order) return true;
  for (uint32_t m = progress.place; m < std::min(member, members); ++m) {
    if (body.rule.members[m].required) return false;
  }
  return true;
}

}  // namespace lancet
