#include "grammar/grammar.h"

#include "base/error.h"
#include "grammar/grammar_state.h"

namespace lancet {
namespace {

constexpr uint32_t kFreeBytes = 128;  // a string that takes any so many is a place where a long answer can be cut

}  // namespace

std::shared_ptr<GrammarSession> Grammar::State::make_session(Budget& budget) {
  auto made = std::make_shared<GrammarSession>(rules.state(), costs, *trie, lexemes, limits.cache_bytes);
  made->start = made->machine.start(start, budget);
  return made;
}

Grammar::Grammar(std::unique_ptr<State> state) : state_(std::move(state)) {}
Grammar::~Grammar() = default;

std::shared_ptr<Grammar> Grammar::make(Rules rules, RuleId start, std::shared_ptr<const TokenTrie> trie, Budget& budget,
                                       GrammarLimits limits) {
  auto state = std::make_unique<State>(std::move(rules), start, std::move(trie), limits);
  state->costs = analyse(state->rules.state(), *state->trie, state->lexemes, budget);
  if (state->costs[start] >= kNever) {
    throw Error(Fault::bad_request, "no text satisfies the constraint, or the vocabulary cannot spell one");
  }
  state->session = state->make_session(budget);
  return std::shared_ptr<Grammar>(new Grammar(std::move(state)));
}

int64_t Grammar::shortest_tokens() const { return state_->costs[state_->start]; }

size_t Grammar::bytes() const {
  return state_->rules.terms().bytes() + state_->lexemes.bytes() + state_->session->machine.bytes() +
         state_->session->masks.bytes() + state_->rules.count() * (sizeof(Rule) + 32);
}

GrammarState::GrammarState(std::shared_ptr<Grammar> grammar) : grammar_(std::move(grammar)) {
  Grammar::State& state = grammar_->state();
  if (state.session->machine.bytes() > state.limits.cache_bytes) {
    Budget endless("a grammar");
    state.session = state.make_session(endless);
  }
  session_ = state.session;
  at_ = session_->start;
}

const TokenMask& GrammarState::allowed(Budget& budget) {
  if (ended_) return nothing();
  return session_->masks.of(at_, budget).mask;
}

const TokenMask& GrammarState::allowed_within(int64_t tokens_left, Budget& budget) {
  if (ended_) return nothing();
  return session_->masks.within(at_, tokens_left, budget);
}

const TokenMask& GrammarState::nothing() {
  thread_local TokenMask none;
  none = TokenMask(session_->machine.trie().size());
  return none;
}

bool GrammarState::accept(TokenId token, Budget& budget) {
  if (ended_ || token < 0 || token >= session_->machine.trie().size()) return false;
  const TokenTrie& trie = session_->machine.trie();
  for (const TokenId end : trie.ends()) {
    if (end == token && may_end()) return ended_ = true;
  }
  if (trie.is_control(token)) {
    const StateId to = session_->machine.next_control(at_, token, budget);
    if (to != 0) at_ = to;
    return to != 0;
  }
  return !trie.bytes(token).empty() && accept_bytes(trie.bytes(token), budget);
}

bool GrammarState::accept_bytes(std::string_view bytes, Budget& budget) {
  StateId to = ended_ ? 0 : at_;
  for (const char c : bytes) {
    to = session_->machine.next(to, static_cast<uint8_t>(c), budget);
    if (to == 0) return false;
  }
  if (to != 0) at_ = to;
  return to != 0;
}

bool GrammarState::may_end() const { return !ended_ && session_->machine.accepts(at_); }
bool GrammarState::must_end() const { return ended_ || session_->machine.positions(at_).empty(); }

std::string GrammarState::forced(size_t limit, Budget& budget) {
  std::string bytes;
  for (StateId at = ended_ ? 0 : at_; at != 0 && bytes.size() < limit;) {
    const auto byte = session_->machine.only_byte(at, budget);
    if (!byte) break;
    bytes += static_cast<char>(*byte);
    at = session_->machine.next(at, *byte, budget);
  }
  return bytes;
}

std::optional<TokenId> GrammarState::forced_control() const {
  const auto positions = session_->machine.positions(at_);
  if (ended_ || may_end() || positions.size() != 1 || positions[0].kind != Position::Kind::control) return std::nullopt;
  return static_cast<TokenId>(session_->machine.rules().rules[positions[0].rule].index);
}

int64_t GrammarState::tokens_to_end(Budget& budget) const { return ended_ ? 0 : session_->machine.cost(at_, budget); }

bool GrammarState::in_free_string(Budget& budget) const {
  const auto positions = session_->machine.positions(at_);
  if (ended_ || positions.size() != 1 || positions[0].kind != Position::Kind::text || positions[0].text != 0)
    return false;
  Lexemes& lexemes = session_->machine.lexemes();
  const Lexemes::State state = positions[0].a;
  if (!lexemes.in_json_string(state) || !lexemes.is_inside(state) || !lexemes.at_character(state)) return false;
  return lexemes.next(state, '"', budget) != 0 && lexemes.clipped(state, kFreeBytes) == lexemes.free_string();
}

}  // namespace lancet
