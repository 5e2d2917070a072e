#include <algorithm>

#include "grammar/machine.h"

namespace lancet {

void Machine::resume_array(const Frame& made, TextId text, uint32_t moved, Closure& closure) {
  using Phase = ArrayProgress::Phase;
  const ArrayBody& body = rules_.arrays[rules_.rules[made.rule].index];
  ArrayProgress progress(progress_[made.at]);
  if (progress.phase == Phase::comma) return offer_items(made, progress, moved, closure);
  const bool opened = progress.phase == Phase::opened;
  if (!opened && body.rule.unique) progress.items_seen = with(progress.items_seen, text);
  if (items_to_come(body, progress, 0, costs_) == 0) {
    closure.add(Work::Kind::enter, opened ? body.marks.close_empty : body.marks.close, made.parent, 0, moved);
  }
  if (opened) return offer_items(made, progress, moved, closure);
  const auto& items = items_at(body, progress.index);
  const auto possible = [&](const ArrayRule::Item& item) {
    return may_come(body, progress, item, costs_) &&
           (!body.rule.unique || has_other(item.rule, progress.items_seen, closure.budget));
  };
  if (std::none_of(items.begin(), items.end(), possible)) return;
  progress.phase = Phase::comma;
  const FrameId next = frame(made.rule, made.parent, progress_.id(progress.pack()), &closure, moved, closure.budget);
  closure.add(Work::Kind::enter, body.marks.comma, next, 0, 0);
}

/// Whether the rule, which is made of texts, has one that is not in the set.
bool Machine::has_other(RuleId item, uint32_t set, Budget& budget) {
  std::vector<RuleId> open{item};
  while (!open.empty()) {
    budget.step();
    Position position{.rule = open.back()};
    open.pop_back();
    const Rule& rule = rules_.rules[position.rule];
    if (costs_[position.rule] >= kNever) continue;
    if (rule.kind == Rule::Kind::alias) open.push_back(rule.index);
    open.insert(open.end(), rule.parts.begin(), rule.parts.end());
    if (rule.kind != Rule::Kind::text && rule.kind != Rule::Kind::texts) continue;
    if (rule.kind == Rule::Kind::text) {
      position.a = lexemes_.start(rule.term, rule.encoding);
    } else {
      position.kind = Position::Kind::texts;
      position.b = static_cast<uint32_t>(rules_.texts[rule.index].texts.size());
    }
    keep_text(position, set);
    if (alive(position, budget)) return true;
  }
  return false;
}

void Machine::offer_items(const Frame& made, const ArrayProgress& progress, uint32_t moved, Closure& closure) {
  const ArrayBody& body = rules_.arrays[rules_.rules[made.rule].index];
  for (const auto& item : items_at(body, progress.index)) {
    if (!may_come(body, progress, item, costs_)) continue;
    const Words after = with_item(body, progress, item).pack();
    const FrameId next = frame(made.rule, made.parent, progress_.id(after), &closure, moved, closure.budget);
    closure.add(Work::Kind::enter, item.rule, next, 0, 0);
  }
}

int64_t Machine::array_cost(const ArrayBody& body, const ArrayProgress& progress) {
  const bool comma = progress.phase == ArrayProgress::Phase::comma;  // that of the next item was read
  const int64_t rest = items_to_come(body, progress, comma ? 1 : 0, costs_) - (comma ? costs_[body.marks.comma] : 0);
  return std::min(kNever, rest + costs_[body.marks.close]);
}

}  // namespace lancet
