// Encoding in three steps: control and added tokens are cut out of the text where its trust allows, what lies between
// is cut into pieces (pretokenizer.h), each piece is merged (bpe.h).
#include "text/tokenizer.h"

#include <bitset>

#include "base/check.h"
#include "base/utf8.h"
#include "checkpoint/token_index.h"
#include "text/bpe.h"
#include "text/control_matcher.h"
#include "text/pretokenizer.h"

namespace lancet {

struct Tokenizer::Tables {
  explicit Tables(Vocabulary v)
      : vocabulary(std::move(v)), bpe(vocabulary), matcher(vocabulary), controls(vocabulary.tokens.size()) {
    for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
      const Token& token = vocabulary.tokens[id];
      if (token.kind == Token::Kind::control) controls.insert(token.bytes, static_cast<TokenId>(id));
    }
    ends.resize(vocabulary.tokens.size());
    for (const TokenId id : vocabulary.end_of_generation) ends.at(static_cast<size_t>(id)) = true;
  }

  const Token& token(TokenId id) const {
    CHECK(id >= 0 && static_cast<size_t>(id) < vocabulary.tokens.size());
    return vocabulary.tokens[static_cast<size_t>(id)];
  }

  Vocabulary vocabulary;
  Bpe bpe;
  ControlMatcher matcher;
  TokenIndex controls;
  std::vector<bool> ends;
};

namespace {

/// What one call to encode fills; `lost` becomes Encoded::lost_bytes.
struct Output {
  std::vector<TokenId> ids;
  std::bitset<256> lost;
};

std::vector<uint8_t> byte_values(const std::bitset<256>& set) {
  std::vector<uint8_t> values;
  for (size_t byte = 0; byte < 256; byte++) {
    if (set.test(byte)) values.push_back(static_cast<uint8_t>(byte));
  }
  return values;
}

template <typename Tables>
void encode_text(const Tables& tables, std::string_view text, bool trusted, Output& out, Budget& budget) {
  for (size_t at = 0; at < text.size();) {
    const ControlMatcher::Match match = tables.matcher.next(text, at, trusted, budget);
    // A control token ends the text before it: the pattern's look-ahead must not see it.
    const std::string_view plain = text.substr(0, match.begin);
    while (at < plain.size()) {
      const size_t end = next_piece(tables.vocabulary.pattern, plain, at, budget);
      tables.bpe.encode(plain.substr(at, end - at), out.ids, out.lost, budget);
      at = end;
    }
    if (match.id >= 0) out.ids.push_back(match.id);
    at = match.end;
  }
}

}  // namespace

Tokenizer::Tokenizer(Vocabulary vocabulary) : tables_(std::make_unique<const Tables>(std::move(vocabulary))) {}
Tokenizer::~Tokenizer() = default;

Encoded Tokenizer::encode(std::span<const PromptPiece> prompt, Budget& budget) const {
  Output out;
  for (size_t i = 0; i < prompt.size();) {
    const bool trusted = prompt[i].trusted;
    std::string joined;
    std::string_view text = prompt[i++].text;
    for (; i < prompt.size() && (prompt[i].trusted == trusted || prompt[i].text.empty()); i++) {
      if (prompt[i].text.empty()) continue;
      if (joined.empty()) joined = text;
      joined += prompt[i].text;
      text = joined;
    }
    encode_text(*tables_, text, trusted, out, budget);
  }
  return {std::move(out.ids), byte_values(out.lost)};
}

Encoded Tokenizer::encode(std::string_view text, bool trusted, Budget& budget) const {
  Output out;
  encode_text(*tables_, text, trusted, out, budget);
  return {std::move(out.ids), byte_values(out.lost)};
}

std::string_view Tokenizer::bytes(TokenId id) const { return tables_->token(id).bytes; }
bool Tokenizer::is_control(TokenId id) const { return tables_->token(id).kind == Token::Kind::control; }

bool Tokenizer::ends_generation(TokenId id) const {
  CHECK(id >= 0 && id < size());
  return tables_->ends[static_cast<size_t>(id)];
}

std::optional<TokenId> Tokenizer::control(std::string_view name) const { return tables_->controls.find(name); }
int Tokenizer::size() const { return static_cast<int>(tables_->vocabulary.tokens.size()); }
const Vocabulary& Tokenizer::vocabulary() const { return tables_->vocabulary; }

std::string Tokenizer::decode(std::span<const TokenId> ids, bool show_control) const {
  std::string joined;
  for (const TokenId id : ids) {
    const Token& token = tables_->token(id);
    if (show_control || token.kind != Token::Kind::control) joined += token.bytes;
  }
  return utf8_lossy(joined);
}

}  // namespace lancet
