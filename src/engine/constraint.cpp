#include "engine/constraint.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace lancet {
namespace {

constexpr size_t kForcedBytes = 512;  // looked ahead at once
constexpr size_t kTailBytes = 64;
/// A long string is cut at a line end from so many tokens before the last moment, earlier where lines are longer.
constexpr int64_t kLineWindow = 32;
/// Tokens between the moment when the marker must begin and the one when it could not any more: there may be an escape
/// or a character to finish first.
constexpr int64_t kMarkerSlack = 3;
constexpr int64_t kMarkerShare = 8;  // the marker is at most this part of what the answer may have
constexpr std::string_view kMarker = "…[truncated by max_tokens]\"";

/// What may follow a forced text, for the question how the text is cut into tokens whatever follows.
constexpr std::array<std::string_view, 14> kProbes = {"a", "A", " a", "1",  "\"", ",", ".",
                                                      ":", "{", "}",  "\n", "\\", "_", "é"};

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

std::vector<TokenId> encode(const Tokenizer& tokenizer, std::string_view text, Budget& budget) {
  return tokenizer.encode(text, false, budget).ids;
}

/// The first of the text's tokens, as the tokenizer would write them whatever came behind the text.
std::vector<TokenId> certain_tokens(const Tokenizer& tokenizer, const std::string& text, bool ends, Budget& budget) {
  std::vector<TokenId> ids = encode(tokenizer, text, budget);
  if (ends || ids.empty()) return ids;
  ids.pop_back();
  for (const std::string_view probe : kProbes) {
    const auto other = encode(tokenizer, text + std::string(probe), budget);
    const auto differs = std::mismatch(ids.begin(), ids.end(), other.begin(), other.end()).first;
    ids.erase(differs, ids.end());
  }
  // A word that goes on behind the text may be cut quite differently, so it is left whole to the model.
  size_t size = 0;
  for (const TokenId id : ids) size += tokenizer.bytes(id).size();
  while (!ids.empty() && size < text.size() && is_word(text[size - 1]) && is_word(text[size])) {
    size -= tokenizer.bytes(ids.back()).size();
    ids.pop_back();
  }
  return ids;
}

/// Whether the text ends with the escape of a line end, as a JSON string has it.
bool ends_line(std::string_view text) {
  if (!text.ends_with('n')) return false;
  text.remove_suffix(1);
  const size_t other = text.find_last_not_of('\\');
  return (text.size() - (other == text.npos ? 0 : other + 1)) % 2 == 1;
}

}  // namespace

Constraint::Constraint(const GenerationRequest& request, const Tokenizer& tokenizer, int vocabulary, Budget& budget)
    : request_(request),
      tokenizer_(tokenizer),
      vocabulary_(vocabulary),
      ends_(tokenizer.vocabulary().end_of_generation),
      marker_(encode(tokenizer, kMarker, budget)),
      state_(request.grammar),
      limit_(request.max_tokens) {
  ends_.insert(ends_.end(), request.stop_tokens.begin(), request.stop_tokens.end());
  std::sort(ends_.begin(), ends_.end());
  const int64_t needed = state_.tokens_to_end(budget);
  if (needed > limit_)
    throw Error(Fault::bad_request,
                fmt::format("max_tokens is {}, but the shortest answer that the grammar allows may take {} tokens",
                            limit_, needed),
                "max_tokens");
  prepare(budget);
}

std::vector<TokenId> Constraint::take_forced() { return std::exchange(forced_, {}); }

TokenScore Constraint::choose(std::span<const float> logits, const SamplingParams& params, SampleContext context,
                              Budget& budget) {
  const auto given = [&](TokenId token) {
    return params.top_logprobs < 0 ? TokenScore{.token = token} : score_token(logits, token, params.top_logprobs);
  };
  if (!forced_.empty()) return given(forced_.front());
  context.allowed = &allowed_;
  TokenScore score = sample(logits, params, context);
  if (narrowed_ && !within_.test(score.token)) {
    // Drawing again from those that remain is a draw from their own distribution, and tells that time decided.
    context.allowed = &within_;
    score = sample(logits, params, context);
    closed_early_ = true;
  }
  if (cut_.empty() || !stays_in_string(score.token, budget)) return score;
  cutting_ = closed_early_ = true;
  return given(cut_.front());
}

