#include "grammar/masks.h"

#include <algorithm>
#include <bit>

namespace lancet {
namespace {

constexpr int64_t kNoLimit = kNever;
constexpr int64_t kWithinCharacter = 4;  // bytes that a token may leave of a character: \\u00xx

// How much dearer the next text can be because the one that is read now is excluded, which a shared mask does not know.
constexpr int64_t kOneMoreExcluded = 16;

/// The state to which most bytes lead.
Lexemes::State usual_next(const Lexemes::Row& row) {
  Lexemes::Row sorted = row;
  std::sort(sorted.begin(), sorted.end());
  Lexemes::State best = 0;
  std::ptrdiff_t most = 0;
  for (auto at = sorted.begin(); at != sorted.end();) {
    const auto end = std::upper_bound(at, sorted.end(), *at);
    if (*at != 0 && end - at > most) most = end - at, best = *at;
    at = end;
  }
  return best;
}

void unite(TokenMask& into, const TokenMask& from) {
  for (size_t i = 0; i < into.words().size(); ++i) into.words()[i] |= from.words()[i];
}

/// In a JSON string, behind the opening quote.
bool in_string(const Lexemes& lexemes, const Position& position) {
  return position.kind == Position::Kind::text && lexemes.in_json_string(position.a) && lexemes.is_inside(position.a);
}

}  // namespace

int TokenMask::count() const {
  int count = 0;
  for (const uint64_t word : words_) count += std::popcount(word);
  return count;
}

void Masks::add_tokens(const TokenTrie::Node& node, Entry& entry) const {
  for (uint32_t i = node.first; i < node.last; ++i) entry.mask.set(machine_.trie().ids()[i]);
}

const Masks::Entry& Masks::of(StateId state, Budget& budget) {
  if (const auto at = entries_.find(state); at != entries_.end()) return at->second;
  if (bytes() > cache_bytes_) {
    entries_.clear();
    slices_.clear();
  }
  const auto found = machine_.positions(state);
  const std::vector<Position> positions(found.begin(), found.end());
  const bool accepts = machine_.accepts(state);
  if (positions.size() == 1 && !accepts) return of_position(positions[0], budget);
  Entry entry{TokenMask(machine_.trie().size())};
  for (const Position& position : positions) {
    const Entry& part = of_position(position, budget);
    unite(entry.mask, part.mask);
    entry.worst = std::max(entry.worst, part.worst);
  }
  if (accepts) {
    for (const TokenId end : machine_.trie().ends()) entry.mask.set(end);
  }
  return entries_.insert_or_assign(state, std::move(entry)).first->second;
}

const Masks::Entry& Masks::of_position(const Position& position, Budget& budget) {
  const StateId alone = machine_.alone(position);
  if (const auto at = entries_.find(alone); at != entries_.end()) return at->second;
  Entry entry{TokenMask(machine_.trie().size())};
  Walk walk{entry, kNoLimit, budget};
  if (is_kept(position)) {
    // As if nothing were excluded, which is shared; then what is excluded here is taken out.
    const Entry& shared = of_position(of_unknown_text(position), budget);
    if (position.excluded == 0 && shared.suspects.empty()) return shared;
    entry = shared;
    remove_excluded(position, walk);
    if (position.excluded != 0) entry.worst = kNever;  // what is excluded makes the rest longer
    remove_false_suspects(position, entry, budget);
    return own_ = std::move(entry);  // seldom asked for again
  }
  compute(position, walk);
  if (position.text == kUnknownText) {
    entry.worst = std::min(kNever, entry.worst + kOneMoreExcluded);
    for (const TokenId id : machine_.trie().rejoining()) {
      if (entry.mask.test(id)) entry.suspects.push_back(id);
    }
  }
  return entries_.insert_or_assign(alone, std::move(entry)).first->second;
}

void Masks::compute(const Position& position, Walk& walk) {
  if (position.kind == Position::Kind::control) {
    const int64_t cost = machine_.frame_cost(position.frame);
    if (cost <= walk.limit) {
      walk.into.mask.set(static_cast<TokenId>(machine_.rules().rules[position.rule].index));
      walk.into.worst = std::max(walk.into.worst, cost);
    }
  } else if (in_string(machine_.lexemes(), position)) {
    compute_string(position, walk);
  } else {
    this->walk(machine_.alone(position), 0, static_cast<uint32_t>(machine_.trie().nodes().size()), 0, walk);
  }
}

/// Adds the tokens of the nodes [begin, end), which are the subtrees below a node at `depth` that leads to `from`.
void Masks::walk(StateId from, uint32_t begin, uint32_t end, uint32_t depth, Walk& walk) {
  const auto nodes = machine_.trie().nodes();
  std::vector<StateId> at(static_cast<size_t>(machine_.trie().longest()) + 1);
  at[depth] = from;
  for (uint32_t i = begin; i < end;) {
    const TokenTrie::Node& node = nodes[i];
    walk.budget.step();
    const StateId to = machine_.next(at[node.depth - 1u], node.byte, walk.budget);
    if (to == 0) {
      i = node.end;
      continue;
    }
    at[node.depth] = to;
    ++i;
    if (node.first == node.last) continue;
    const int64_t cost = machine_.cost(to, walk.budget);
    if (cost > walk.limit) continue;
    add_tokens(node, walk.into);
    walk.into.worst = std::max(walk.into.worst, cost);
  }
}

const Masks::Slice& Masks::slice(Lexemes::State state, Budget& budget) {
  Lexemes& lexemes = machine_.lexemes();
  // Shared by all strings that differ only further away than any token reaches.
  const Lexemes::State clipped = lexemes.clipped(state, static_cast<uint32_t>(machine_.trie().longest()));
  if (const auto at = slices_.find(clipped); at != slices_.end()) return at->second;
  Slice made;
  made.cost = lexemes.cost(clipped, budget);
  const auto lengths = lexemes.at_character(clipped) ? machine_.rules().terms.any_of_length(lexemes.term(clipped))
                                                     : std::optional<TermPool::Lengths>();
  const Lexemes::State usual = usual_next(lexemes.row(clipped, budget));
  if (lengths) {
    fill_by_length(*lengths, made);
    made.worst = std::min(kNever, made.cost + kWithinCharacter);
  } else if (usual != clipped && usual != 0 && usual_next(lexemes.row(usual, budget)) == usual) {
    scan_difference(clipped, usual, slice(usual, budget), made, budget);
  } else {
    scan_string(clipped, kNoLimit, made, budget);
  }
  return slices_.emplace(clipped, std::move(made)).first->second;
}

/// The slice of `from` out of that of `other`: the trie is walked in both states at once, and where they have become
/// the same nothing below differs.
void Masks::scan_difference(Lexemes::State from, Lexemes::State other, const Slice& known, Slice& slice,
                            Budget& budget) {
  static constexpr Lexemes::Row kNowhere = {};
  Lexemes& lexemes = machine_.lexemes();
  const TokenTrie& trie = machine_.trie();
  const auto nodes = trie.nodes();
  slice.stay = known.stay;
  slice.worst = std::max(known.worst, slice.cost);
  std::vector<std::pair<const Lexemes::Row*, const Lexemes::Row*>> path(static_cast<size_t>(trie.longest()) + 1);
  path[0] = {&lexemes.row(from, budget), &lexemes.row(other, budget)};
  auto exit = known.exits.begin();
  for (uint32_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const auto [row, other_row] = path[node.depth - 1u];
    const Lexemes::State to = (*row)[node.byte], other_to = (*other_row)[node.byte];
    budget.step();
    if (to == other_to) {
      for (i = node.end; exit != known.exits.end() && *exit < i; ++exit) slice.exits.push_back(*exit);
      continue;
    }
    const bool other_done = exit != known.exits.end() && *exit == i;
    if (other_done) ++exit;
    const int64_t cost = to == 0 ? kNever : lexemes.cost(to, budget);
    const bool done = to != 0 && cost == 0 && lexemes.is_done(to);
    const uint32_t kept = to == 0 ? node.first : node.last;  // tokens from here to the end of the subtree are to go
    for (uint32_t t = node.first; t < kept; ++t) slice.stay.set(trie.ids()[t]);
    if (kept > node.first) slice.worst = std::max(slice.worst, cost);
    if (done && node.end > i + 1) slice.exits.push_back(i);
    if (to == 0 || done) {
      for (uint32_t t = kept; t < nodes[node.end - 1].last; ++t) slice.stay.clear(trie.ids()[t]);
      for (i = node.end; exit != known.exits.end() && *exit < i; ++exit) {}
      continue;
    }
    const bool other_ends = other_to == 0 || other_done;
    path[node.depth] = {&lexemes.row(to, budget), other_ends ? &kNowhere : &lexemes.row(other_to, budget)};
    ++i;
  }
}

/// The slice of a string of which only the length is bounded, from what the vocabulary knows about all strings.
void Masks::fill_by_length(TermPool::Lengths lengths, Slice& slice) const {
  const StringTokens& strings = machine_.trie().string_tokens();
  slice.stay = TokenMask(machine_.trie().size());
  slice.stay.words() = strings.inside;
  for (const auto& token : strings.by_length) {
    if (token.chars <= lengths.longest) break;
    slice.stay.clear(token.id);
  }
  const auto fits = [&](uint64_t chars) { return chars >= lengths.shortest && chars <= lengths.longest; };
  for (const auto& token : strings.closing) {
    if (fits(token.chars)) slice.stay.set(token.id);
  }
  for (const auto& exit : strings.exits) {
    if (fits(exit.chars)) slice.exits.push_back(exit.node);
  }
}

/// The walk of a string's own automaton. Tokens whose rest of the string would cost more than the limit are left out.
void Masks::scan_string(Lexemes::State from, int64_t limit, Slice& slice, Budget& budget) {
  Lexemes& lexemes = machine_.lexemes();
  const TokenTrie& trie = machine_.trie();
  const auto nodes = trie.nodes();
  slice.stay = TokenMask(trie.size());
  slice.cost = lexemes.cost(from, budget);
  struct Place {
    Lexemes::State state;
    int64_t cost;
    const Lexemes::Row* row;
  };
  std::vector<Place> path(static_cast<size_t>(trie.longest()) + 1);
  path[0] = {from, slice.cost, &lexemes.row(from, budget)};
  budget.step(nodes.size() / 8);
  for (uint32_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const Place& before = path[node.depth - 1u];
    const Lexemes::State to = (*before.row)[node.byte];
    if (to == 0) {
      i = node.end;
      continue;
    }
    // Most characters lead back to where they came from.
    const Place& here = path[node.depth] =
        to == before.state ? before : Place{to, lexemes.cost(to, budget), &lexemes.row(to, budget)};
    if (here.cost <= limit && node.first != node.last) {
      for (uint32_t t = node.first; t < node.last; ++t) slice.stay.set(trie.ids()[t]);
      slice.worst = std::max(slice.worst, here.cost);
    }
    const bool done = here.cost == 0 && lexemes.is_done(to);
    if (done && node.end > i + 1) slice.exits.push_back(i);
    i = done ? node.end : i + 1;
  }
}

void Masks::compute_string(const Position& position, Walk& walk) {
  const int64_t behind = machine_.frame_cost(position.frame);
  if (walk.limit < kNoLimit) {
    Slice here;
    scan_string(position.a, walk.limit - behind, here, walk.budget);
    walk.into.mask = here.stay;
    return leave_string(position, here, walk);
  }
  Lexemes& lexemes = machine_.lexemes();
  if (lexemes.at_character(position.a)) {
    if (const auto lengths = machine_.rules().terms.any_of_length(lexemes.term(position.a))) {
      Slice here;
      fill_by_length(*lengths, here);
      walk.into.mask = std::move(here.stay);
      // No character makes such a string's rest longer; a token may end within one.
      walk.into.worst = std::min(kNever, lexemes.cost(position.a, walk.budget) + kWithinCharacter + behind);
      return leave_string(position, here, walk);
    }
  }
  const Slice& shared = slice(position.a, walk.budget);
  walk.into.mask = shared.stay;
  // A clipped string's costs are its own only where nothing that costs was clipped.
  const int64_t cost = lexemes.cost(position.a, walk.budget);
  walk.into.worst = cost == shared.cost ? std::min(kNever, shared.worst + behind) : kNever;
  leave_string(position, shared, walk);
}

/// Adds the tokens that close the string and go on.
void Masks::leave_string(const Position& position, const Slice& slice, Walk& walk) {
  const auto nodes = machine_.trie().nodes();
  const StateId after = machine_.after(position, walk.budget);
  for (const uint32_t exit : slice.exits) {
    this->walk(after, exit + 1, nodes[exit].end, nodes[exit].depth, walk);
  }
}

/// Takes out what begins like an excluded text and can then only become one.
void Masks::remove_excluded(const Position& position, Walk& walk) {
  if (position.excluded == 0) return;
  const TokenTrie& trie = machine_.trie();
  const auto nodes = trie.nodes();
  const uint32_t read = machine_.text_bytes(position.text);
  for (uint32_t i = position.low; i < position.high; ++i) {
    const std::string rest = machine_.excluded(position.excluded).texts[i].substr(read);
    Position at = position;
    uint32_t begin = 0, end = static_cast<uint32_t>(nodes.size());
    for (const char c : rest) {
      walk.budget.step();
      const auto byte = static_cast<uint8_t>(c);
      const uint32_t node = trie.child(begin, end, byte);
      at.a = machine_.lexemes().next(at.a, byte, walk.budget);
      if (node == end || at.a == 0) break;
      machine_.follow_text(at, byte);
      if (!machine_.alive(at, walk.budget)) {
        for (uint32_t t = nodes[node].first; t < nodes[nodes[node].end - 1].last; ++t)
          walk.into.mask.clear(trie.ids()[t]);
        break;
      }
      begin = node + 1;
      end = nodes[node].end;
    }
  }
}

/// A JSON string whose text matters later and is known.
bool Masks::is_kept(const Position& position) const {
  return position.kind == Position::Kind::text && position.text != 0 && position.text != kUnknownText &&
         machine_.lexemes().in_json_string(position.a);
}

Position Masks::of_unknown_text(Position position) {
  position.text = kUnknownText;
  position.excluded = position.low = position.high = 0;
  return position;
}

/// Takes out the tokens that cost more than the limit because of what is excluded: now, or once the string is closed.
void Masks::limit_kept(const Position& position, Walk& walk) {
  const TokenTrie& trie = machine_.trie();
  const StateId alone = machine_.alone(position);
  for (const TokenId id : trie.quoting()) {
    if (!walk.into.mask.test(id)) continue;
    StateId state = alone;
    for (const char c : trie.bytes(id)) state = machine_.next(state, static_cast<uint8_t>(c), walk.budget);
    if (machine_.cost(state, walk.budget) > walk.limit) walk.into.mask.clear(id);
  }
  const uint32_t read = machine_.text_bytes(position.text);
  for (uint32_t i = position.low; i < position.high; ++i) {
    const std::string rest = machine_.excluded(position.excluded).texts[i].substr(read);
    Position at = position;
    uint32_t begin = 0, end = static_cast<uint32_t>(trie.nodes().size());
    for (const char c : rest) {
      const auto byte = static_cast<uint8_t>(c);
      const uint32_t node = trie.child(begin, end, byte);
      at.a = machine_.lexemes().next(at.a, byte, walk.budget);
      if (node == end || at.a == 0 || machine_.lexemes().is_done(at.a)) break;
      machine_.follow_text(at, byte);
      const TokenTrie::Node& here = trie.nodes()[node];
      if (here.first != here.last && machine_.cost(at, walk.budget) > walk.limit) {
        for (uint32_t t = here.first; t < here.last; ++t) walk.into.mask.clear(trie.ids()[t]);
      }
      begin = node + 1;
      end = here.end;
    }
  }
}

void Masks::remove_false_suspects(const Position& position, Entry& entry, Budget& budget) {
  for (const TokenId id : entry.suspects) {
    StateId state = machine_.alone(position);
    for (const char c : machine_.trie().bytes(id)) state = machine_.next(state, static_cast<uint8_t>(c), budget);
    if (state == 0) entry.mask.clear(id);
  }
}

const TokenMask& Masks::within(StateId state, int64_t tokens_left, Budget& budget) {
  const Entry& all = of(state, budget);
  if (all.worst < tokens_left) return all.mask;
  const TokenMask allowed = all.mask;
  const bool accepts = machine_.accepts(state);
  const auto found = machine_.positions(state);
  const std::vector<Position> positions(found.begin(), found.end());
  const int64_t cost = machine_.cost(state, budget);
  // The second and third limit are for costs that do not fall where they should: better late than stuck.
  for (const int64_t limit : {tokens_left - 1, cost - 1, cost, kNever}) {
    limited_ = Entry{TokenMask(machine_.trie().size())};
    for (const Position& position : positions) {
      Entry part{TokenMask(machine_.trie().size())};
      Walk walk{part, limit, budget};
      compute(is_kept(position) ? of_unknown_text(position) : position, walk);
      if (is_kept(position)) limit_kept(position, walk);
      unite(limited_.mask, part.mask);
    }
    for (size_t i = 0; i < limited_.mask.words().size(); ++i) limited_.mask.words()[i] &= allowed.words()[i];
    if (accepts) {
      for (const TokenId end : machine_.trie().ends()) limited_.mask.set(end);
    }
    if (limited_.mask.count() > 0) break;
  }
  return limited_.mask;
}

size_t Masks::bytes() const {
  const size_t each = static_cast<size_t>(machine_.trie().size()) / 8 + 128;
  return (entries_.size() + slices_.size()) * each;
}

}  // namespace lancet
