// Merging. One table maps a pair of neighbours to its rank and result for both kinds of vocabulary: explicit merges are
// ranked by their place in the list, tiktoken's by the id of the token they make. Ties go to the leftmost pair.
#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>

#include "base/check.h"
#include "base/error.h"

namespace lancet {
namespace {

/// Up to here the scan's quadratic cost is below the heap's overhead.
constexpr size_t kShortPiece = 32;
/// Tokens up to here are asked at load whether merging reaches them; longer ones are always merged.
constexpr size_t kLongestWhole = 24;
/// A well-mixed table at half load stays far below; only a crafted file passes it.
constexpr int kMostProbes = 2048;

uint64_t mix(uint64_t key) {  // the finalizer of SplitMix64
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
  return key ^ (key >> 31);
}

/// The rules of tiktoken's ranking: every cut of a normal token into two normal tokens.
template <typename Visit>
void visit_cuts(const Vocabulary& vocabulary, const TokenIndex& index, const Visit& visit) {
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const Token& token = vocabulary.tokens[id];
    if (token.kind != Token::Kind::normal) continue;
    const std::string_view bytes = token.bytes;
    for (size_t cut = 1; cut < bytes.size(); cut++) {
      const auto left = index.find(bytes.substr(0, cut));
      if (!left) continue;
      if (const auto right = index.find(bytes.substr(cut))) visit(*left, *right, static_cast<TokenId>(id));
    }
  }
}

}  // namespace

Bpe::Bpe(const Vocabulary& vocabulary) : whole_(vocabulary.tokens.size()) {
  byte_ids_.fill(-1);
  bool any = false;
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const Token& token = vocabulary.tokens[id];
    if (token.kind != Token::Kind::normal || token.bytes.size() != 1) continue;
    byte_ids_[static_cast<unsigned char>(token.bytes[0])] = static_cast<TokenId>(id);
    any = true;
  }
  if (!any) throw Error(Fault::bad_file, "the vocabulary has no token for any single byte, so no text can be encoded");
  if (vocabulary.merge_by_rank) {
    add_rules_by_rank(vocabulary);
  } else {
    pairs_.resize(std::bit_ceil(2 * vocabulary.merges.size() + 2));
    pair_mask_ = pairs_.size() - 1;
    uint32_t rank = 0;
    for (const Merge& merge : vocabulary.merges) add_rule(merge.left, merge.right, {rank++, merge.result});
  }
  mark_whole_tokens(vocabulary);
}

void Bpe::add_rules_by_rank(const Vocabulary& vocabulary) {
  TokenIndex index(vocabulary.tokens.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    if (vocabulary.tokens[id].kind == Token::Kind::normal) {
      index.insert(vocabulary.tokens[id].bytes, static_cast<TokenId>(id));
    }
  }
  std::vector<Merge> rules;
  visit_cuts(vocabulary, index, [&](TokenId left, TokenId right, TokenId id) { rules.push_back({left, right, id}); });
  pairs_.resize(std::bit_ceil(2 * rules.size() + 2));
  pair_mask_ = pairs_.size() - 1;
  for (const Merge& rule : rules) add_rule(rule.left, rule.right, {static_cast<uint32_t>(rule.result), rule.result});
}

/// With ignore_merges (and by tiktoken's rule) every normal token is taken whole; else those that merging makes of
/// their own bytes, which then need not be merged again each time.
void Bpe::mark_whole_tokens(const Vocabulary& vocabulary) {
  const bool always = vocabulary.ignore_merges || vocabulary.merge_by_rank;
  std::vector<TokenId> ids;
  std::bitset<256> lost;
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const Token& token = vocabulary.tokens[id];
    if (token.kind != Token::Kind::normal || token.bytes.empty()) continue;
    if (!always) {
      if (token.bytes.size() > kLongestWhole) continue;
      ids.clear();
      lost.reset();
      start(token.bytes, ids, lost);
      if (lost.any()) continue;
      merge_short(ids, 0);
      if (ids.size() != 1 || ids[0] != static_cast<TokenId>(id)) continue;
    }
    whole_.insert(token.bytes, static_cast<TokenId>(id));
  }
}

void Bpe::add_rule(TokenId left, TokenId right, Rule rule) {
  const uint64_t key = pair_key(left, right);
  size_t at = mix(key) & pair_mask_;
  for (int probes = 0; pairs_[at].pair != UINT64_MAX && pairs_[at].pair != key; at = (at + 1) & pair_mask_) {
    if (++probes <= kMostProbes) continue;
    throw Error(Fault::bad_file, "the vocabulary's merges are crafted to be slow to look up");
  }
  pairs_[at] = {key, rule};  // of equal pairs the last one counts, as in Hugging Face tokenizers
}

