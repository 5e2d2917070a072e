#include <algorithm>

#include "grammar/machine.h"

namespace lancet {

void Machine::resume_object(const Frame& made, TextId text, uint32_t moved, Closure& closure) {
  using Phase = ObjectProgress::Phase;
  const ObjectBody& body = rules_.objects[rules_.rules[made.rule].index];
  ObjectProgress progress(progress_[made.at]);
  const auto members = static_cast<uint32_t>(body.rule.members.size());
  const auto families = static_cast<uint32_t>(body.rule.families.size());
  const auto goes_on = [&](const ObjectProgress& to) {
    return frame(made.rule, made.parent, progress_.id(to.pack()), &closure, moved, closure.budget);
  };
  closure.budget.step(members + 1);
  switch (progress.phase) {
    case Phase::key:  // the key of a family was read
      progress.others = with(progress.others, text);
      progress.phase = Phase::colon;
      return closure.add(Work::Kind::enter, body.marks.colon, goes_on(progress), 0, 0);
    case Phase::colon:
      for (const auto& value : values_of(body, progress.current)) {
        if (costs_[value.rule] >= kNever) continue;
        const ObjectProgress after = with_member(body, progress, progress.current, value);
        if (!body.plain && members_to_come(body, after, 0, costs_) >= kNever) continue;
        closure.add(Work::Kind::enter, value.rule, goes_on(after), 0, 0);
      }
      return;
    case Phase::comma: return offer_keys(made, progress, closure);
    case Phase::opened:
    case Phase::value: break;
  }
  const bool opened = progress.phase == Phase::opened;
  if (members_to_come(body, progress, 0, costs_) == 0) {
    closure.add(Work::Kind::enter, opened ? body.marks.close_empty : body.marks.close, made.parent, 0, moved);
  }
  if (opened) return offer_keys(made, progress, closure);
  bool more = false;
  for (uint32_t m = 0; m < members + families && !more; ++m) {
    more = may_come(body, progress, m, costs_) &&
           (m < members || family_has_key(body, m - members, progress, closure.budget));
  }
  if (!more) return;
  progress.phase = Phase::comma;
  closure.add(Work::Kind::enter, body.marks.comma, goes_on(progress), 0, 0);
}

/// The position of a family's key before its first byte.
Position Machine::family_key(RuleId object, const ObjectBody& body, uint32_t family, const ObjectProgress& progress) {
  Position position{.rule = object, .a = lexemes_.start(body.rule.families[family].keys, Encoding::json_string)};
  keep_text(position, progress.others);
  return position;
}

bool Machine::family_has_key(const ObjectBody& body, uint32_t family, const ObjectProgress& progress, Budget& budget) {
  const Position position = family_key(0, body, family, progress);
  return position.a != 0 && alive(position, budget);
}

void Machine::offer_keys(const Frame& made, ObjectProgress progress, Closure& closure) {
  const ObjectBody& body = rules_.objects[rules_.rules[made.rule].index];
  const auto members = static_cast<uint32_t>(body.rule.members.size());
  progress.phase = ObjectProgress::Phase::key;
  progress.current = 0;
  const auto goes_on = [&] {
    return frame(made.rule, made.parent, progress_.id(progress.pack()), nullptr, 1, closure.budget);
  };
  bool any = false;
  for (uint32_t m = 0; m < members && !any; ++m) any = may_come(body, progress, m, costs_);
  if (any) {
    closure.positions.push_back({.kind = Position::Kind::key, .rule = made.rule, .frame = goes_on(), .b = members});
  }
  for (uint32_t f = 0; f < body.rule.families.size(); ++f) {
    progress.current = members + f;
    if (!may_come(body, progress, progress.current, costs_)) continue;
    Position position = family_key(made.rule, body, f, progress);
    if (position.a == 0 || !alive(position, closure.budget)) continue;
    position.frame = goes_on();
    closure.positions.push_back(position);
  }
}

/// Narrowing a key looks at names only; whether a member may come is asked here, where at least one in range does.
bool Machine::key_may_come(const Position& position) {
  const ObjectBody& body = rules_.objects[rules_.rules[position.rule].index];
  const ObjectProgress progress(progress_[frames_[position.frame].at]);
  for (uint32_t i = position.a; i < position.b; ++i) {
    if (may_come(body, progress, body.members[i], costs_)) return true;
  }
  return false;
}

void Machine::complete_key(const Position& position, Closure& closure) {
  const Frame made = frames_[position.frame];
  const ObjectBody& body = rules_.objects[rules_.rules[made.rule].index];
  ObjectProgress progress(progress_[made.at]);
  progress.current = body.members[position.a];
  if (!may_come(body, progress, progress.current, costs_)) return;
  progress.phase = ObjectProgress::Phase::colon;
  const FrameId next = frame(made.rule, made.parent, progress_.id(progress.pack()), &closure, 1, closure.budget);
  closure.add(Work::Kind::enter, body.marks.colon, next, 0, 0);
}

int64_t Machine::object_cost(const ObjectBody& body, const ObjectProgress& progress) {
  using Phase = ObjectProgress::Phase;
  const int64_t close = costs_[body.marks.close];
  const auto members = static_cast<uint32_t>(body.rule.members.size());
  int64_t rest = kNever;
  switch (progress.phase) {
    case Phase::opened:
    case Phase::value: rest = members_to_come(body, progress, 0, costs_); break;
    // The comma of the first of them was read.
    case Phase::comma: rest = members_to_come(body, progress, 1, costs_) - costs_[body.marks.comma]; break;
    case Phase::key:
      // A member's key is not known yet: its position counts what follows (key_cost).
      if (progress.current < members) return 0;
      rest = cost_after_key(body, progress, progress.current, costs_);
      break;
    case Phase::colon:
      rest = cost_after_key(body, progress, progress.current, costs_) - costs_[body.marks.colon];
      break;
  }
  return std::min(kNever, rest + close);
}

int64_t Machine::key_cost(const Position& position) {
  const ObjectBody& body = rules_.objects[rules_.rules[position.rule].index];
  const uint32_t at = frames_[position.frame].at;
  const ObjectProgress progress(progress_[at]);
  // In a plain object what must still come is a sum, which one member's coming lowers by its own share.
  int64_t sum = 0;
  if (body.plain) {
    const auto [known, added] = plain_sums_.try_emplace(uint64_t{position.rule} << 32 | at);
    if (added) known->second = members_to_come(body, progress, 0, costs_);
    sum = known->second;
  }
  int64_t best = kNever;
  for (uint32_t i = position.a; i < position.b; ++i) {
    const uint32_t member = body.members[i];
    const int32_t tokens = body.key_suffixes[i][position.c];
    if (tokens == INT32_MAX || !may_come(body, progress, member, costs_)) continue;
    int64_t rest = 0;
    if (body.plain) {
      const int64_t alone = member_cost(body, member, costs_);
      rest = alone - body.key_costs[member] - costs_[body.marks.comma] + sum -
             (body.rule.members[member].required ? alone : 0);
    } else {
      rest = cost_after_key(body, progress, member, costs_);
    }
    best = std::min(best, tokens + rest);
  }
  return std::min(kNever, best + costs_[body.marks.close]);
}

}  // namespace lancet
