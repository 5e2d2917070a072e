// What a grammar means for one request: which tokens may come next, which must, and how the answer ends in time. Knows
// the grammar's state and the tokens of the answer, neither engine nor model.
//
// What ends an answer beside its grammar, and who prevails:
//   - it ends as soon as nothing but its end may come, also with ignore_eos and before min_tokens;
//   - end tokens and stop tokens may come only where the grammar lets the answer end, not before min_tokens otherwise;
//   - a stop string counts only where the grammar lets the answer end just before it; elsewhere it is text;
//   - max_tokens and a repetition let the grammar close what is open first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/budget.h"
#include "engine/allowed.h"
#include "engine/generation.h"
#include "engine/sampler.h"
#include "grammar/grammar.h"
#include "text/tokenizer.h"

namespace lancet {

/// One request's. The engine's thread. What spends a budget throws Error{budget} when it is spent; then the constraint
/// is of no more use.
class Constraint {
 public:
  /// `vocabulary`: how many logits there are. The request, which has a grammar, and the tokenizer must outlive it.
  /// Throws Error{bad_request} if no token of the vocabulary can begin the answer.
  Constraint(const GenerationRequest&, const Tokenizer&, int vocabulary, Budget&);

  /// Tokens that come next without a choice and were not taken yet. The state is already behind them.
  std::span<const TokenId> forced() const { return forced_; }
  /// Takes them all.
  std::vector<TokenId> take_forced();
  /// The next token: the first of forced(), else what sample() draws of what is allowed.
  TokenScore choose(std::span<const float> logits, const SamplingParams&, SampleContext, Budget&);
  /// Takes the token that was chosen, unless it ends the answer, and works out what follows.
  /// Throws Error{bad_request} if no token of the vocabulary may follow.
  void accept(TokenId, Budget&);
  /// Ends the answer as soon as the grammar lets it.
  void close(FinishReason, Budget&);

  /// Set when the answer must end here, without another token.
  bool complete() const { return complete_ && forced_.empty(); }
  /// Why an answer ends for which `natural` would be the reason.
  FinishReason reason(FinishReason natural) const { return closed_early_ ? early_reason_ : natural; }
  /// The same for one that is complete.
  FinishReason end_reason() const {
    return reason(left() > 0 || state_.must_end() ? FinishReason::stop : FinishReason::length);
  }
  bool closed_early() const { return closed_early_; }
  /// Every token that choose() may look at if there are at most `most` of them; else null.
  const TokenMask* few(int most) const;
  /// Whether the text may end so many bytes from its beginning, which must not be further back than
  /// forget_before() said.
  bool may_stop(size_t offset, Budget&) const;
  void forget_before(size_t offset);

 private:
  int64_t left() const { return limit_ - decided_; }
  bool take(TokenId, Budget&);
  void note(TokenId);
  void prepare(Budget&);
  bool force(Budget&);
  bool force_only(Budget&);
  void make_masks(Budget&);
  void adjust(TokenMask&, bool may_end) const;
  bool only_ends(const TokenMask&) const;
  void plan_cut(Budget&);
  bool fits(std::span<const TokenId>, Budget&) const;
  bool stays_in_string(TokenId, Budget&) const;

  const GenerationRequest& request_;
  const Tokenizer& tokenizer_;
  int vocabulary_;
  std::vector<TokenId> ends_;  // the model's own end tokens and the stop tokens, ascending
  std::vector<TokenId> marker_;
  GrammarState state_;  // behind all decided tokens
  int64_t limit_;       // tokens that the answer may have
  int64_t decided_ = 0;
  std::vector<TokenId> forced_;
  TokenMask allowed_, within_;  // what the grammar allows next, and of that what leaves time to end
  int count_ = 0;               // of allowed_
  bool narrowed_ = false;       // within_ is less than allowed_
  bool complete_ = false;
  std::vector<TokenId> cut_;  // what ends a long string here if the model does not
  bool cutting_ = false;      // it was chosen
  bool closed_early_ = false;
  FinishReason early_reason_ = FinishReason::length;
  std::string tail_;                        // the last bytes of the answer
  int line_tokens_ = 0, longest_line_ = 0;  // since the last line end in a string, and the longest so far

  /// Where the tokens begin in the text, and the state before them.
  struct Step {
    size_t begin;
    TokenId token;
    GrammarState before;
  };
  std::vector<Step> trail_;  // only with stop strings
  size_t bytes_ = 0;         // of the text
};

}  // namespace lancet