Bpe::Rule Bpe::rule(TokenId left, TokenId right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t at = mix(key) & pair_mask_;; at = (at + 1) & pair_mask_) {
    if (pairs_[at].pair == key) return pairs_[at].rule;
    if (pairs_[at].pair == UINT64_MAX) return {kNoMerge, 0};
  }
}

void Bpe::start(std::string_view piece, std::vector<TokenId>& symbols, std::bitset<256>& lost) const {
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte_ids_[byte] < 0) {
      lost.set(byte);
    } else {
      symbols.push_back(byte_ids_[byte]);
    }
  }
}

void Bpe::encode(std::string_view piece, std::vector<TokenId>& ids, std::bitset<256>& lost, Budget& budget) const {
  budget.step(piece.size());
  if (const auto whole = whole_.find(piece)) {
    ids.push_back(*whole);
    return;
  }
  const size_t first = ids.size();
  start(piece, ids, lost);
  if (ids.size() - first <= kShortPiece) {
    merge_short(ids, first);
  } else {
    merge_long(ids, first, budget);
  }
}

std::vector<TokenId> Bpe::merge(Algorithm algorithm, std::string_view piece, Budget& budget) const {
  std::vector<TokenId> ids;
  std::bitset<256> lost;
  start(piece, ids, lost);
  if (algorithm == Algorithm::scan) {
    CHECK(ids.size() <= kShortPiece);
    merge_short(ids, 0);
  } else {
    merge_long(ids, 0, budget);
  }
  return ids;
}

void Bpe::merge_short(std::vector<TokenId>& ids, size_t first) const {
  TokenId* symbols = ids.data() + first;
  size_t count = ids.size() - first;
  std::array<Rule, kShortPiece> rules;  // rules[i]: symbols i and i + 1
  for (size_t i = 0; i + 1 < count; i++) rules[i] = rule(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; i++) {
      if (rules[i].rank < rules[best].rank) best = i;
    }
    if (rules[best].rank == kNoMerge) break;
    symbols[best] = rules[best].result;
    std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
    if (best + 2 < count) std::copy(&rules[best + 1], &rules[count - 1], &rules[best]);
    count--;
    if (best > 0) rules[best - 1] = rule(symbols[best - 1], symbols[best]);
    if (best + 1 < count) rules[best] = rule(symbols[best], symbols[best + 1]);
  }
  ids.resize(first + count);
}

/// Symbols as a linked list over their first positions. A heap entry is (rank, position); it is stale unless the pair
/// that begins there still has that rank: a rank names one pair.
struct Bpe::LongPiece {
  std::vector<TokenId> symbols;
  std::vector<uint32_t> next, previous;  // size(): none
  std::vector<Rule> rules;               // of the pair that begins here
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap;

  uint32_t size() const { return static_cast<uint32_t>(symbols.size()); }
};

void Bpe::merge_long(std::vector<TokenId>& ids, size_t first, Budget& budget) const {
  const size_t count = ids.size() - first;
  if (count >= UINT32_MAX) throw Error(Fault::too_large, "a single word of 4 GiB or more cannot be encoded");
  budget.charge(count * 48);
  LongPiece piece;
  piece.symbols.assign(ids.begin() + static_cast<ptrdiff_t>(first), ids.end());
  piece.next.resize(count);
  piece.previous.resize(count);
  piece.rules.resize(count);
  const auto update = [&](uint32_t at) {
    const uint32_t right = piece.next[at];
    piece.rules[at] = right < piece.size() ? rule(piece.symbols[at], piece.symbols[right]) : Rule{kNoMerge, 0};
    if (piece.rules[at].rank != kNoMerge) piece.heap.push(uint64_t{piece.rules[at].rank} << 32 | at);
  };
  for (uint32_t i = 0; i < piece.size(); i++) {
    piece.next[i] = i + 1;
    piece.previous[i] = i == 0 ? piece.size() : i - 1;
    update(i);
  }
  while (!piece.heap.empty()) {
    budget.step();
    const auto at = static_cast<uint32_t>(piece.heap.top());
    const auto rank = static_cast<uint32_t>(piece.heap.top() >> 32);
    piece.heap.pop();
    if (piece.rules[at].rank != rank) continue;
    const uint32_t taken = piece.next[at];
    piece.symbols[at] = piece.rules[at].result;
    piece.next[at] = piece.next[taken];
    piece.rules[taken].rank = kNoMerge;
    if (piece.next[at] < piece.size()) piece.previous[piece.next[at]] = at;
    update(at);
    if (piece.previous[at] < piece.size()) update(piece.previous[at]);
  }
  ids.resize(first);
  for (uint32_t at = 0; at < piece.size(); at = piece.next[at]) ids.push_back(piece.symbols[at]);
}

}  // namespace lancet
