// Whether a byte string belongs to a rule, the slow and obvious way: every end that a rule can reach from a position,
// by backtracking. It shares nothing with the matcher but the rules themselves, so the two can be compared.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/rules_state.h"

namespace lancet {

class RulesOracle {
 public:
  explicit RulesOracle(Rules& rules, uint64_t steps = UINT64_MAX)
      : rules_(rules), budget_("the oracle", {.steps = steps}) {}

  bool accepts(RuleId rule, std::string_view text) {
    text_ = text;
    ends_.clear();
    return ends(rule, 0).contains(text.size());
  }

 private:
  using Ends = std::set<size_t>;

  const Ends& ends(RuleId id, size_t from) {
    budget_.step();
    const auto [slot, fresh] = ends_.try_emplace({id, from});
    if (fresh) slot->second = walk(rules_.state().rules.at(id), from);
    return slot->second;
  }

  Ends walk(const Rule& rule, size_t from) {
    switch (rule.kind) {
      case Rule::Kind::alias: return ends(rule.index, from);
      case Rule::Kind::control: return {};
      case Rule::Kind::text:
        return rule.encoding == Encoding::utf8 ? plain(rule.term, from) : quoted_text(rule.term, from);
      case Rule::Kind::object: return object(rules_.state().objects[rule.index], from);
      case Rule::Kind::array: return array(rules_.state().arrays[rule.index], from);
      case Rule::Kind::repeat: return repeat(rule, from);
      case Rule::Kind::texts: {
        Ends out;
        for (const std::string& text : rules_.state().texts[rule.index].texts) {
          if (text_.substr(from).starts_with(text)) out.insert(from + text.size());
        }
        return out;
      }
      case Rule::Kind::either: {
        Ends out;
        for (const RuleId part : rule.parts) out.merge(Ends(ends(part, from)));
        return out;
      }
      case Rule::Kind::sequence: {
        Ends here{from};
        for (const RuleId part : rule.parts) here = after(here, part);
        return here;
      }
    }
    return {};
  }

  Ends after(const Ends& starts, RuleId rule) {
    Ends out;
    for (const size_t at : starts) out.merge(Ends(ends(rule, at)));
    return out;
  }

  Ends repeat(const Rule& rule, size_t from) {
    Ends here{from}, out;
    if (rule.min == 0) out.insert(from);
    for (uint64_t n = 1; n <= rule.max && !here.empty() && n <= rule.min + text_.size() + 1; n++) {
      here = after(here, rule.parts[0]);
      if (n >= rule.min) out.merge(Ends(here));
    }
    return out;
  }

  static size_t character(std::string_view text) {
    const auto byte = static_cast<unsigned char>(text[0]);
    return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
  }

  Ends plain(Term term, size_t from) {
    Ends out;
    for (size_t end = from;; end += character(text_.substr(end))) {
      if (rules_.terms().matches(term, text_.substr(from, end - from), budget_)) out.insert(end);
      if (end >= text_.size()) return out;
    }
  }

  /// The string that starts at `from`, and behind it; only in the one spelling.
  std::pair<std::string, size_t> string_at(size_t from) {
    if (from >= text_.size() || text_[from] != '"') return {"", 0};
    size_t end = from + 1;
    while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return {"", 0};
    std::string out;
    for (size_t i = from + 1; i < end; i++) {
      if (text_[i] != '\\') {
        out += text_[i];
        continue;
      }
      const char kind = text_[++i];
      if (kind == 'u') {
        out += static_cast<char>(std::stoi(std::string(text_.substr(i + 1, 4)), nullptr, 16));
        i += 4;
      } else {
        const size_t at = std::string_view("bfnrt").find(kind);
        out += at == std::string_view::npos ? kind : "\b\f\n\r\t"[at];
      }
    }
    const bool spelled = json_quoted(out) == text_.substr(from, end + 1 - from);
    return spelled ? std::pair{out, end + 1} : std::pair{std::string(), size_t{0}};
  }

  Ends quoted_text(Term term, size_t from) {
    const auto [text, end] = string_at(from);
    if (end == 0 || !rules_.terms().matches(term, text, budget_)) return {};
    return {end};
  }

  struct ObjectRun {
    std::set<std::string> keys;
    uint64_t needs = 0;
    int64_t last = -1;  // member index, or the number of members for a family
    auto operator<=>(const ObjectRun&) const = default;
  };

