// Making unions and intersections: flat, sorted, without what the others imply.
#include <algorithm>

#include "grammar/term_state.h"

namespace lancet {

namespace {

/// x{min,max} followed by tail.
struct Counter {
  uint32_t body = 0, tail = 0;
  uint64_t min = 0, max = 0;
  auto operator<=>(const Counter&) const = default;
};

}  // namespace

void TermPool::State::flatten(std::vector<Id>& ids, Kind kind) const {
  std::vector<Id> flat;
  flat.reserve(ids.size());
  for (Id id : ids) {
    if (at(id).kind == kind) {
      const std::span<const Id> inner = kids(id);
      flat.insert(flat.end(), inner.begin(), inner.end());
    } else {
      flat.push_back(id);
    }
  }
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  ids = std::move(flat);
}

bool TermPool::State::has_opposites(const std::vector<Id>& sorted) const {
  return std::any_of(sorted.begin(), sorted.end(), [&](Id id) {
    return at(id).kind == Kind::complement && std::binary_search(sorted.begin(), sorted.end(), at(id).a);
  });
}

/// x{1,3}y | x{2,9}y is x{1,9}y: without this, the states of `.*a{3,1000}` would be sets of counters.
void TermPool::State::merge_counters(std::vector<Id>& ids) {
  std::vector<Counter> counters;
  std::vector<Id> rest;
  for (Id id : ids) {
    const Node& node = at(id);
    const Node& head = node.kind == Kind::concat ? at(node.a) : node;
    if (head.kind == Kind::repeat) {
      counters.push_back({head.a, node.kind == Kind::concat ? node.b : kEmpty, head.min, head.max});
    } else {
      rest.push_back(id);
    }
  }
  if (counters.size() < 2) return;
  std::sort(counters.begin(), counters.end());
  bool merged = false;
  std::vector<Counter> out;
  for (const Counter& c : counters) {
    const bool joins = !out.empty() && out.back().body == c.body && out.back().tail == c.tail &&
                       c.min <= add_lengths(out.back().max, 1);
    merged = merged || joins;
    if (joins) {
      out.back().max = std::max(out.back().max, c.max);
    } else {
      out.push_back(c);
    }
  }
  if (!merged) return;
  for (const Counter& c : out) rest.push_back(cons(make_repeat(c.body, c.min, c.max), c.tail));
  flatten(rest, Kind::either);
  ids = std::move(rest);
}

TermPool::State::Id TermPool::State::make_either(std::vector<Id> ids) {
  if (ids.size() == 1) return ids[0];
  flatten(ids, Kind::either);
  if (std::binary_search(ids.begin(), ids.end(), kAnything)) return kAnything;
  merge_counters(ids);
  CharSet set;
  size_t sets_found = 0;
  bool nullable = false;
  for (Id id : ids) {
    const Node& node = at(id);
    if (id != kEmpty) nullable = nullable || node.nullable;
    if (node.kind == Kind::set) {
      set = sets_found++ == 0 ? sets[node.a] : set | sets[node.a];
    }
  }
  if (sets_found > 1) {
    std::erase_if(ids, [&](Id id) { return at(id).kind == Kind::set; });
    ids.push_back(make_set(set));
  }
  std::erase_if(ids, [&](Id id) { return id == kNothing || (id == kEmpty && nullable); });
  if (ids.empty()) return kNothing;
  std::sort(ids.begin(), ids.end());
  if (ids.size() == 1) return ids[0];
  if (std::binary_search(ids.begin(), ids.end(), kAnything) || has_opposites(ids)) return kAnything;
  return intern({.kind = Kind::either, .b = static_cast<uint32_t>(ids.size())}, ids);
}

TermPool::State::Id TermPool::State::make_both(std::vector<Id> ids) {
  if (ids.size() == 1) return ids[0];
  flatten(ids, Kind::both);
  // All character sets, and all counted character sets, become one.
  uint64_t min = 0, max = kEndless;
  CharSet set = CharSet::all();
  std::erase_if(ids, [&](Id id) {
    const Node& node = at(id);
    const bool counted = node.kind == Kind::repeat && at(node.a).kind == Kind::set;
    if (node.kind != Kind::set && !counted) return false;
    min = std::max(min, counted ? node.min : 1);
    max = std::min(max, counted ? node.max : 1);
    set = set & sets[counted ? at(node.a).a : node.a];
    return true;
  });
  uint64_t low = 0, high = kEndless;  // of the others
  for (Id id : ids) {
    if (id == kNothing) return kNothing;
    low = std::max(low, at(id).low);
    high = std::min(high, at(id).high);
  }
  if (low > high || min > max || low > max || high < min) return kNothing;
  if (min <= low) min = 0;
  if (max >= high) max = kEndless;
  const Id counted = make_repeat(make_set(set), min, max);
  if (counted != kAnything) ids.push_back(counted);
  std::sort(ids.begin(), ids.end());
  if (ids.empty()) return kAnything;
  if (ids.size() == 1) return ids[0];
  if (std::binary_search(ids.begin(), ids.end(), kNothing)) return kNothing;
  if (std::binary_search(ids.begin(), ids.end(), kEmpty)) {
    return std::all_of(ids.begin(), ids.end(), [&](Id id) { return at(id).nullable; }) ? kEmpty : kNothing;
  }
  if (has_opposites(ids)) return kNothing;
  return intern({.kind = Kind::both, .b = static_cast<uint32_t>(ids.size())}, ids);
}

}  // namespace lancet
