// Derivatives: the successors of a term by ranges of characters, kept with the term.
#include <algorithm>

#include "base/check.h"
#include "grammar/term_state.h"

namespace lancet {

namespace {

using Step = TermPool::Step;

/// Joins neighbours that lead to the same term; drops those that lead to nothing().
void tidy(std::vector<Step>& steps) {
  size_t kept = 0;
  for (const Step& step : steps) {
    if (step.to.id == 0) continue;
    const bool joins = kept > 0 && steps[kept - 1].to == step.to && steps[kept - 1].last + 1 == step.first;
    if (joins) {
      steps[kept - 1].last = step.last;
    } else {
      steps[kept++] = step;
    }
  }
  steps.resize(kept);
}

}  // namespace

std::span<const Step> TermPool::State::raw_steps(Id id, Budget& budget) {
  if (at(id).steps == kNoSteps) {
    std::vector<Step> steps = derive(id, budget);
    tidy(steps);
    budget.step(1 + steps.size());
    Node& node = nodes[id];
    node.steps = static_cast<uint32_t>(all_steps.size());
    node.step_count = static_cast<uint32_t>(steps.size());
    all_steps.insert(all_steps.end(), steps.begin(), steps.end());
  }
  return std::span(all_steps).subspan(at(id).steps, at(id).step_count);
}

std::span<const Step> TermPool::State::live_steps(Id id, Budget& budget) {
  if (at(id).live == kNoSteps) {
    const std::span<const Step> raw = raw_steps(id, budget);
    std::vector<Step> live(raw.begin(), raw.end());
    if (at(id).hard) std::erase_if(live, [&](const Step& step) { return is_empty(step.to.id, budget); });
    Node& node = nodes[id];
    node.live_count = static_cast<uint32_t>(live.size());
    if (node.live_count == node.step_count) {
      node.live = node.steps;
    } else {
      node.live = static_cast<uint32_t>(all_steps.size());
      all_steps.insert(all_steps.end(), live.begin(), live.end());
    }
  }
  return std::span(all_steps).subspan(at(id).live, at(id).live_count);
}

std::vector<Step> TermPool::State::derive(Id id, Budget& budget) {
  const Node node = at(id);
  switch (node.kind) {
    case Kind::nothing:
    case Kind::empty:
    case Kind::set:
    case Kind::literal:
    case Kind::automaton: return derive_leaf(id);
    case Kind::concat: return derive_concat(id, budget);
    case Kind::repeat: {
      const Id rest = make_repeat(node.a, node.min == 0 ? 0 : node.min - 1, node.max - (node.max != kEndless));
      const std::span<const Step> body = raw_steps(node.a, budget);
      std::vector<Step> steps(body.begin(), body.end());
      for (Step& step : steps) step.to.id = cons(step.to.id, rest);
      return steps;
    }
    case Kind::complement: return derive_complement(id, budget);
    case Kind::either:
    case Kind::both: return derive_many(id, budget);
  }
  CHECK(false);
}

std::vector<Step> TermPool::State::derive_leaf(Id id) {
  const Node node = at(id);
  std::vector<Step> steps;
  if (node.kind == Kind::set) {
    for (const CharRange& range : sets[node.a].ranges()) steps.push_back({range.first, range.last, {kEmpty}});
  } else if (node.kind == Kind::literal) {
    const char32_t c = texts[node.a][node.b];
    steps.push_back({c, c, {make_suffix(node.a, node.b + 1)}});
  } else if (node.kind == Kind::automaton) {
    const Table& table = tables[node.a];
    for (uint32_t e = table.first_edge[node.b]; e < table.first_edge[node.b + 1]; ++e) {
      Step step = table.edges[e];
      step.to.id = make_table_state(node.a, step.to.id);
      steps.push_back(step);
    }
  }
  return steps;
}

std::vector<Step> TermPool::State::derive_concat(Id id, Budget& budget) {
  std::vector<Step> events;
  size_t lists = 0;
  for (bool more = true; more; ++lists) {
    const bool chain = at(id).kind == Kind::concat;
    const Id head = chain ? at(id).a : id, rest = chain ? at(id).b : kEmpty;
    const size_t first = events.size();
    const std::span<const Step> steps = raw_steps(head, budget);
    events.insert(events.end(), steps.begin(), steps.end());
    budget.step(1 + steps.size());
    for (size_t i = first; i < events.size(); ++i) events[i].to.id = cons(events[i].to.id, rest);
    more = chain && at(head).nullable;
    id = rest;
  }
  return lists == 1 ? events : sweep(std::move(events), 0, budget);
}

std::vector<Step> TermPool::State::derive_complement(Id id, Budget& budget) {
  const std::span<const Step> found = raw_steps(at(id).a, budget);
  const std::vector<Step> inner(found.begin(), found.end());
  std::vector<Step> steps;
  auto fill = [&](char32_t first, char32_t last) {
    for (const CharRange& range : sets[at(kAnyChar).a].ranges()) {
      const char32_t from = std::max(first, range.first), to = std::min(last, range.last);
      if (from <= to) steps.push_back({from, to, {kAnything}});
    }
  };
  char32_t next = 0;
  for (const Step& step : inner) {
    if (step.first > next) fill(next, step.first - 1);
    steps.push_back({step.first, step.last, {make_complement(step.to.id)}});
    next = step.last + 1;
  }
  fill(next, 0x10FFFF);
  return steps;
}

std::vector<Step> TermPool::State::derive_many(Id id, Budget& budget) {
  const std::span<const Id> of = kids(id);
  const std::vector<Id> list(of.begin(), of.end());
  std::vector<Step> events;
  for (Id kid : list) {
    const std::span<const Step> steps = raw_steps(kid, budget);
    events.insert(events.end(), steps.begin(), steps.end());
    budget.step(1 + steps.size());
  }
  return sweep(std::move(events), at(id).kind == Kind::both ? list.size() : 0, budget);
}

/// Cuts overlapping steps into disjoint ones. `lists` is 0: each leads to the union of what overlaps; else to the
/// intersection, where as many overlap.
std::vector<Step> TermPool::State::sweep(std::vector<Step> events, size_t lists, Budget& budget) {
  std::sort(events.begin(), events.end(), [](const Step& x, const Step& y) { return x.first < y.first; });
  std::vector<char32_t> cuts;
  for (const Step& event : events) {
    cuts.push_back(event.first);
    cuts.push_back(event.last + 1);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<Step> out, active;
  size_t at = 0;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    std::erase_if(active, [&](const Step& step) { return step.last < cuts[i]; });
    for (; at < events.size() && events[at].first == cuts[i]; ++at) active.push_back(events[at]);
    budget.step(1 + active.size());
    if (active.empty() || active.size() < lists) continue;
    std::vector<Id> to;
    for (const Step& step : active) to.push_back(step.to.id);
    const Id joined = lists == 0 ? make_either(std::move(to)) : make_both(std::move(to));
    out.push_back({cuts[i], cuts[i + 1] - 1, {joined}});
  }
  return out;
}

}  // namespace lancet
