// Explicit automata as terms, and sets of literals as tries: a complement or an intersection with thousands of names
// has as many states as the trie, not as many as sets of names.
#include <algorithm>

#include "grammar/term_state.h"

namespace lancet {

namespace {

/// States by which each state is reached.
std::vector<std::vector<uint32_t>> sources(const std::vector<TermPool::AutomatonState>& states) {
  std::vector<std::vector<uint32_t>> from(states.size());
  for (size_t s = 0; s < states.size(); ++s) {
    for (const TermPool::Edge& edge : states[s].edges) from[edge.to].push_back(static_cast<uint32_t>(s));
  }
  return from;
}

/// Length of the shortest text by state; kEndless: none.
std::vector<uint64_t> shortest_lengths(const std::vector<TermPool::AutomatonState>& states) {
  const std::vector<std::vector<uint32_t>> from = sources(states);
  std::vector<uint64_t> low(states.size(), kEndless);
  std::vector<uint32_t> queue;
  for (size_t s = 0; s < states.size(); ++s) {
    if (!states[s].accepts) continue;
    low[s] = 0;
    queue.push_back(static_cast<uint32_t>(s));
  }
  for (size_t i = 0; i < queue.size(); ++i) {
    for (uint32_t source : from[queue[i]]) {
      if (low[source] != kEndless) continue;
      low[source] = low[queue[i]] + 1;
      queue.push_back(source);
    }
  }
  return low;
}

/// Length of the longest text by state, by taking away states whose successors are all known; kEndless: a cycle.
std::vector<uint64_t> longest_lengths(const std::vector<TermPool::AutomatonState>& states) {
  const std::vector<std::vector<uint32_t>> from = sources(states);
  std::vector<uint64_t> high(states.size(), kEndless), longest(states.size(), 0);
  std::vector<size_t> open(states.size());
  std::vector<uint32_t> queue;
  for (size_t s = 0; s < states.size(); ++s) {
    open[s] = states[s].edges.size();
    if (open[s] == 0) queue.push_back(static_cast<uint32_t>(s));
  }
  for (size_t i = 0; i < queue.size(); ++i) {
    high[queue[i]] = longest[queue[i]];
    for (uint32_t source : from[queue[i]]) {
      longest[source] = std::max(longest[source], longest[queue[i]] + 1);
      if (--open[source] == 0) queue.push_back(source);
    }
  }
  return high;
}

}  // namespace

TermPool::State::Id TermPool::State::make_table(std::vector<AutomatonState> states) {
  if (states.empty()) return kNothing;
  const std::vector<uint64_t> low = shortest_lengths(states);
  if (low[0] == kEndless) return kNothing;
  Table table;
  std::string key;  // the automaton, written out
  auto write = [&key](uint32_t value) { key.append(reinterpret_cast<const char*>(&value), sizeof value); };
  for (size_t s = 0; s < states.size(); ++s) {
    std::vector<Edge>& edges = states[s].edges;
    std::erase_if(edges, [&](const Edge& edge) { return low[edge.to] == kEndless; });
    if (low[s] == kEndless) edges.clear();
    std::sort(edges.begin(), edges.end(), [](const Edge& x, const Edge& y) { return x.first < y.first; });
    table.first_edge.push_back(static_cast<uint32_t>(table.edges.size()));
    write(static_cast<uint32_t>(edges.size() * 2 + (states[s].accepts ? 1 : 0)));
    for (const Edge& edge : edges) {
      table.edges.push_back({edge.first, edge.last, {edge.to}});
      for (uint32_t value : {uint32_t{edge.first}, uint32_t{edge.last}, edge.to}) write(value);
    }
    table.accepts.push_back(states[s].accepts);
    if (low[s] != kEndless) table.reach = std::max(table.reach, low[s]);
  }
  const auto [known, added] = table_ids.try_emplace(std::move(key), static_cast<uint32_t>(tables.size()));
  if (!added) return make_table_state(known->second, 0);
  table.first_edge.push_back(static_cast<uint32_t>(table.edges.size()));
  table.high = longest_lengths(states);
  table.low = low;
  tables.push_back(std::move(table));
  return make_table_state(known->second, 0);
}

TermPool::State::Id TermPool::State::make_table_state(uint32_t table, uint32_t state) {
  const Table& t = tables[table];
  if (t.high[state] == 0) return kEmpty;  // accepts and leads nowhere
  return intern({.kind = Kind::automaton, .a = table, .b = state});
}

TermPool::State::Id TermPool::State::make_trie(std::vector<Id> literals) {
  std::vector<std::u32string_view> names;
  for (Id id : literals) names.push_back(std::u32string_view(texts[at(id).a]).substr(at(id).b));
  std::sort(names.begin(), names.end());
  std::vector<AutomatonState> states(1);
  std::vector<uint32_t> path{0};  // states along the name before
  std::u32string_view before;
  for (std::u32string_view name : names) {
    size_t common = 0;
    while (common < before.size() && common < name.size() && before[common] == name[common]) ++common;
    path.resize(common + 1);
    for (size_t i = common; i < name.size(); ++i) {
      const uint32_t to = static_cast<uint32_t>(states.size());
      states[path.back()].edges.push_back({name[i], name[i], to});
      states.emplace_back();
      path.push_back(to);
    }
    states[path.back()].accepts = true;
    before = name;
  }
  return make_table(std::move(states));
}

}  // namespace lancet
