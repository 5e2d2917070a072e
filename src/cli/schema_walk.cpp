#include "cli/schema_walk.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <vector>

#include "base/random.h"

namespace lancet {
namespace {

class Watch {
 public:
  explicit Watch(WalkTimes& times) : times_(times), start_(std::chrono::steady_clock::now()) {}
  ~Watch() {
    const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - start_;
    times_.steps++;
    times_.total_us += spent.count();
    times_.longest_us = std::max(times_.longest_us, spent.count());
  }

 private:
  WalkTimes& times_;
  std::chrono::steady_clock::time_point start_;
};

bool step(GrammarState& state, TokenId token, Budget& budget, WalkTimes& times) {
  const Watch watch(times);
  return state.allowed(budget).test(token) && state.accept(token, budget);
}

/// The set bits of a mask, chosen from in one pass over its words.
TokenId random_member(const std::vector<uint64_t>& words, Random& random) {
  uint64_t count = 0;
  for (const uint64_t word : words) count += static_cast<uint64_t>(std::popcount(word));
  uint64_t left = random.below(count);
  for (size_t i = 0; i < words.size(); i++) {
    uint64_t word = words[i];
    const auto here = static_cast<uint64_t>(std::popcount(word));
    if (left >= here) {
      left -= here;
      continue;
    }
    for (; left > 0; left--) word &= word - 1;
    return static_cast<TokenId>(i * 64) + std::countr_zero(word);
  }
  return -1;
}

TokenMask single_bytes(const Tokenizer& tokenizer) {
  TokenMask mask(tokenizer.size());
  for (TokenId id = 0; id < tokenizer.size(); id++)
    if (tokenizer.ends_generation(id) || (!tokenizer.is_control(id) && tokenizer.bytes(id).size() == 1)) mask.set(id);
  return mask;
}

}  // namespace

bool walk_text(const std::shared_ptr<Grammar>& grammar, const Tokenizer& tokenizer, std::string_view text,
               Budget& budget, WalkTimes& times) {
  const Encoded encoded = tokenizer.encode(text, false, budget);
  if (!encoded.lost_bytes.empty()) return false;
  GrammarState state(grammar);
  for (const TokenId id : encoded.ids)
    if (!step(state, id, budget, times)) return false;
  return state.may_end();
}

RandomText random_text(const std::shared_ptr<Grammar>& grammar, const Tokenizer& tokenizer, uint64_t seed,
                       int64_t max_tokens, Budget& budget) {
  const TokenMask bytes = single_bytes(tokenizer);
  Random random(seed);
  RandomText result;
  GrammarState state(grammar);
  std::vector<uint64_t> words;
  while (!state.ended() && (result.tokens < max_tokens || !state.may_end())) {
    const TokenMask& allowed = state.allowed_within(max_tokens - result.tokens, budget);
    words = allowed.words();
    if (random.below(2)) {
      for (size_t i = 0; i < words.size(); i++) words[i] &= bytes.words()[i];
      if (std::all_of(words.begin(), words.end(), [](uint64_t w) { return w == 0; })) words = allowed.words();
    }
    if (allowed.count() == 0) return result;
    const TokenId id = random_member(words, random);
    if (!state.accept(id, budget)) return result;
    if (state.ended()) break;
    result.tokens++;
    result.text += tokenizer.bytes(id);
    if (result.tokens > max_tokens) return result;
  }
  result.ended = true;
  return result;
}

}  // namespace lancet
