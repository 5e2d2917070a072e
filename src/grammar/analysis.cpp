#include "grammar/analysis.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <tuple>

#include "base/check.h"
#include "base/error.h"

namespace lancet {
namespace {

constexpr uint64_t kManyKeys = 1000;               // a family with so many is not counted further
constexpr size_t kFewKeys = 64;                    // of different texts so many are looked at for their costs
constexpr size_t kExactTexts = 256;                // choices up to which each one's tokens are counted
constexpr uint64_t kMostRepeats = UINT32_MAX / 2;  // frames count in 32 bits

/// Calls visit(rule) for every rule that this one is made of.
template <typename Visit>
void for_parts(const Rules::State& rules, const Rule& rule, Visit visit) {
  switch (rule.kind) {
    case Rule::Kind::alias: visit(rule.index); break;
    case Rule::Kind::object: {
      const ObjectBody& body = rules.objects[rule.index];
      for (const RuleId mark : {body.marks.open, body.marks.colon, body.marks.comma, body.marks.close}) visit(mark);
      for (const auto& member : body.rule.members) {
        for (const auto& value : member.values) visit(value.rule);
      }
      for (const auto& family : body.rule.families) {
        for (const auto& value : family.values) visit(value.rule);
      }
      break;
    }
    case Rule::Kind::array: {
      const ArrayBody& body = rules.arrays[rule.index];
      for (const RuleId mark : {body.marks.open, body.marks.comma, body.marks.close}) visit(mark);
      for (const auto& items : body.rule.prefix) {
        for (const auto& item : items) visit(item.rule);
      }
      for (const auto& item : body.rule.rest) visit(item.rule);
      break;
    }
    default:
      for (const RuleId part : rule.parts) visit(part);
  }
}

class Analysis {
 public:
  Analysis(Rules::State& rules, const TokenTrie& trie, Lexemes& lexemes, Budget& budget)
      : rules_(rules), trie_(trie), lexemes_(lexemes), budget_(budget), users_(rules.rules.size()) {
    for (RuleId id = 0; id < rules.rules.size(); ++id) {
      const Rule& rule = rules.rules[id];
      CHECK(rule.kind != Rule::Kind::alias || rule.min == 1);  // declared and never defined
      for_parts(rules, rule, [&](RuleId part) { users_[part].push_back(id); });
      budget.step();
    }
  }

  RuleCosts run() {
    find_empty();
    refuse_left_recursion();
    fill_tables();
    RuleCosts costs(rules_.rules.size(), kNever);
    settle([&](RuleId id) {
      const int64_t cost = cost_of(rules_.rules[id], costs);
      if (cost >= costs[id]) return false;
      costs[id] = cost;
      return true;
    });
    count_different(costs);
    return costs;
  }

 private:
  /// Looks at every rule, and again at those that use one that changed.
  template <typename Look>
  void settle(Look look) {
    std::deque<RuleId> queue;
    std::vector<bool> queued(rules_.rules.size(), true);
    for (RuleId id = 0; id < rules_.rules.size(); ++id) queue.push_back(id);
    while (!queue.empty()) {
      const RuleId id = queue.front();
      queue.pop_front();
      queued[id] = false;
      budget_.step(rules_.rules[id].parts.size() + 1);
      if (!look(id)) continue;
      for (const RuleId user : users_[id]) {
        if (!queued[user]) queue.push_back(user);
        queued[user] = true;
      }
    }
  }

  bool may_be_empty(const Rule& rule) const {
    const auto empty = [&](RuleId part) { return empty_[part]; };
    switch (rule.kind) {
      case Rule::Kind::text: return rule.encoding == Encoding::utf8 && rules_.terms.nullable(rule.term);
      case Rule::Kind::texts: return rules_.texts[rule.index].texts[0].empty();
      case Rule::Kind::alias: return empty_[rule.index];
      case Rule::Kind::sequence: return std::all_of(rule.parts.begin(), rule.parts.end(), empty);
      case Rule::Kind::either: return std::any_of(rule.parts.begin(), rule.parts.end(), empty);
      case Rule::Kind::repeat: return rule.min == 0 || empty_[rule.parts[0]];
      default: return false;
    }
  }
  void find_empty() {
    empty_.assign(rules_.rules.size(), false);
    settle([&](RuleId id) {
      if (empty_[id] || !may_be_empty(rules_.rules[id])) return false;
      empty_[id] = true;
      return true;
    });
    for (Rule& rule : rules_.rules) {
      if (rule.kind != Rule::Kind::repeat) continue;
      // Repetitions that read nothing need not be counted.
      if (empty_[rule.parts[0]]) rule.min = 0;
      if (rule.min > kMostRepeats || (rule.max != kUnbounded && rule.max > kMostRepeats)) {
        throw Error(Fault::bad_request,
                    "a repetition of more than " + std::to_string(kMostRepeats) + " times is wanted");
      }
    }
  }

