#include <algorithm>
#include <bit>
#include <map>

#include "grammar/lexemes.h"
#include "grammar/plans.h"

namespace lancet {
namespace {

int64_t plus(int64_t a, int64_t b) { return std::min(kNever, a + b); }
int64_t times(int64_t cost, uint64_t often) {
  return often > static_cast<uint64_t>(kNever / std::max<int64_t>(cost, 1)) ? kNever
                                                                            : cost * static_cast<int64_t>(often);
}

constexpr uint64_t kSearched = 64;  // items up to which the best way to count is searched for
constexpr uint64_t kSingly = 256;   // different items whose growing costs are looked at one by one

/// Plans the items that must still come.
class Planner {
 public:
  Planner(const ArrayBody& body, ArrayProgress progress, const RuleCosts& costs)
      : body_(body), progress_(std::move(progress)), costs_(costs) {}

  int64_t plan(uint64_t at_least) {
    uint64_t most = std::max(at_least, body_.rule.min_items);
    for (const auto& counter : body_.rule.counters) most = std::min(kUnbounded / 2, most + counter.min);
    // Which item is best where several count differently is searched for; long arrays take the obvious one.
    if (!progress_.counts.empty() && most <= kSearched) return search(at_least, most + body_.rule.prefix.size());
    return obvious(at_least);
  }

 private:
  using Counts = std::vector<uint64_t>;

  /// The cheapest way, item by item: by what was counted so far, what it cost.
  int64_t search(uint64_t at_least, uint64_t most) {
    std::map<Counts, int64_t> ways{{progress_.counts, 0}};
    int64_t best = kNever;
    const uint64_t limit = std::min(body_.rule.max_items.value_or(kUnbounded), body_.different);
    const uint64_t begin = progress_.index;
    for (uint64_t added = 0; added <= most && !ways.empty(); ++added) {
      progress_.index = begin + added;
      if (progress_.index > limit) break;
      std::map<Counts, int64_t> next;
      for (const auto& [counts, cost] : ways) {
        progress_.counts = counts;
        if (added >= at_least && progress_.index >= body_.rule.min_items && lacking() == 0) best = std::min(best, cost);
        for (const auto& item : items_at(body_, progress_.index)) {
          const int64_t whole = plus(cost, cost_of(item, 1));
          if (!allowed(item) || whole >= best) continue;
          const auto [at, fresh] = next.try_emplace(counted(item), whole);
          if (!fresh) at->second = std::min(at->second, whole);
        }
      }
      ways = std::move(next);
    }
    return best;
  }
  Counts counted(const ArrayRule::Item& item) const {
    Counts counts = progress_.counts;
    for (size_t c = 0; c < counts.size(); ++c) {
      const auto& counter = body_.rule.counters[c];
      if (((item.counts >> c) & 1) != 0 && (counter.max || counts[c] < counter.min)) ++counts[c];
    }
    return counts;
  }
  int64_t obvious(uint64_t at_least) {
    int64_t cost = 0;
    uint64_t added = 0;
    while (added < at_least || progress_.index < body_.rule.min_items || lacking() != 0) {
      const ArrayRule::Item* item = best();
      if (item == nullptr) return kNever;
      const bool in_prefix = progress_.index < body_.rule.prefix.size();
      if (!in_prefix && lacking() != 0 && (item->counts & lacking()) == 0) return kNever;  // no item ever counts
      const uint64_t often = in_prefix ? 1 : repeats(*item, at_least > added ? at_least - added : 0);
      cost = plus(cost, cost_of(*item, often));
      for (size_t c = 0; c < progress_.counts.size(); ++c) progress_.counts[c] += ((item->counts >> c) & 1) * often;
      progress_.index += often;
      added += often;
      if (progress_.index > std::min(body_.rule.max_items.value_or(kUnbounded), body_.different)) return kNever;
    }
    return cost;
  }

