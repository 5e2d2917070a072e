#include "grammar/term.h"

#include <algorithm>

#include "base/utf8.h"
#include "grammar/term_state.h"

namespace lancet {

namespace {

constexpr size_t kTrie = 8;  // so many literals of a union become a trie

std::vector<uint32_t> ids_of(std::span<const Term> terms) {
  std::vector<uint32_t> ids;
  ids.reserve(terms.size());
  for (Term term : terms) ids.push_back(term.id);
  return ids;
}

/// A character of the range that shows well in messages.
char32_t sample(const TermPool::Step& step) {
  for (char32_t c : {U'a', U'0', U'A', U' '}) {
    if (step.first <= c && c <= step.last) return c;
  }
  return step.first < U' ' && step.last > U' ' ? U'!' : step.first;
}

}  // namespace

TermPool::TermPool() : state_(std::make_unique<State>()) {}
TermPool::~TermPool() = default;
TermPool::TermPool(TermPool&&) noexcept = default;
TermPool& TermPool::operator=(TermPool&&) noexcept = default;

Term TermPool::nothing() const { return {State::kNothing}; }
Term TermPool::empty() const { return {State::kEmpty}; }
Term TermPool::any_char() { return {State::kAnyChar}; }
Term TermPool::anything() { return {State::kAnything}; }
Term TermPool::chars(const CharSet& set) { return {state_->make_set(set)}; }

Term TermPool::literal(std::string_view utf8) {
  std::u32string text;
  while (!utf8.empty()) {
    const Utf8Step step = utf8_next(utf8);
    text += step.code_point;
    utf8.remove_prefix(step.length);
  }
  return {state_->make_text(std::move(text))};
}

Term TermPool::concat(std::span<const Term> parts) { return {state_->make_concat(ids_of(parts))}; }

Term TermPool::either(std::span<const Term> parts) {
  std::vector<uint32_t> ids = ids_of(parts);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  auto literals =
      std::partition(ids.begin(), ids.end(), [&](uint32_t id) { return state_->at(id).kind != State::Kind::literal; });
  if (ids.end() - literals >= static_cast<ptrdiff_t>(kTrie)) {
    const uint32_t trie = state_->make_trie(std::vector<uint32_t>(literals, ids.end()));
    ids.erase(literals, ids.end());
    ids.push_back(trie);
  }
  return {state_->make_either(std::move(ids))};
}

Term TermPool::both(std::span<const Term> parts) { return {state_->make_both(ids_of(parts))}; }
Term TermPool::complement(Term term) { return {state_->make_complement(term.id)}; }
Term TermPool::automaton(std::vector<AutomatonState> states) { return {state_->make_table(std::move(states))}; }

Term TermPool::repeat(Term term, uint64_t min, std::optional<uint64_t> max) {
  return {state_->make_repeat(term.id, min, max.value_or(kEndless))};
}

bool TermPool::nullable(Term term) const { return state_->at(term.id).nullable; }

namespace {

Term find_step(std::span<const TermPool::Step> steps, char32_t c) {
  auto after = std::upper_bound(steps.begin(), steps.end(), c,
                                [](char32_t x, const TermPool::Step& step) { return x < step.first; });
  if (after == steps.begin() || c > std::prev(after)->last) return {};
  return std::prev(after)->to;
}

}  // namespace

Term TermPool::next(Term term, char32_t c, Budget& budget) { return find_step(steps(term, budget), c); }

std::span<const TermPool::Step> TermPool::steps(Term term, Budget& budget) {
  return state_->live_steps(term.id, budget);
}

bool TermPool::is_empty(Term term, Budget& budget) { return state_->is_empty(term.id, budget); }

std::optional<uint64_t> TermPool::distance(Term term, Budget& budget) {
  const uint64_t length = state_->distance(term.id, budget);
  return length == kEndless ? std::nullopt : std::optional(length);
}

std::optional<std::string> TermPool::shortest(Term term, Budget& budget) {
  uint64_t left = state_->distance(term.id, budget);
  if (left == kEndless) return std::nullopt;
  std::string text;
  for (uint32_t id = term.id; left > 0; --left) {
    budget.charge(4);
    const std::span<const Step> found = state_->raw_steps(id, budget);
    const std::vector<Step> steps(found.begin(), found.end());
    for (const Step& step : steps) {
      if (state_->at(step.to.id).low >= left || state_->distance(step.to.id, budget) + 1 != left) continue;
      utf8_append(text, sample(step));
      id = step.to.id;
      break;
    }
  }
  return text;
}

uint64_t TermPool::count(Term term, uint64_t limit, Budget& budget) { return state_->count(term.id, limit, budget); }

bool TermPool::matches(Term term, std::string_view utf8, Budget& budget) {
  uint32_t id = term.id;
  while (!utf8.empty() && id != State::kNothing) {
    const Utf8Step step = utf8_next(utf8);
    if (!step.valid) return false;
    id = find_step(state_->raw_steps(id, budget), step.code_point).id;
    utf8.remove_prefix(step.length);
    budget.step();
  }
  return state_->at(id).nullable;
}

Term TermPool::clip(Term term, uint32_t chars) { return {state_->clip(term.id, chars)}; }

std::optional<TermPool::Lengths> TermPool::any_of_length(Term term) const {
  const State::Node& node = state_->at(term.id);
  if (term.id == State::kAnything) return Lengths{0, kEndless};
  if (term.id == State::kAnyChar) return Lengths{1, 1};
  if (term.id == State::kEmpty) return Lengths{0, 0};
  if (node.kind == State::Kind::repeat && node.a == State::kAnyChar) return Lengths{node.min, node.max};
  return std::nullopt;
}

size_t TermPool::bytes() const {
  const State& s = *state_;
  size_t bytes = s.nodes.capacity() * sizeof(State::Node) + s.children.capacity() * sizeof(uint32_t) +
                 s.all_steps.capacity() * sizeof(Step) + s.slots.capacity() * sizeof(uint32_t);
  for (const std::u32string& text : s.texts) bytes += 2 * text.size() * sizeof(char32_t) + 64;
  for (const CharSet& set : s.sets) bytes += 2 * set.ranges().size() * sizeof(CharRange) + 96;
  for (const State::Table& table : s.tables) bytes += table.edges.size() * sizeof(Step) + table.low.size() * 24;
  return bytes + s.clipped.size() * 32;
}

}  // namespace lancet