  Ends object(const ObjectBody& body, size_t from) {
    Ends out;
    for (const size_t at : ends(body.marks.open, from)) members(body, {}, at, out);
    if (complete(body, {})) out.merge(after(ends(body.marks.open, from), body.marks.close_empty));
    return out;
  }

  bool complete(const ObjectBody& body, const ObjectRun& run) {
    const ObjectRule& rule = body.rule;
    if (run.keys.size() < rule.min_members || (rule.max_members && run.keys.size() > *rule.max_members)) return false;
    if ((run.needs & rule.needs) != rule.needs) return false;
    for (const ObjectRule::Member& member : rule.members) {
      const bool present = run.keys.contains(member.name);
      if (member.required && !present) return false;
      for (const uint32_t other : member.requires_) {
        if (present && !run.keys.contains(rule.members[other].name)) return false;
      }
    }
    return true;
  }

  void members(const ObjectBody& body, const ObjectRun& run, size_t at, Ends& out) {
    const auto [key, end] = string_at(at);
    if (end == 0 || run.keys.contains(key)) return;
    const ObjectRule& rule = body.rule;
    const auto count = static_cast<int64_t>(rule.members.size());
    for (int64_t i = 0; i < count; i++) {
      const ObjectRule::Member& member = rule.members[static_cast<size_t>(i)];
      if (member.name == key && (rule.any_order || i > run.last)) values(body, run, key, member.values, i, end, out);
    }
    for (const ObjectRule::Family& family : rule.families) {
      if (rules_.terms().matches(family.keys, key, budget_)) values(body, run, key, family.values, count, end, out);
    }
  }

  void values(const ObjectBody& body, const ObjectRun& run, const std::string& key,
              const std::vector<ObjectRule::Value>& ways, int64_t index, size_t at, Ends& out) {
    for (const ObjectRule::Value& way : ways) {
      ObjectRun next = run;
      next.keys.insert(key);
      next.needs |= way.needs;
      next.last = index;
      for (const size_t end : after(Ends(ends(body.marks.colon, at)), way.rule)) {
        if (complete(body, next)) out.merge(Ends(ends(body.marks.close, end)));
        for (const size_t start : Ends(ends(body.marks.comma, end))) members(body, next, start, out);
      }
    }
  }

  struct ArrayRun {
    std::vector<std::string> items;
    std::vector<uint64_t> counts;
  };

  Ends array(const ArrayBody& body, size_t from) {
    Ends out;
    ArrayRun run{.items = {}, .counts = std::vector<uint64_t>(body.rule.counters.size())};
    for (const size_t at : Ends(ends(body.marks.open, from))) items(body, run, at, out);
    if (complete(body, run)) out.merge(after(Ends(ends(body.marks.open, from)), body.marks.close_empty));
    return out;
  }

  bool complete(const ArrayBody& body, const ArrayRun& run) {
    const ArrayRule& rule = body.rule;
    if (run.items.size() < rule.min_items || (rule.max_items && run.items.size() > *rule.max_items)) return false;
    for (size_t i = 0; i < rule.counters.size(); i++) {
      if (run.counts[i] < rule.counters[i].min || (rule.counters[i].max && run.counts[i] > *rule.counters[i].max))
        return false;
    }
    return !rule.unique || std::set<std::string>(run.items.begin(), run.items.end()).size() == run.items.size();
  }

  void items(const ArrayBody& body, const ArrayRun& run, size_t at, Ends& out) {
    const size_t position = run.items.size();
    const auto& ways = position < body.rule.prefix.size() ? body.rule.prefix[position] : body.rule.rest;
    if (body.rule.max_items && position >= *body.rule.max_items) return;
    for (const ArrayRule::Item& way : ways) {
      for (const size_t end : Ends(ends(way.rule, at))) {
        ArrayRun next = run;
        next.items.emplace_back(text_.substr(at, end - at));
        for (size_t c = 0; c < next.counts.size(); c++) next.counts[c] += (way.counts >> c) & 1;
        if (complete(body, next)) out.merge(Ends(ends(body.marks.close, end)));
        for (const size_t start : Ends(ends(body.marks.comma, end))) items(body, next, start, out);
      }
    }
  }

  Rules& rules_;
  Budget budget_;
  std::string_view text_;
  std::map<std::pair<RuleId, size_t>, Ends> ends_;
};

}  // namespace lancet
