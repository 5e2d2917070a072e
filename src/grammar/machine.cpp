#include "grammar/machine.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace lancet {
namespace {

constexpr size_t kFewMoves = 8;  // moves of a state that are searched; with more it gets a table

}  // namespace

Machine::Machine(Rules::State& rules, const RuleCosts& costs, const TokenTrie& trie, Lexemes& lexemes)
    : rules_(rules), costs_(costs), trie_(trie), lexemes_(lexemes) {
  frames_.id({});
  frame_costs_.push_back(0);
  states_.emplace_back();  // dead
  states_[0].cost = kNever;
  sets_.id({});
  for (const TextId special : {TextId{0}, kUnknownText, kEmptyText}) {
    texts_.id({special, 256});
    text_bytes_.push_back(0);
  }
}

StateId Machine::start(RuleId rule, Budget& budget) {
  Closure closure{budget};
  closure.add(Work::Kind::enter, rule, 0, 0, 1);
  return finish(closure);
}

StateId Machine::compute_next(StateId state, uint8_t byte, Budget& budget) {
  Closure closure{budget};
  // Copied: what follows may move states_.
  const std::vector<Position> positions = states_[state].positions;
  budget.step(positions.size());
  for (const Position& position : positions) advance(position, byte, closure);
  const StateId to = finish(closure);
  StateData& data = states_[state];
  if (!data.row && data.few.size() < kFewMoves) {
    data.few.emplace_back(byte, to);
    return to;
  }
  if (!data.row) {
    budget.charge(sizeof(*data.row));
    data.row = std::make_unique<std::array<StateId, 256>>();
    data.row->fill(kNotYet);
    for (const auto& [known, there] : data.few) (*data.row)[known] = there;
    data.few.clear();
    data.few.shrink_to_fit();
  }
  return (*data.row)[byte] = to;
}

StateId Machine::next_control(StateId state, TokenId token, Budget& budget) {
  Closure closure{budget};
  for (const Position& position : states_[state].positions) {
    if (position.kind == Position::Kind::control && rules_.rules[position.rule].index == static_cast<uint32_t>(token)) {
      complete(position, closure);
    }
  }
  return finish(closure);
}

std::optional<uint8_t> Machine::only_byte(StateId state, Budget& budget) {
  if (states_[state].accepts) return std::nullopt;
  std::optional<uint8_t> only;
  for (const Position& position : states_[state].positions) {
    // Control tokens are other ways to go on. Texts say themselves what may come; elsewhere every byte is tried.
    if (position.kind == Position::Kind::control) return std::nullopt;
    if (position.kind != Position::Kind::texts || position.b - position.a > 1) continue;
    const std::string& text = rules_.texts[rules_.rules[position.rule].index].texts[position.a];
    const auto byte = static_cast<uint8_t>(text[position.c]);
    if (only && *only != byte) return std::nullopt;
    only = byte;
  }
  if (only && states_[state].positions.size() == 1) return only;
  only.reset();
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (next(state, static_cast<uint8_t>(byte), budget) == 0) continue;
    if (only) return std::nullopt;
    only = static_cast<uint8_t>(byte);
  }
  return only;
}

StateId Machine::alone(const Position& position) {
  Budget endless("a grammar");
  Closure closure{endless};
  closure.positions.push_back(position);
  return finish(closure);
}

StateId Machine::after(const Position& position, Budget& budget) {
  Closure closure{budget};
  closure.add(Work::Kind::resume, position.frame, 0, position.text == 0 ? 0 : kUnknownText, 1);
  return finish(closure);
}

/// Runs the closure and interns what it found.
StateId Machine::finish(Closure& closure) {
  run(closure);
  auto& positions = closure.positions;
  closure.budget.step(positions.size());
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  if (positions.empty() && !closure.accepts) return 0;
  uint64_t hash = closure.accepts;
  for (const Position& position : positions) hash = hash_combine(hash, position.hash());
  auto& candidates = state_ids_[hash];
  for (const StateId id : candidates) {
    if (states_[id].accepts == closure.accepts && states_[id].positions == positions) return id;
  }
  closure.budget.charge(positions.size() * sizeof(Position) + sizeof(StateData));
  const auto id = static_cast<StateId>(states_.size());
  candidates.push_back(id);
  StateData& state = states_.emplace_back();
  state.positions = std::move(positions);
  state.accepts = closure.accepts;
  return id;
}

void Machine::run(Closure& closure) {
  for (uint32_t at = 0; at < closure.work.size(); ++at) {
    closure.budget.step();
    const Work work = closure.work[at];
    if (work.kind == Work::Kind::enter) {
      enter(work, closure);
    } else {
      resume(work, closure);
    }
  }
}