void Constraint::accept(TokenId token, Budget& budget) {
  if (!forced_.empty()) {
    CHECK(token == forced_.front());
    forced_.erase(forced_.begin());
    return;
  }
  if (std::exchange(cutting_, false)) {
    for (const TokenId next : std::exchange(cut_, {})) CHECK(take(next, budget));
  } else {
    const GrammarState before = state_;
    if (!state_.accept(token, budget)) throw Error(Fault::internal, "the grammar refused a token that it had allowed");
    if (!request_.stop.empty()) trail_.push_back({bytes_, token, before});
    note(token);
  }
  forced_.erase(forced_.begin());
  prepare(budget);
}

void Constraint::close(FinishReason reason, Budget& budget) {
  if (closed_early_ && early_reason_ == reason) return;
  closed_early_ = true;
  early_reason_ = reason;
  limit_ = std::min(limit_, decided_ + state_.tokens_to_end(budget));
  prepare(budget);
}

const TokenMask* Constraint::few(int most) const {
  return forced_.empty() && !complete_ && count_ <= most ? &allowed_ : nullptr;
}

bool Constraint::may_stop(size_t offset, Budget& budget) const {
  const auto above = std::upper_bound(trail_.begin(), trail_.end(), offset,
                                      [](size_t at, const Step& step) { return at < step.begin; });
  if (above == trail_.begin()) return false;
  const Step& step = *std::prev(above);
  GrammarState state = step.before;
  const std::string_view bytes = tokenizer_.bytes(step.token);
  return state.accept_bytes(bytes.substr(0, offset - step.begin), budget) && state.may_end();
}

void Constraint::forget_before(size_t offset) {
  const auto above = std::upper_bound(trail_.begin(), trail_.end(), offset,
                                      [](size_t at, const Step& step) { return at < step.begin; });
  if (above - trail_.begin() > 1) trail_.erase(trail_.begin(), std::prev(above));
}

/// Takes a token without a choice, if the grammar lets it and the answer can still end in time.
bool Constraint::take(TokenId token, Budget& budget) {
  if (std::binary_search(ends_.begin(), ends_.end(), token) || token >= vocabulary_) return false;
  GrammarState next = state_;
  if (!next.accept(token, budget) || next.tokens_to_end(budget) > left() - 1) return false;
  if (!request_.stop.empty()) trail_.push_back({bytes_, token, state_});
  state_ = next;
  note(token);
  return true;
}

/// What is remembered of a token that the state is behind now.
void Constraint::note(TokenId token) {
  forced_.push_back(token);
  decided_++;
  line_tokens_++;
  if (tokenizer_.is_control(token)) return;
  const std::string_view bytes = tokenizer_.bytes(token);
  bytes_ += bytes.size();
  tail_ += bytes;
  if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  if (!ends_line(tail_)) return;
  longest_line_ = std::max(line_tokens_, longest_line_ * 3 / 4);  // lines of long ago count less
  line_tokens_ = 0;
}

/// Works out everything about the next token.
void Constraint::prepare(Budget& budget) {
  cut_.clear();
  do {
    while (!(complete_ = state_.must_end() || left() <= 0) && force(budget)) {}
    if (complete_) return;
    make_masks(budget);
  } while (!complete_ && force_only(budget));
  if (!complete_) plan_cut(budget);
}

/// Takes tokens that spell what must come; false: there are none.
bool Constraint::force(Budget& budget) {
  if (const auto control = state_.forced_control()) return take(*control, budget);
  const std::string bytes = state_.forced(kForcedBytes, budget);
  if (bytes.empty()) return false;
  GrammarState behind = state_;
  if (!behind.accept_bytes(bytes, budget)) throw Error(Fault::internal, "the grammar refused bytes that it had forced");
  const bool ends = behind.must_end() || behind.forced_control();
  if (bytes.size() == 1 && !ends) return false;  // it may belong to a longer token
  const int64_t before = decided_;
  for (const TokenId token : certain_tokens(tokenizer_, bytes, ends, budget))
    if (!take(token, budget)) break;
  return decided_ > before;
}

