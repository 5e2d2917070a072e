// Questions about a whole language: emptiness, the shortest text, how many. What follows from the structure is read
// off; only intersections and complements are explored, towards the shortest text first.
#include <algorithm>
#include <queue>

#include "grammar/term_state.h"

namespace lancet {

namespace {

/// A state to visit: the smallest estimate first, of equals the newest.
struct Candidate {
  uint64_t estimate = 0, order = 0;
  uint32_t id = 0;
  bool operator<(const Candidate& other) const {
    return estimate != other.estimate ? estimate > other.estimate : order < other.order;
  }
};

}  // namespace

bool TermPool::State::is_empty(Id id, Budget& budget) {
  if (at(id).texts != Texts::unknown) return at(id).texts == Texts::none;
  bool empty = false;
  switch (at(id).kind) {
    case Kind::concat:
      for (Id part = id; !empty; part = at(part).b) {
        const bool chain = at(part).kind == Kind::concat;
        empty = is_empty(chain ? at(part).a : part, budget);
        if (!chain) break;
      }
      break;
    case Kind::either: {
      empty = true;
      for (uint32_t i = 0; empty && i < at(id).b; ++i) empty = is_empty(kids(id)[i], budget);
      break;
    }
    case Kind::repeat: empty = is_empty(at(id).a, budget); break;
    default: empty = !explore(id, budget); break;
  }
  nodes[id].texts = empty ? Texts::none : Texts::some;
  return empty;
}

/// Whether a text exists, for intersections and complements. Marks all states that it decides.
bool TermPool::State::explore(Id start, Budget& budget) {
  std::unordered_map<Id, Id> from{{start, start}};
  std::priority_queue<Candidate> open;
  uint64_t order = 0;
  open.push({0, 0, start});
  auto visit = [&](Id id, Id parent) {
    if (at(id).texts != Texts::none && from.try_emplace(id, parent).second) open.push({at(id).low, ++order, id});
  };
  while (!open.empty()) {
    const Id id = open.top().id;
    open.pop();
    budget.step();
    if (at(id).texts == Texts::some) {
      for (Id s = id;; s = from.at(s)) {
        nodes[s].texts = Texts::some;
        if (s == start) return true;
      }
    }
    const Node node = at(id);
    if (node.kind == Kind::either) {
      for (uint32_t i = 0; i < node.b; ++i) visit(kids(id)[i], id);
    } else if (node.kind == Kind::concat && at(node.b).texts == Texts::some) {
      visit(node.a, id);
    } else {
      const std::span<const Step> steps = raw_steps(id, budget);
      for (const Step& step : steps) visit(step.to.id, id);
    }
  }
  for (const auto& [id, parent] : from) nodes[id].texts = Texts::none;
  return false;
}

uint64_t TermPool::State::distance(Id id, Budget& budget) {
  if (is_empty(id, budget)) return kEndless;
  if (!at(id).hard) return at(id).low;
  if (at(id).nullable) return 0;
  if (at(id).distance != kEndless) return at(id).distance;
  uint64_t found = 0;
  switch (at(id).kind) {
    case Kind::concat:
      for (Id part = id;; part = at(part).b) {
        const bool chain = at(part).kind == Kind::concat;
        found = add_lengths(found, distance(chain ? at(part).a : part, budget));
        if (!chain) break;
      }
      break;
    case Kind::either:
      found = kEndless;
      for (uint32_t i = 0; i < at(id).b; ++i) found = std::min(found, distance(kids(id)[i], budget));
      break;
    case Kind::repeat: found = multiply_lengths(at(id).min, distance(at(id).a, budget)); break;
    default: found = search(id, budget); break;
  }
  nodes[id].distance = found;
  return found;
}

/// The length of the shortest text of a language that has one (A*: Hart, Nilsson, Raphael 1968; `low` never
/// overestimates). States on the way to it keep theirs.
uint64_t TermPool::State::search(Id start, Budget& budget) {
  struct Reached {
    uint64_t length = 0;
    Id from = 0;
  };
  std::unordered_map<Id, Reached> reached{{start, {0, start}}};
  std::priority_queue<Candidate> open;
  uint64_t order = 0;
  auto rest = [&](Id id) { return at(id).distance != kEndless ? at(id).distance : at(id).low; };
  open.push({rest(start), 0, start});
  while (!open.empty()) {
    const Candidate candidate = open.top();
    open.pop();
    budget.step();
    const Id id = candidate.id;
    const uint64_t length = reached.at(id).length;
    if (candidate.estimate > add_lengths(length, rest(id))) continue;  // found a shorter way since
    if (at(id).nullable || !at(id).hard || at(id).distance != kEndless) {
      const uint64_t total = add_lengths(length, at(id).nullable ? 0 : rest(id));
      for (Id s = id; s != start; s = reached.at(s).from) nodes[s].distance = total - reached.at(s).length;
      return total;
    }
    const std::span<const Step> steps = raw_steps(id, budget);
    for (const Step& step : steps) {
      const Id to = step.to.id;
      if (at(to).texts == Texts::none) continue;
      auto [known, added] = reached.try_emplace(to, Reached{length + 1, id});
      if (!added && known->second.length <= length + 1) continue;
      known->second = {length + 1, id};
      open.push({add_lengths(length + 1, rest(to)), ++order, to});
    }
  }
  return kEndless;
}

uint64_t TermPool::State::count(Id start, uint64_t limit, Budget& budget) {
  if (limit == 0 || is_empty(start, budget)) return 0;
  struct Frame {
    Id id;
    uint32_t next = 0;
    uint64_t total = 0;
  };
  constexpr uint64_t kOpen = kEndless;
  std::unordered_map<Id, uint64_t> counts;  // kOpen: on the path, so a way back to it gives endlessly many
  std::vector<Frame> path;
  uint64_t seen = 0;  // each newly met state that accepts has a text of its own
  auto enter = [&](Id id) {
    counts[id] = kOpen;
    seen += at(id).nullable;
    path.push_back({id, 0, at(id).nullable ? uint64_t{1} : 0});
  };
  enter(start);
  while (!path.empty()) {
    budget.step();
    if (seen >= limit || path.back().total >= limit) return limit;
    const std::span<const Step> steps = live_steps(path.back().id, budget);
    Frame& top = path.back();
    if (top.next == steps.size()) {
      counts[top.id] = top.total;
      path.pop_back();
      continue;
    }
    const Step step = steps[top.next];
    auto known = counts.find(step.to.id);
    if (known == counts.end()) {
      enter(step.to.id);
    } else {
      if (known->second == kOpen) return limit;
      const uint64_t ways = multiply_lengths(uint64_t{step.last} - step.first + 1, known->second);
      top.total = add_lengths(top.total, ways);
      ++top.next;
    }
  }
  return counts.at(start);
}

}  // namespace lancet
