#include "grammar/lexemes.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"

namespace lancet {
namespace {

constexpr std::string_view kShortEscapes = "\"\\bfnrt", kShortEscaped = "\"\\\b\f\n\r\t";
constexpr int64_t kLongestText = 1'000'000;  // characters of a shortest text

bool short_escaped(char32_t c) { return c < 128 && kShortEscaped.find(static_cast<char>(c)) != std::string_view::npos; }
/// Controls that have no short escape: \u00xx.
bool hex_escaped(char32_t c) { return c < 0x20 && !short_escaped(c); }

int64_t written_bytes(char32_t c, bool json) {
  if (json && short_escaped(c)) return 2;
  if (json && c < 0x20) return 6;
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/// The fewest bytes that a character of [first, last] takes.
int64_t fewest_bytes(char32_t first, char32_t last, bool json) {
  int64_t best = written_bytes(last, json);
  for (char32_t c = first; c <= std::min(last, char32_t{0x80}); ++c) best = std::min(best, written_bytes(c, json));
  return std::min(best, written_bytes(first, json));
}

}  // namespace

size_t Lexemes::KeyHash::operator()(const Key& k) const {
  uint64_t hash = hash_combine(k.term.id, static_cast<uint64_t>(k.phase) << 24 | uint64_t{k.json} << 16 |
                                              uint64_t{k.left} << 8 | uint64_t{k.uniform});
  return hash_combine(hash, uint64_t{k.low} << 32 | k.high);
}

Lexemes::Lexemes(TermPool& terms) : terms_(terms) { intern({}); }

Lexemes::State Lexemes::intern(const Key& key) {
  const auto [at, added] = ids_.try_emplace(key, static_cast<State>(keys_.size()));
  if (added) {
    keys_.push_back(key);
    rows_.emplace_back();
    costs_.push_back(-1);
  }
  return at->second;
}

Lexemes::State Lexemes::start(Term term, Encoding encoding) {
  if (term == terms_.nothing()) return 0;
  const bool json = encoding == Encoding::json_string;
  return intern({.term = term, .phase = json ? Phase::open : Phase::inside, .json = json});
}

Lexemes::State Lexemes::inside(Term term, bool json) {
  return term == terms_.nothing() ? 0 : intern({.term = term, .phase = Phase::inside, .json = json});
}

bool Lexemes::accepts(State state) const {
  const Key& key = keys_[state];
  if (state == 0) return false;
  return key.phase == Phase::done || (!key.json && key.phase == Phase::inside && terms_.nullable(key.term));
}

bool Lexemes::is_done(State state) const {
  const Key& key = keys_[state];
  return key.phase == Phase::done || (!key.json && key.phase == Phase::inside && key.term == terms_.empty());
}

bool Lexemes::at_character(State state) const {
  return state != 0 && (keys_[state].phase == Phase::inside || keys_[state].phase == Phase::open);
}

Lexemes::State Lexemes::clipped(State state, uint32_t bytes) {
  Key key = keys_[state];
  key.term = terms_.clip(key.term, bytes);
  return state == 0 ? 0 : intern(key);
}

const Lexemes::Row& Lexemes::row(State state, Budget& budget) {
  if (rows_[state]) return *rows_[state];
  budget.step(64);
  budget.charge(sizeof(Row));
  const Key key = keys_[state];
  Row row{};
  if (state != 0) {
    switch (key.phase) {
      case Phase::open: row['"'] = inside(key.term, true); break;
      case Phase::inside: fill_inside(key, row, budget); break;
      case Phase::escape: fill_escape(key, row, budget); break;
      case Phase::hex: fill_hex(key, row, budget); break;
      case Phase::tail: fill_tail(key, row, budget); break;
      case Phase::done: break;
    }
  }
  rows_[state] = std::make_unique<Row>(row);
  return *rows_[state];
}

void Lexemes::fill_inside(const Key& key, Row& row, Budget& budget) {
  if (key.json && terms_.nullable(key.term))
    row['"'] = intern({.term = terms_.empty(), .phase = Phase::done, .json = true});
  const auto found = terms_.steps(key.term, budget);
  const std::vector<TermPool::Step> steps(found.begin(), found.end());
  bool escapes = false;
  for (const auto& [first, last, to] : steps) {
    for (char32_t c = first; c <= std::min(last, char32_t{0x7F}); ++c) {
      if (key.json && written_bytes(c, true) > 1) {
        escapes = true;
      } else {
        row[c] = inside(to, key.json);
      }
    }
  }
  if (escapes) row['\\'] = intern({.term = key.term, .phase = Phase::escape, .json = true});
  for (unsigned lead = 0xC2; lead <= 0xF4; ++lead) {
    const uint8_t left = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    const unsigned bits = 6u * left;
    char32_t low = static_cast<char32_t>((lead & (0x3Fu >> left)) << bits);
    const char32_t high = low + (char32_t{1} << bits) - 1;
    low = std::max<char32_t>(low, left == 1 ? char32_t{0x80} : left == 2 ? char32_t{0x800} : char32_t{0x10000});
    row[lead] = tail(key.term, key.json, low, std::min(high, char32_t{0x10FFFF}), left, budget);
  }
}

/// What follows when the next character lies in [low, high], of which `left` bytes are still to come.
Lexemes::State Lexemes::tail(Term term, bool json, char32_t low, char32_t high, uint8_t left, Budget& budget) {
  const auto steps = terms_.steps(term, budget);
  auto at = std::lower_bound(steps.begin(), steps.end(), low,
                             [](const TermPool::Step& step, char32_t c) { return step.last < c; });
  const bool surrogates = low <= 0xDFFF && high >= 0xD800;
  if (at == steps.end() || at->first > high || (surrogates && low >= 0xD800 && high <= 0xDFFF)) return 0;
  Key key{.term = term, .phase = Phase::tail, .json = json, .left = left, .low = low, .high = high};
  char32_t covered = low;  // all of [low, covered) lead to at->to
  const Term to = at->to;
  for (; at != steps.end() && at->to == to && at->first <= covered; ++at) {
    covered = std::max(covered, static_cast<char32_t>(at->last + 1));
    if (covered == 0xD800) covered = 0xE000;
  }
  if (covered > high) {
    if (left == 0) return inside(to, json);
    // Which bytes may follow is all that distinguishes such states.
    const unsigned bits = 6u * (left - 1u);
    const char32_t last = surrogates && high <= 0xDFFF ? char32_t{0xD7FF} : high;
    key.term = to;
    key.uniform = true;
    key.low = 0x80 | ((low >> bits) & 0x3F);
    key.high = 0x80 | ((last >> bits) & 0x3F);
  }
  return intern(key);
}

void Lexemes::fill_tail(const Key& key, Row& row, Budget& budget) {
  const auto left = static_cast<uint8_t>(key.left - 1);
  if (key.uniform) {
    Key next{.term = key.term,
             .phase = Phase::tail,
             .json = key.json,
             .left = left,
             .low = 0x80,
             .high = 0xBF,
             .uniform = true};
    const State to = left == 0 ? inside(key.term, key.json) : intern(next);
    for (uint32_t byte = key.low; byte <= key.high; ++byte) row[byte] = to;
    return;
  }
  const unsigned bits = 6u * left;
  const char32_t base = static_cast<char32_t>(key.low) & ~((char32_t{1} << (bits + 6)) - 1);
  for (uint32_t byte = 0x80; byte <= 0xBF; ++byte) {
    const char32_t first = base + static_cast<char32_t>((byte & 0x3F) << bits),
                   last = first + (char32_t{1} << bits) - 1;
    const char32_t low = std::max<char32_t>(first, key.low), high = std::min<char32_t>(last, key.high);
    if (low <= high) row[byte] = tail(key.term, key.json, low, high, left, budget);
  }
}

Term Lexemes::follow(Term term, char32_t c, Budget& budget) {
  const auto steps = terms_.steps(term, budget);
  const auto at = std::lower_bound(steps.begin(), steps.end(), c,
                                   [](const TermPool::Step& step, char32_t wanted) { return step.last < wanted; });
  return at == steps.end() || at->first > c ? terms_.nothing() : at->to;
}

void Lexemes::fill_escape(const Key& key, Row& row, Budget& budget) {
  for (size_t i = 0; i < kShortEscapes.size(); ++i) {
    const auto c = static_cast<unsigned char>(kShortEscaped[i]);
    row[static_cast<uint8_t>(kShortEscapes[i])] = inside(follow(key.term, c, budget), true);
  }
  const Key hex{.term = key.term, .phase = Phase::hex, .json = true};
  for (char32_t c = 0; c < 0x20; ++c) {
    if (hex_escaped(c) && follow(key.term, c, budget) != terms_.nothing()) row['u'] = intern(hex);
  }
}

void Lexemes::fill_hex(const Key& key, Row& row, Budget& budget) {
  for (char32_t c = 0; c < 0x20; ++c) {
    if (!hex_escaped(c)) continue;
    const Term to = follow(key.term, c, budget);
    if (to == terms_.nothing() || (key.left == 3 && (c >> 4) != key.low)) continue;
    const char32_t digit = key.left < 2 ? 0 : key.left == 2 ? c >> 4 : c & 15;
    const auto byte = static_cast<uint8_t>("0123456789abcdef"[digit]);
    Key next = key;
    next.left = static_cast<uint8_t>(key.left + 1);
    next.low = key.left == 2 ? digit : key.low;
    row[byte] = key.left == 3 ? inside(to, true) : intern(next);
  }
}

/// Bytes of a shortest text, by characters; ties go to the fewest bytes. Sums along one path, so that each character of
/// it lowers the cost by its own bytes.
int64_t Lexemes::text_cost(Term term, bool json, Budget& budget) {
  auto& known = text_costs_[json ? 1 : 0];
  std::vector<std::pair<Term, int64_t>> path;
  int64_t cost = 0;
  while (true) {
    if (const auto at = known.find(term.id); at != known.end()) {
      cost = at->second;
      break;
    }
    const auto distance = terms_.distance(term, budget);
    if (!distance) {
      cost = kNever;
      break;
    }
    if (*distance == 0) break;
    if (*distance > kLongestText) {
      throw Error(Fault::bad_request, "a text of at least " + std::to_string(*distance) +
                                          " characters is wanted; the limit is " + std::to_string(kLongestText));
    }
    const auto found = terms_.steps(term, budget);
    const std::vector<TermPool::Step> steps(found.begin(), found.end());
    int64_t fewest = kNever;
    Term best;
    for (const auto& step : steps) {
      const auto rest = terms_.distance(step.to, budget);
      if (!rest || *rest + 1 != *distance) continue;
      const int64_t bytes = fewest_bytes(step.first, step.last, json);
      if (bytes < fewest) fewest = bytes, best = step.to;
    }
    budget.step(steps.size() + 1);
    path.emplace_back(term, fewest);
    term = best;
  }
  for (; !path.empty(); path.pop_back()) {
    cost = std::min(kNever, cost + path.back().second);
    known[path.back().first.id] = cost;
  }
  return cost;
}

int64_t Lexemes::cost(State state, Budget& budget) {
  if (costs_[state] >= 0) return costs_[state];
  const Key key = keys_[state];
  int64_t cost = kNever;
  if (state == 0) {
  } else if (key.phase == Phase::done) {
    cost = 0;
  } else if (key.phase == Phase::open || key.phase == Phase::inside) {
    cost = text_cost(key.term, key.json, budget) + (key.json ? 1 : 0) + (key.phase == Phase::open ? 1 : 0);
  } else if (key.uniform) {
    cost = key.left + text_cost(key.term, key.json, budget) + (key.json ? 1 : 0);
  } else {
    // At most five bytes to the next character, so this recursion ends.
    for (const State next : row(state, budget)) {
      if (next != 0) cost = std::min(cost, 1 + this->cost(next, budget));
    }
  }
  return costs_[state] = std::min(cost, kNever);
}

std::vector<int64_t> Lexemes::shortest(State start, size_t count, Budget& budget) {
  constexpr int64_t kLongest = 64;
  std::vector<int64_t> lengths;
  std::unordered_map<State, size_t> reached{{start, 1}};  // by how many texts of the present length
  for (int64_t length = 0; length <= kLongest && !reached.empty(); ++length) {
    std::unordered_map<State, size_t> next;
    for (const auto& [state, texts] : reached) {
      if (accepts(state)) lengths.insert(lengths.end(), std::min(texts, count - lengths.size()), length);
      if (lengths.size() == count) return lengths;
      budget.step(256);
      for (const State to : row(state, budget)) {
        if (to != 0) next[to] = std::min(count, next[to] + texts);
      }
    }
    reached = std::move(next);
  }
  return lengths;
}

size_t Lexemes::bytes() const {
  size_t rows = 0;
  for (const auto& row : rows_) rows += row ? sizeof(Row) : 0;
  return rows + keys_.size() * (sizeof(Key) * 2 + 64);
}

}  // namespace lancet
