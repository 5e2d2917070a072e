#include "grammar/number_machine.h"

#include <algorithm>
#include <span>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"

namespace lancet {

namespace {

struct ContentHash {
  template <typename List>
  size_t operator()(const List& list) const {
    return hash64(std::as_bytes(std::span(list)));
  }
};

[[noreturn]] void too_large() {
  throw Error(Fault::unsupported, "the conditions on a number need an automaton of more than 20,000 states");
}

}  // namespace

NumberTable NumberTable::product(const std::vector<const NumberMachine*>& machines, Budget& budget) {
  using Tuple = std::vector<int64_t>;
  std::unordered_map<Tuple, int32_t, ContentHash> ids;
  std::vector<Tuple> tuples;
  auto id_of = [&](const Tuple& tuple) {
    auto [found, added] = ids.try_emplace(tuple, static_cast<int32_t>(tuples.size()));
    if (added) tuples.push_back(tuple);
    return found->second;
  };
  Tuple at, to;
  for (const NumberMachine* machine : machines) at.push_back(machine->start());
  id_of(at);
  NumberTable table;
  for (size_t s = 0; s < tuples.size(); ++s) {
    if (static_cast<int64_t>(tuples.size()) > kMostNumberStates) too_large();
    budget.step(kNumberSymbols);
    at = tuples[s];
    bool accepted = true;
    for (size_t m = 0; m < machines.size(); ++m) accepted = accepted && machines[m]->accepts(at[m]);
    table.accepts_.push_back(accepted);
    Row& row = table.rows_.emplace_back();
    for (int symbol = 0; symbol < kNumberSymbols; ++symbol) {
      to.clear();
      for (size_t m = 0; m < machines.size() && to.size() == m; ++m) {
        const int64_t next = machines[m]->next(at[m], symbol);
        if (next != kDead) to.push_back(next);
      }
      row[static_cast<size_t>(symbol)] = to.size() == machines.size() ? id_of(to) : static_cast<int32_t>(kDead);
    }
  }
  return table.minimal(budget);
}

/// Equivalent states have equal classes (Moore 1956). A class of its own is "can no longer accept", as is being dead.
std::vector<int32_t> NumberTable::classes(Budget& budget) const {
  using Signature = std::array<int32_t, kNumberSymbols + 1>;
  std::vector<int32_t> of(rows_.size());
  for (size_t s = 0; s < rows_.size(); ++s) of[s] = accepts_[s] ? 1 : 0;
  for (size_t count = 0;;) {
    std::unordered_map<Signature, int32_t, ContentHash> found;
    Signature dead;
    dead.fill(0);
    found[dead] = 0;
    std::vector<int32_t> refined(rows_.size());
    for (size_t s = 0; s < rows_.size(); ++s) {
      budget.step();
      Signature signature;
      signature[kNumberSymbols] = of[s];
      for (size_t c = 0; c < kNumberSymbols; ++c)
        signature[c] = rows_[s][c] < 0 ? 0 : of[static_cast<size_t>(rows_[s][c])];
      refined[s] = found.try_emplace(signature, static_cast<int32_t>(found.size())).first->second;
    }
    of = std::move(refined);
    if (found.size() == count) return of;
    count = found.size();
  }
}

NumberTable NumberTable::minimal(Budget& budget) const {
  const std::vector<int32_t> of = classes(budget);
  std::unordered_map<int32_t, int32_t> numbers{{of[0], 0}};
  std::vector<size_t> members{0};  // a state of each class
  NumberTable out;
  for (size_t n = 0; n < members.size(); ++n) {
    const Row& row = rows_[members[n]];
    out.accepts_.push_back(accepts_[members[n]]);
    Row& to = out.rows_.emplace_back();
    for (size_t c = 0; c < kNumberSymbols; ++c) {
      to[c] = static_cast<int32_t>(kDead);
      if (row[c] < 0 || of[static_cast<size_t>(row[c])] == 0) continue;
      const auto [found, added] =
          numbers.try_emplace(of[static_cast<size_t>(row[c])], static_cast<int32_t>(members.size()));
      if (added) members.push_back(static_cast<size_t>(row[c]));
      to[c] = found->second;
    }
  }
  if (members.size() > kMostMinimalStates) too_large();
  return out;
}

std::vector<TermPool::AutomatonState> NumberTable::states() const {
  constexpr std::string_view kSymbols = "0123456789-.";
  std::vector<TermPool::AutomatonState> out(rows_.size());
  for (size_t s = 0; s < rows_.size(); ++s) {
    out[s].accepts = accepts_[s];
    for (size_t c = 0; c < kNumberSymbols; ++c) {
      const char32_t symbol = static_cast<char32_t>(kSymbols[c]);
      if (rows_[s][c] >= 0) out[s].edges.push_back({symbol, symbol, static_cast<uint32_t>(rows_[s][c])});
    }
  }
  return out;
}

}  // namespace lancet
