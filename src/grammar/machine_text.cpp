// Leaves whose text matters later: keys that must not come twice, items that must differ. Such a position carries what
// it has read and which of the excluded texts begin so; once none does, it is like any other.

#include <algorithm>

#include "grammar/machine.h"

namespace lancet {
namespace {

constexpr uint32_t kCountedExactly = 256;  // texts of a range up to which costs look at each one's tokens

bool is_one_of(const SortedTexts& excluded, const Position& position, const std::string& text) {
  return std::binary_search(excluded.texts.begin() + position.low, excluded.texts.begin() + position.high, text);
}

}  // namespace

TextId Machine::extended(TextId text, uint8_t byte) {
  if (text == kUnknownText) return kUnknownText;
  const size_t before = texts_.size();
  const TextId id = texts_.id({text, byte});
  if (texts_.size() != before) text_bytes_.push_back(text_bytes_[text] + 1);
  return id;
}

std::string Machine::text(TextId id) const {
  std::string bytes;
  for (; id > kEmptyText; id = texts_[id].parent) bytes += static_cast<char>(texts_[id].byte);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

uint32_t Machine::with(uint32_t set, TextId text) { return sets_.id({set, text}); }

const SortedTexts& Machine::excluded(uint32_t set) {
  const auto [at, added] = sorted_sets_.try_emplace(set);
  if (added) {
    auto& texts = at->second.texts;
    for (uint32_t s = set; s != 0; s = sets_[s].parent) {
      if (sets_[s].text != kUnknownText) texts.push_back(text(sets_[s].text));
    }
    std::sort(texts.begin(), texts.end());
  }
  return at->second;
}

void Machine::keep_text(Position& position, uint32_t set) {
  position.text = kEmptyText;
  position.excluded = set;
  position.high = static_cast<uint32_t>(excluded(set).texts.size());
  if (position.high == 0) position.excluded = 0;
}

void Machine::follow_text(Position& position, uint8_t byte) {
  if (position.text == 0) return;
  if (position.excluded != 0) {
    const auto range =
        excluded(position.excluded).narrow({position.low, position.high}, text_bytes_[position.text], byte);
    position.low = range.first;
    position.high = range.last;
    if (range.empty()) position.excluded = position.low = position.high = 0;
  }
  position.text = extended(position.text, byte);
}

bool Machine::is_excluded(const Position& position) {
  if (position.excluded == 0) return false;
  // The shortest of those that begin so comes first.
  return excluded(position.excluded).texts[position.low].size() == text_bytes_[position.text];
}

bool Machine::alive(const Position& position, Budget& budget) {
  if (position.excluded == 0) return true;
  const uint32_t rivals = position.high - position.low;
  const SortedTexts& excluded = this->excluded(position.excluded);
  const uint32_t read = text_bytes_[position.text];
  if (position.kind == Position::Kind::texts) {
    const auto& texts = rules_.texts[rules_.rules[position.rule].index].texts;
    budget.step(rivals);
    for (uint32_t i = position.a; i < position.b; ++i) {
      if (!std::binary_search(excluded.texts.begin() + position.low, excluded.texts.begin() + position.high,
                              texts[i])) {
        return true;
      }
    }
    return false;
  }
  if (lexemes_.is_done(position.a)) return !is_excluded(position);
  if (!lexemes_.at_character(position.a)) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      Position next = position;
      next.a = lexemes_.next(position.a, static_cast<uint8_t>(byte), budget);
      if (next.a == 0) continue;
      follow_text(next, static_cast<uint8_t>(byte));
      if (alive(next, budget)) return true;
    }
    return false;
  }
  const uint64_t texts = rules_.terms.count(lexemes_.term(position.a), uint64_t{rivals} + 1, budget);
  if (texts > rivals) return true;
  uint64_t taken = 0;
  for (uint32_t i = position.low; i < position.high; ++i) {
    Lexemes::State state = position.a;
    for (const char c : std::string_view(excluded.texts[i]).substr(read)) {
      state = lexemes_.next(state, static_cast<uint8_t>(c), budget);
    }
    taken += lexemes_.accepts(state) ? 1 : 0;
  }
  return texts > taken;
}

/// Bytes of a shortest text that is not excluded, if below `best`. As deep as a shortest text is long.
int64_t Machine::text_cost(const Position& position, int64_t best, Budget& budget) {
  if (position.excluded == 0) return lexemes_.cost(position.a, budget);
  if (lexemes_.accepts(position.a) && !is_excluded(position)) return 0;
  std::vector<Position> rivals;  // that still begin like an excluded text
  for (unsigned byte = 0; byte < 256 && best > 1; ++byte) {
    Position next = position;
    next.a = lexemes_.next(position.a, static_cast<uint8_t>(byte), budget);
    if (next.a == 0) continue;
    follow_text(next, static_cast<uint8_t>(byte));
    if (next.excluded != 0) {
      rivals.push_back(next);
    } else {
      best = std::min(best, 1 + lexemes_.cost(next.a, budget));
    }
  }
  for (const Position& next : rivals) {
    if (best > 1) best = std::min(best, 1 + text_cost(next, best - 1, budget));
  }
  return best;
}

int64_t Machine::texts_cost(const Position& position) {
  const auto& texts = rules_.texts[rules_.rules[position.rule].index].texts;
  int64_t best = kNever;
  for (uint32_t i = position.a; i < position.b; ++i) {
    if (position.excluded != 0 && is_one_of(excluded(position.excluded), position, texts[i])) continue;
    const std::string_view rest = std::string_view(texts[i]).substr(position.c);
    const auto tokens = position.b - position.a <= kCountedExactly ? trie_.greedy_tokens(rest)
                                                                   : std::optional(static_cast<int64_t>(rest.size()));
    best = std::min(best, tokens.value_or(kNever));
  }
  return best;
}

}  // namespace lancet