  uint64_t lacking() const {
    uint64_t mask = 0;
    for (size_t c = 0; c < progress_.counts.size(); ++c) {
      if (progress_.counts[c] < body_.rule.counters[c].min) mask |= uint64_t{1} << c;
    }
    return mask;
  }
  bool allowed(const ArrayRule::Item& item) const {
    if (costs_[item.rule] >= kNever) return false;
    for (size_t c = 0; c < progress_.counts.size(); ++c) {
      const auto& max = body_.rule.counters[c].max;
      if (((item.counts >> c) & 1) != 0 && max && progress_.counts[c] >= *max) return false;
    }
    return true;
  }
  int64_t cost_of(const ArrayRule::Item& item, uint64_t often) const {
    const int64_t comma = costs_[body_.marks.comma];
    if (!body_.rule.unique || body_.item_costs.costs.empty()) return times(plus(costs_[item.rule], comma), often);
    int64_t cost = 0;
    const uint64_t singly = std::min(often, kSingly);
    for (uint64_t i = 0; i < singly; ++i) cost = plus(cost, plus(body_.item_costs.at(progress_.index + i), comma));
    return plus(cost, times(plus(body_.item_costs.at(progress_.index + often), comma), often - singly));
  }
  const ArrayRule::Item* best() const {
    const ArrayRule::Item* best = nullptr;
    for (const auto& item : items_at(body_, progress_.index)) {
      if (!allowed(item)) continue;
      const auto raised = [&](const ArrayRule::Item& i) { return std::popcount(i.counts & lacking()); };
      if (best == nullptr || raised(item) > raised(*best) ||
          (raised(item) == raised(*best) && costs_[item.rule] < costs_[best->rule])) {
        best = &item;
      }
    }
    return best;
  }
  /// How often the item is taken in a row beyond the prefix, before anything changes.
  uint64_t repeats(const ArrayRule::Item& item, uint64_t at_least) const {
    uint64_t often = kUnbounded;
    const uint64_t lack = lacking();
    for (size_t c = 0; c < progress_.counts.size(); ++c) {
      if (((item.counts >> c) & 1) == 0) continue;
      if ((lack >> c) & 1) often = std::min(often, body_.rule.counters[c].min - progress_.counts[c]);
      const auto& max = body_.rule.counters[c].max;
      if (max) often = std::min(often, *max - progress_.counts[c]);
    }
    if (lack == 0) {
      const uint64_t min = body_.rule.min_items;
      often = std::min(often, std::max(at_least, min > progress_.index ? min - progress_.index : 0));
    }
    return often == kUnbounded ? 1 : std::max<uint64_t>(often, 1);
  }

  const ArrayBody& body_;
  ArrayProgress progress_;
  const RuleCosts& costs_;
};

}  // namespace

ArrayProgress::ArrayProgress(const Words& packed)
    : phase(static_cast<Phase>(packed.words[0] & 0xFF)),
      items_seen(static_cast<uint32_t>(packed.words[0] >> 32)),
      index(packed.words[1]),
      counts(packed.words.begin() + 2, packed.words.end()) {}

Words ArrayProgress::pack() const {
  Words packed{{static_cast<uint64_t>(phase) | uint64_t{items_seen} << 32, index}};
  packed.words.insert(packed.words.end(), counts.begin(), counts.end());
  return packed;
}

const std::vector<ArrayRule::Item>& items_at(const ArrayBody& body, uint64_t index) {
  return index < body.rule.prefix.size() ? body.rule.prefix[index] : body.rule.rest;
}

ArrayProgress with_item(const ArrayBody& body, ArrayProgress progress, const ArrayRule::Item& item) {
  const uint64_t matters = std::max<uint64_t>(body.rule.prefix.size(), body.rule.min_items);
  const bool bounded = body.rule.max_items || body.rule.unique;
  if (bounded || progress.index < std::max<uint64_t>(matters, 1)) ++progress.index;
  for (size_t c = 0; c < progress.counts.size(); ++c) {
    const auto& counter = body.rule.counters[c];
    if (((item.counts >> c) & 1) != 0 && (counter.max || progress.counts[c] < counter.min)) ++progress.counts[c];
  }
  progress.phase = ArrayProgress::Phase::item;
  return progress;
}

int64_t items_to_come(const ArrayBody& body, const ArrayProgress& progress, uint64_t at_least, const RuleCosts& costs) {
  return Planner(body, progress, costs).plan(at_least);
}

bool may_come(const ArrayBody& body, const ArrayProgress& progress, const ArrayRule::Item& item,
              const RuleCosts& costs) {
  if (costs[item.rule] >= kNever ||
      progress.index >= std::min(body.rule.max_items.value_or(kUnbounded), body.different)) {
    return false;
  }
  for (size_t c = 0; c < progress.counts.size(); ++c) {
    const auto& max = body.rule.counters[c].max;
    if (((item.counts >> c) & 1) != 0 && max && progress.counts[c] >= *max) return false;
  }
  return items_to_come(body, with_item(body, progress, item), 0, costs) < kNever;
}

}  // namespace lancet
