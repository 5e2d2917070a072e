// The tokens that a grammar allows, as a small vocabulary of their own: ranked by id from 0. What chooses among them is
// the sampler that chooses among all, on the logits of these alone, so every parameter means the same with a grammar,
// and the work grows with what is allowed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sampling.h"
#include "grammar/grammar.h"

namespace lancet {

struct SampleContext;

/// Views the mask. Ids at or beyond `vocabulary` are not allowed, whatever the mask says.
class AllowedTokens {
 public:
  AllowedTokens(const TokenMask& mask, size_t vocabulary);

  int count() const { return static_cast<int>(before_.back()); }
  /// The allowed token with so many allowed ones before it; rank < count().
  TokenId token(TokenId rank) const;
  /// The rank of an allowed token; for every other id a number of its own from count() on.
  TokenId rank(TokenId id) const;
  /// The logits of the allowed tokens, by rank. No other logit is read.
  std::vector<float> gather(std::span<const float> logits) const;

 private:
  uint64_t word(size_t index) const;

  const TokenMask& mask_;
  size_t vocabulary_;
  std::vector<uint32_t> before_;  // allowed tokens before each word of 64, and all of them
};

/// Parameters and context of a choice in terms of ranks. Holds what its context views.
struct RankedChoice {
  RankedChoice(const AllowedTokens&, const SamplingParams&, const SampleContext&);
  RankedChoice(const RankedChoice&) = delete;

  SamplingParams params;
  std::vector<TokenId> tokens, forbidden, ends;
};

}  // namespace lancet