  /// The rules that this one may begin with.
  std::vector<RuleId> beginnings(const Rule& rule) const {
    if (rule.kind == Rule::Kind::alias) return {rule.index};
    if (rule.kind == Rule::Kind::either || rule.kind == Rule::Kind::repeat) return rule.parts;
    std::vector<RuleId> first;
    if (rule.kind != Rule::Kind::sequence) return first;
    for (const RuleId part : rule.parts) {
      first.push_back(part);
      if (!empty_[part]) break;
    }
    return first;
  }
  void refuse_left_recursion() {
    enum : uint8_t { fresh, open, done };
    std::vector<uint8_t> state(rules_.rules.size(), fresh);
    struct Visit {
      RuleId rule;
      std::vector<RuleId> next;
    };
    for (RuleId root = 0; root < rules_.rules.size(); ++root) {
      if (state[root] != fresh) continue;
      std::vector<Visit> path{{root, beginnings(rules_.rules[root])}};
      state[root] = open;
      while (!path.empty()) {
        budget_.step();
        if (path.back().next.empty()) {
          state[path.back().rule] = done;
          path.pop_back();
          continue;
        }
        const RuleId to = path.back().next.back();
        path.back().next.pop_back();
        if (state[to] == open) {
          throw Error(Fault::bad_request, "left recursion: a rule begins with itself, so nothing ever gets read");
        }
        if (state[to] == done) continue;
        state[to] = open;
        path.push_back({to, beginnings(rules_.rules[to])});
      }
    }
  }

  int64_t text_cost(Term term, Encoding encoding) {
    const Lexemes::State start = lexemes_.start(term, encoding);
    return start == 0 ? kNever : lexemes_.cost(start, budget_);
  }
  Rising rising(Term term, Encoding encoding, size_t count) {
    // Variants of one object (a union, a negation) have families of the same keys.
    const auto [slot, fresh] = rising_.try_emplace({term.id, encoding, count});
    if (!fresh) return slot->second;
    Rising costs{lexemes_.shortest(lexemes_.start(term, encoding), count, budget_)};
    if (costs.costs.empty()) costs.costs.push_back(text_cost(term, encoding));
    return slot->second = std::move(costs);
  }
  int64_t tokens(std::string_view text) {
    budget_.step(text.size());
    return trie_.greedy_tokens(text).value_or(kNever);
  }
  void fill_tables() {
    for (ObjectBody& body : rules_.objects) {
      body.key_costs.resize(body.members.size());
      for (size_t i = 0; i < body.members.size(); ++i) {
        const std::string& key = body.keys.texts[i];
        budget_.step(key.size() * 4);
        budget_.charge(key.size() * sizeof(int32_t));
        const auto& suffixes = body.key_suffixes.emplace_back(trie_.greedy_suffixes(key));
        body.key_costs[body.members[i]] = suffixes[0] == INT32_MAX ? kNever : suffixes[0];
      }
      for (const auto& family : body.rule.families) {
        body.family_costs.push_back(rising(family.keys, Encoding::json_string, body.plain ? 1 : kFewKeys));
        const uint64_t keys = rules_.terms.count(family.keys, kManyKeys, budget_);
        body.family_keys.push_back(keys >= kManyKeys ? kUnbounded : keys);
      }
    }
  }