FrameId Machine::frame(RuleId rule, FrameId parent, uint32_t at, Closure* closure, uint32_t moved, Budget& budget) {
  const Frame made{rule, parent, at};
  const auto known = frames_.find(made);
  // The cost comes first: the budget may end there, and then there must be no frame without one.
  const int64_t cost = known ? 0 : std::min(kNever, cost_after(made, budget) + frame_costs_[parent]);
  if (!known) {
    budget.charge(sizeof(Frame) * 3);
    frame_costs_.push_back(cost);
  }
  const FrameId id = known ? *known : frames_.id(made);
  if (closure != nullptr) closure->made[id] |= moved;
  return id;
}

void Machine::enter(const Work& work, Closure& closure) {
  const RuleId id = work.id;
  if (costs_[id] >= kNever) return;
  const Rule& rule = rules_.rules[id];
  const auto enter = [&](RuleId child, FrameId frame, uint32_t moved) {
    closure.add(Work::Kind::enter, child, frame, 0, moved);
  };
  const auto inside = [&](uint32_t at) { return frame(id, work.frame, at, &closure, work.moved, closure.budget); };
  switch (rule.kind) {
    case Rule::Kind::alias: return enter(rule.index, work.frame, work.moved);
    case Rule::Kind::text:
    case Rule::Kind::texts:
    case Rule::Kind::control: return enter_leaf(work, rule, closure);
    case Rule::Kind::either:
      for (const RuleId part : rule.parts) enter(part, work.frame, work.moved);
      return;
    case Rule::Kind::sequence:
      if (rule.parts.empty()) return closure.add(Work::Kind::resume, work.frame, 0, kEmptyText, work.moved);
      if (rule.parts.size() == 1) return enter(rule.parts[0], work.frame, work.moved);
      return enter(rule.parts[0], inside(1), 0);
    case Rule::Kind::repeat:
      if (rule.min == 0) closure.add(Work::Kind::resume, work.frame, 0, kEmptyText, work.moved);
      if (rule.max > 0 && costs_[rule.parts[0]] < kNever) enter(rule.parts[0], inside(1), 0);
      return;
    case Rule::Kind::object: {
      const ObjectBody& body = rules_.objects[rule.index];
      return enter(body.marks.open, inside(progress_.id(ObjectProgress(body).pack())), 0);
    }
    case Rule::Kind::array: {
      const ArrayBody& body = rules_.arrays[rule.index];
      return enter(body.marks.open, inside(progress_.id(ArrayProgress(body).pack())), 0);
    }
  }
}

void Machine::enter_leaf(const Work& work, const Rule& rule, Closure& closure) {
  Position position{.rule = work.id, .frame = work.frame};
  const Frame& up = frames_[work.frame];
  const Rule& owner = rules_.rules[up.rule];
  if (work.frame != 0 && owner.kind == Rule::Kind::array && rules_.arrays[owner.index].rule.unique) {
    const ArrayProgress progress(progress_[up.at]);
    if (progress.phase == ArrayProgress::Phase::item) keep_text(position, progress.items_seen);
  }
  bool complete = false, more = true;
  if (rule.kind == Rule::Kind::control) {
    position.kind = Position::Kind::control;
  } else if (rule.kind == Rule::Kind::texts) {
    position.kind = Position::Kind::texts;
    const auto& texts = rules_.texts[rule.index].texts;
    position.b = static_cast<uint32_t>(texts.size());
    complete = texts[0].empty();
    if (complete) position.a = 1;
    more = position.a < position.b;
  } else {
    position.a = lexemes_.start(rule.term, rule.encoding);
    complete = lexemes_.accepts(position.a);
    more = !lexemes_.is_done(position.a);
  }
  if (complete && !is_excluded(position)) closure.add(Work::Kind::resume, work.frame, 0, position.text, work.moved);
  if (more && alive(position, closure.budget)) closure.positions.push_back(position);
}

void Machine::resume(const Work& work, Closure& closure) {
  const FrameId id = work.id;
  if (id == 0) {
    closure.accepts = true;
    return;
  }
  const Frame made = frames_[id];
  const Rule& rule = rules_.rules[made.rule];
  // Whether bytes were read since the parent was made: since this frame was, or before, as who made it knew.
  const auto here = closure.made.find(id);
  const uint32_t moved = work.moved != 0 || here == closure.made.end() ? 1 : here->second;
  const auto again = [&](uint32_t at) { return frame(made.rule, made.parent, at, &closure, moved, closure.budget); };
  switch (rule.kind) {
    case Rule::Kind::sequence: {
      const bool last = made.at + 1 == rule.parts.size();
      const FrameId next = last ? made.parent : again(made.at + 1);
      return closure.add(Work::Kind::enter, rule.parts[made.at], next, 0, last ? moved : 0);
    }
    case Rule::Kind::repeat: {
      if (work.moved == 0) return;  // a part that read nothing: as if it had not been there
      if (made.at >= rule.min) closure.add(Work::Kind::resume, made.parent, 0, 0, moved);
      if (made.at >= rule.max) return;
      const bool counts = rule.max != kUnbounded || made.at < std::max<uint64_t>(rule.min, 1);
      return closure.add(Work::Kind::enter, rule.parts[0], again(counts ? made.at + 1 : made.at), 0, 0);
    }
    case Rule::Kind::object: return resume_object(made, work.text, moved, closure);
    case Rule::Kind::array: return resume_array(made, work.text, moved, closure);
    default: CHECK(false);
  }
}