/// Takes the only token that is allowed, if it is the only one.
bool Constraint::force_only(Budget& budget) {
  if (count_ != 1 || narrowed_) return false;
  const AllowedTokens only(allowed_, static_cast<size_t>(vocabulary_));
  return take(only.token(0), budget);
}

void Constraint::make_masks(Budget& budget) {
  const bool may_end = state_.may_end();
  if (!closed_early_) {
    allowed_ = state_.allowed(budget);
    adjust(allowed_, may_end);
  }
  within_ = state_.allowed_within(left(), budget);
  adjust(within_, may_end);
  if (closed_early_) allowed_ = within_;
  narrowed_ = within_.words() != allowed_.words();
  count_ = allowed_.count();
  complete_ = may_end && only_ends(allowed_);
  if (complete_ || within_.count() > 0) return;
  // There is no time to go on, and end tokens do not count here.
  complete_ = closed_early_ = may_end;
  if (complete_) return;
  throw Error(Fault::bad_request,
              fmt::format("the grammar allows no token of this vocabulary after {}", lancet::quoted(tail_)), "grammar");
}

/// What the request says of the tokens that end an answer.
void Constraint::adjust(TokenMask& mask, bool may_end) const {
  const auto put = [&](TokenId id, bool allowed) {
    if (id >= 0 && id < mask.size()) allowed ? mask.set(id) : mask.clear(id);
  };
  const bool too_short = decided_ < request_.min_tokens;
  if (request_.ignore_eos || too_short)
    for (const TokenId id : tokenizer_.vocabulary().end_of_generation) put(id, false);
  for (const TokenId id : request_.stop_tokens) put(id, may_end && !too_short);
  for (TokenId id = vocabulary_; id < mask.size(); id++) mask.clear(id);
}

bool Constraint::only_ends(const TokenMask& mask) const {
  int ends = 0;
  for (size_t i = 0; i < ends_.size(); i++)
    if ((i == 0 || ends_[i] != ends_[i - 1]) && ends_[i] < mask.size()) ends += mask.test(ends_[i]);
  return mask.count() == ends;
}

/// Where a long string is cut if it would pass max_tokens: behind a line if one ends near the last moment, else at the
/// last moment behind words that say so.
void Constraint::plan_cut(Budget& budget) {
  const int64_t room = left() - state_.tokens_to_end(budget);
  const int64_t window = std::max(kLineWindow, std::min<int64_t>(longest_line_ + 1, limit_ / 4));
  const auto marker_size = static_cast<int64_t>(marker_.size());
  if (room > std::max(window, marker_size + kMarkerSlack) || !state_.in_free_string(budget)) return;
  if (ends_line(tail_) && room <= window) {
    cut_ = encode(tokenizer_, "\"", budget);
  } else if (room <= marker_size + kMarkerSlack && marker_size * kMarkerShare <= request_.max_tokens) {
    cut_ = marker_;
  }
  if (!fits(cut_, budget)) cut_.clear();
}

bool Constraint::fits(std::span<const TokenId> tokens, Budget& budget) const {
  GrammarState state = state_;
  int64_t rest = left();
  for (const TokenId token : tokens) {
    if (std::binary_search(ends_.begin(), ends_.end(), token) || token >= vocabulary_) return false;
    if (!state.accept(token, budget) || state.tokens_to_end(budget) > --rest) return false;
  }
  return true;
}

bool Constraint::stays_in_string(TokenId token, Budget& budget) const {
  if (std::binary_search(ends_.begin(), ends_.end(), token)) return false;
  GrammarState next = state_;
  return next.accept(token, budget) && next.in_free_string(budget);
}

}  // namespace lancet
