// Characters <-> tokens: byte-level BPE with control tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// A run of prompt text. Only trusted text (the template's own) may spell control tokens; what a user typed stays
/// text, whatever it looks like.
struct PromptPiece {
  std::string text;
  bool trusted = false;
};

struct Encoded {
  std::vector<TokenId> ids;
  /// Byte values that the vocabulary cannot express and that are therefore missing from ids, each once, in order of
  /// value. Callers must report them: nothing is dropped silently.
  std::vector<uint8_t> lost_bytes;
};

/// Immutable after construction; any thread.
class Tokenizer {
 public:
  explicit Tokenizer(Vocabulary vocabulary);  // throws Error{bad_file} for a vocabulary without any byte tokens
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;

  /// Encodes the pieces. Adjacent pieces of equal trust are one text; a border between trust levels is a token border.
  /// No bos is added. Linear in the text up to a log factor; spends a few budget steps a byte (at most 40).
  Encoded encode(std::span<const PromptPiece> prompt, Budget&) const;
  Encoded encode(std::string_view text, bool trusted, Budget&) const;

  /// The bytes of a token, possibly part of a character. Control tokens: their name. id must be in [0, size()).
  std::string_view bytes(TokenId) const;
  bool is_control(TokenId) const;
  bool ends_generation(TokenId) const;
  std::optional<TokenId> control(std::string_view name) const;  // e.g. "[INST]"
  int size() const;
  const Vocabulary& vocabulary() const;

  /// All bytes joined; control tokens are included if `show_control`. Ill-formed UTF-8 becomes U+FFFD.
  std::string decode(std::span<const TokenId> ids, bool show_control) const;

 private:
  struct Tables;
  std::unique_ptr<const Tables> tables_;
};

}  // namespace lancet
