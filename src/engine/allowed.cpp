#include "engine/allowed.h"

#include <algorithm>
#include <bit>

#include "engine/penalties.h"
#include "engine/sampler.h"

namespace lancet {
namespace {

constexpr size_t kWord = 64;
constexpr uint32_t kFewInWord = 12;  // fewer are picked one by one

}  // namespace

AllowedTokens::AllowedTokens(const TokenMask& mask, size_t vocabulary)
    : mask_(mask), vocabulary_(std::min(vocabulary, static_cast<size_t>(mask.size()))) {
  const size_t words = (vocabulary_ + kWord - 1) / kWord;
  before_.reserve(words + 1);
  uint32_t count = 0;
  for (size_t i = 0; i < words; i++) {
    before_.push_back(count);
    count += static_cast<uint32_t>(std::popcount(word(i)));
  }
  before_.push_back(count);
}

uint64_t AllowedTokens::word(size_t index) const {
  const uint64_t bits = mask_.words()[index];
  const size_t left = vocabulary_ - index * kWord;
  return left >= kWord ? bits : bits & ((uint64_t{1} << left) - 1);
}

TokenId AllowedTokens::token(TokenId rank) const {
  const auto wanted = static_cast<uint32_t>(rank);
  const auto above = std::upper_bound(before_.begin(), before_.end(), wanted);
  const auto index = static_cast<size_t>(above - before_.begin()) - 1;
  uint64_t bits = word(index);
  for (uint32_t skipped = before_[index]; skipped < wanted; skipped++) bits &= bits - 1;
  return static_cast<TokenId>(index * kWord + static_cast<size_t>(std::countr_zero(bits)));
}

TokenId AllowedTokens::rank(TokenId id) const {
  const auto at = static_cast<size_t>(id);
  if (id < 0 || at >= vocabulary_ || !mask_.test(id)) return count() + id;
  const uint64_t below = word(at / kWord) & ((uint64_t{1} << (at % kWord)) - 1);
  return static_cast<TokenId>(before_[at / kWord]) + std::popcount(below);
}

std::vector<float> AllowedTokens::gather(std::span<const float> logits) const {
  std::vector<float> values(static_cast<size_t>(count()) + 1);  // one more, for what is written and not kept
  float* to = values.data();
  for (size_t i = 0; i + 1 < before_.size(); i++) {
    const uint64_t bits = word(i);
    const float* from = logits.data() + i * kWord;
    const uint32_t ones = before_[i + 1] - before_[i];
    if (ones == kWord) {
      to = std::copy_n(from, kWord, to);
    } else if (ones < kFewInWord || (i + 1) * kWord > logits.size()) {
      for (uint64_t left = bits; left != 0; left &= left - 1) *to++ = from[std::countr_zero(left)];
    } else {
      // Without a branch that nothing could predict.
      for (size_t bit = 0; bit < kWord; bit++) {
        *to = from[bit];
        to += bits >> bit & 1;
      }
    }
  }
  values.pop_back();
  return values;
}

RankedChoice::RankedChoice(const AllowedTokens& allowed, const SamplingParams& given, const SampleContext& context)
    : params(given) {
  const auto ranks = [&](std::span<const TokenId> ids) {
    std::vector<TokenId> result(ids.size());
    std::transform(ids.begin(), ids.end(), result.begin(), [&](TokenId id) { return allowed.rank(id); });
    return result;
  };
  params.top_logprobs = -1;  // scores are of all logits
  for (auto& [token, bias] : params.logit_bias) token = allowed.rank(token);
  params.dry.breakers = ranks(params.dry.breakers);
  std::sort(params.dry.breakers.begin(), params.dry.breakers.end());
  if (looks_back(params)) tokens = ranks(context.tokens);
  forbidden = ranks(context.forbidden);
  ends = ranks(context.ends);
}

}  // namespace lancet