  int64_t cost_of(const Rule& rule, const RuleCosts& costs) {
    int64_t cost = 0;
    switch (rule.kind) {
      case Rule::Kind::text: return text_cost(rule.term, rule.encoding);
      case Rule::Kind::texts: {
        const auto& texts = rules_.texts[rule.index].texts;
        cost = kNever;
        for (const std::string& text : texts) {
          cost = std::min(cost, texts.size() <= kExactTexts ? tokens(text) : static_cast<int64_t>(text.size()));
        }
        budget_.step(texts.size());
        return cost;
      }
      case Rule::Kind::control: return 1;
      case Rule::Kind::alias: return costs[rule.index];
      case Rule::Kind::either:
        cost = kNever;
        for (const RuleId part : rule.parts) cost = std::min(cost, costs[part]);
        return cost;
      case Rule::Kind::sequence:
        for (const RuleId part : rule.parts) cost = std::min(kNever, cost + costs[part]);
        return cost;
      case Rule::Kind::repeat: {
        const int64_t each = costs[rule.parts[0]];
        if (rule.min == 0) return 0;
        return each > kNever / static_cast<int64_t>(rule.min) ? kNever : each * static_cast<int64_t>(rule.min);
      }
      case Rule::Kind::object: {
        const ObjectBody& body = rules_.objects[rule.index];
        budget_.step(body.rule.members.size());
        return around(body.marks, members_to_come(body, ObjectProgress(body), 0, costs), costs);
      }
      case Rule::Kind::array: {
        const ArrayBody& body = rules_.arrays[rule.index];
        return around(body.marks, items_to_come(body, ArrayProgress(body), 0, costs), costs);
      }
    }
    return kNever;
  }
  static int64_t around(const Punctuation& marks, int64_t inside, const RuleCosts& costs) {
    return std::min(kNever, costs[marks.open] + inside + costs[marks.close]);
  }

  /// How many different items an array of different ones can have, and what they cost.
  void count_different(RuleCosts& costs) {
    bool changed = false;
    for (ArrayBody& body : rules_.arrays) {
      if (!body.rule.unique) continue;
      changed = true;
      body.different = 0;
      texts_seen_.clear();
      for (const auto& items : body.rule.prefix) {
        for (const auto& item : items) add_different(item.rule, body, costs);
      }
      for (const auto& item : body.rule.rest) add_different(item.rule, body, costs);
      std::sort(body.item_costs.costs.begin(), body.item_costs.costs.end());
    }
    if (!changed) return;
    costs.assign(costs.size(), kNever);
    settle([&](RuleId id) {
      const int64_t cost = cost_of(rules_.rules[id], costs);
      if (cost >= costs[id]) return false;
      costs[id] = cost;
      return true;
    });
  }

  void add_different(RuleId id, ArrayBody& body, const RuleCosts& costs) {
    if (costs[id] >= kNever) return;
    const Rule* rule = &rules_.rules[id];
    for (; rule->kind == Rule::Kind::alias; rule = &rules_.rules[rule->index]) budget_.step();
    for (const RuleId part : rule->kind == Rule::Kind::either ? rule->parts : std::vector<RuleId>()) {
      add_different(part, body, costs);
    }
    uint64_t texts = 0;
    std::vector<int64_t> found;
    if (rule->kind == Rule::Kind::texts) {
      for (const std::string& text : rules_.texts[rule->index].texts) {
        if (texts_seen_.insert(text).second) found.push_back(tokens(text));
      }
      texts = found.size();
    } else if (rule->kind == Rule::Kind::text) {
      texts = rules_.terms.count(rule->term, kManyKeys, budget_);
      const uint64_t wanted = std::max<uint64_t>(body.rule.min_items + body.rule.prefix.size(), 1);
      found = rising(rule->term, rule->encoding, std::min<uint64_t>(wanted, kManyKeys)).costs;
    }
    body.item_costs.costs.insert(body.item_costs.costs.end(), found.begin(), found.end());
    body.different = texts >= kManyKeys || body.different == kUnbounded ? kUnbounded : body.different + texts;
  }

  Rules::State& rules_;
  const TokenTrie& trie_;
  Lexemes& lexemes_;
  Budget& budget_;
  std::vector<std::vector<RuleId>> users_;
  std::vector<bool> empty_;
  std::map<std::tuple<uint32_t, Encoding, size_t>, Rising> rising_;
  std::set<std::string_view> texts_seen_;  // of the items of the array that is looked at
};

}  // namespace

RuleCosts analyse(Rules::State& rules, const TokenTrie& trie, Lexemes& lexemes, Budget& budget) {
  return Analysis(rules, trie, lexemes, budget).run();
}

}  // namespace lancet