void Machine::advance(const Position& position, uint8_t byte, Closure& closure) {
  switch (position.kind) {
    case Position::Kind::control: return;
    case Position::Kind::text: return advance_text(position, byte, closure);
    case Position::Kind::texts:
    case Position::Kind::key: break;
  }
  const bool key = position.kind == Position::Kind::key;
  const uint32_t index = rules_.rules[position.rule].index;
  const SortedTexts& texts = key ? rules_.objects[index].keys : rules_.texts[index];
  const auto range = texts.narrow({position.a, position.b}, position.c, byte);
  if (range.empty()) return;
  Position next = position;
  next.a = range.first;
  next.b = range.last;
  ++next.c;
  if (!key) follow_text(next, byte);
  if (texts.texts[next.a].size() == next.c) {
    if (key) {
      complete_key(next, closure);
    } else if (!is_excluded(next)) {
      complete(next, closure);
    }
    ++next.a;
  }
  if (next.a == next.b) return;
  if (key ? key_may_come(next) : alive(next, closure.budget)) closure.positions.push_back(next);
}

void Machine::advance_text(const Position& position, uint8_t byte, Closure& closure) {
  Position next = position;
  next.a = lexemes_.next(position.a, byte, closure.budget);
  if (next.a == 0) return;
  follow_text(next, byte);
  if (lexemes_.accepts(next.a) && !is_excluded(next)) complete(next, closure);
  if (!lexemes_.is_done(next.a) && alive(next, closure.budget)) closure.positions.push_back(next);
}

void Machine::complete(const Position& position, Closure& closure) {
  closure.add(Work::Kind::resume, position.frame, 0, position.text, 1);
}

int64_t Machine::cost_after(const Frame& made, Budget& budget) {
  if (made.rule == 0) return 0;
  const Rule& rule = rules_.rules[made.rule];
  int64_t cost = 0;
  switch (rule.kind) {
    case Rule::Kind::sequence:
      for (size_t i = made.at; i < rule.parts.size(); ++i) cost = std::min(kNever, cost + costs_[rule.parts[i]]);
      budget.step(rule.parts.size());
      return cost;
    case Rule::Kind::repeat: {
      const uint64_t left = rule.min > made.at ? rule.min - made.at : 0;
      const int64_t each = costs_[rule.parts[0]];
      return left == 0 ? 0 : each > kNever / static_cast<int64_t>(left) ? kNever : each * static_cast<int64_t>(left);
    }
    case Rule::Kind::object: {
      const ObjectBody& body = rules_.objects[rule.index];
      budget.step(body.rule.members.size() + 1);
      return object_cost(body, ObjectProgress(progress_[made.at]));
    }
    case Rule::Kind::array: {
      const ArrayBody& body = rules_.arrays[rule.index];
      return array_cost(body, ArrayProgress(progress_[made.at]));
    }
    default: return 0;
  }
}

int64_t Machine::cost(const Position& position, Budget& budget) {
  switch (position.kind) {
    case Position::Kind::text:
      return std::min(kNever, text_cost(position, kNever, budget) + frame_costs_[position.frame]);
    case Position::Kind::texts: return std::min(kNever, texts_cost(position) + frame_costs_[position.frame]);
    case Position::Kind::key: return std::min(kNever, key_cost(position) + frame_costs_[position.frame]);
    case Position::Kind::control: return std::min(kNever, 1 + frame_costs_[position.frame]);
  }
  return kNever;
}

int64_t Machine::cost(StateId state, Budget& budget) {
  if (states_[state].cost < 0) {
    int64_t best = states_[state].accepts ? 0 : kNever;
    for (const Position& position : states_[state].positions) best = std::min(best, cost(position, budget));
    states_[state].cost = best;
  }
  return states_[state].cost;
}

size_t Machine::bytes() const {
  size_t total = frames_.size() * 96 + progress_.size() * 160 + texts_.size() * 64;
  for (const StateData& state : states_) {
    total += sizeof(state) + state.positions.capacity() * sizeof(Position) + 48 + (state.row ? sizeof(*state.row) : 0);
  }
  return total;
}

}  // namespace lancet
