// The tokenizer.ggml.* metadata of a GGUF -> Vocabulary. Only model "gpt2" (byte-level BPE); the pattern is known by
// the name under tokenizer.ggml.pre, a closed list.
#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/byte_level.h"
#include "checkpoint/special_ids.h"
#include "checkpoint/split_patterns.h"
#include "checkpoint/token_index.h"
#include "checkpoint/tokenizer_readers.h"

namespace lancet {
namespace {

/// llama.cpp's enum llama_token_type.
enum class GgufTokenType : int32_t { normal = 1, unknown, control, user_defined, unused, byte };

[[noreturn]] void fail(const std::string& source, const std::string& problem, const std::string& key) {
  throw Error(Fault::bad_file, fmt::format("{}: tokenizer.ggml.{} {}", source, key, problem), "tokenizer.ggml." + key);
}

/// The byte that a token "<0x0A>" is.
std::optional<char> named_byte(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9', upper = c >= 'A' && c <= 'F', lower = c >= 'a' && c <= 'f';
    if (!digit && !upper && !lower) return std::nullopt;
    value = value * 16 + (digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return static_cast<char>(value);
}

Token read_token(const GgufVocabularyFields& fields, size_t id, const std::string& source, size_t& unspellable) {
  const std::string_view text = fields.tokens[id];
  if (text.size() > kLongestToken) {
    fail(source, fmt::format("has a token of {} bytes (id {})", text.size(), id), "tokens");
  }
  const int32_t type = fields.token_types.empty() ? 1 : fields.token_types[id];
  switch (static_cast<GgufTokenType>(type)) {
    case GgufTokenType::normal: break;
    case GgufTokenType::unknown:
    case GgufTokenType::control: return {std::string(text), text.empty() ? Token::Kind::unused : Token::Kind::control};
    case GgufTokenType::user_defined:
      return {std::string(text), text.empty() ? Token::Kind::unused : Token::Kind::added};
    case GgufTokenType::unused: return {std::string(text), Token::Kind::unused};
    case GgufTokenType::byte: {
      const auto byte = named_byte(text);
      if (byte) return {std::string(1, *byte), Token::Kind::normal};
      fail(source, fmt::format("has the byte token {} (id {}), wanted \"<0x00>\" to \"<0xFF>\"", quoted(text), id),
           "tokens");
    }
    default: fail(source, fmt::format("is {} for id {}, wanted 1 to 6", type, id), "token_type");
  }
  if (text.empty()) return {"", Token::Kind::unused};
  if (auto bytes = bytes_of_byte_level(text)) return {std::move(*bytes), Token::Kind::normal};
  unspellable++;
  return {std::string(text), Token::Kind::unused};
}

void read_tokens(const GgufVocabularyFields& fields, const std::string& source, Vocabulary& vocabulary,
                 Budget& budget) {
  const size_t count = fields.tokens.size();
  if (count == 0) fail(source, "is empty", "tokens");
  if (count > static_cast<size_t>(kMostTokens)) {
    fail(source, fmt::format("has {} entries, at most {} are supported", count, kMostTokens), "tokens");
  }
  if (!fields.token_types.empty() && fields.token_types.size() != count) {
    fail(source, fmt::format("has {} entries, wanted {} as in tokens", fields.token_types.size(), count), "token_type");
  }
  if (fields.token_types.empty()) vocabulary.notes.push_back("the file does not say which tokens are control tokens");
  vocabulary.tokens.reserve(count);
  size_t unspellable = 0;
  for (size_t id = 0; id < count; id++) {
    budget.step();
    vocabulary.tokens.push_back(read_token(fields, id, source, unspellable));
  }
  if (unspellable) {
    vocabulary.notes.push_back(
        fmt::format("{} tokens are not written in the byte-level alphabet; no text gives them", unspellable));
  }
  refuse_repeated_tokens(vocabulary, source);
}

/// llama.cpp ignores merges of tokens that do not exist; so does this, with a note.
void read_merges(const GgufVocabularyFields& fields, const std::string& source, Vocabulary& vocabulary,
                 Budget& budget) {
  TokenIndex index(fields.tokens.size());
  for (size_t id = 0; id < fields.tokens.size(); id++) {
    if (vocabulary.tokens[id].kind == Token::Kind::normal) index.insert(fields.tokens[id], static_cast<TokenId>(id));
  }
  vocabulary.merges.reserve(fields.merges.size());
  size_t ignored = 0;
  std::string joined;
  for (size_t i = 0; i < fields.merges.size(); i++) {
    budget.step();
    const std::string_view text = fields.merges[i];
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.size() > 2 * kLongestToken) {
      fail(source, fmt::format("entry {} is {}, wanted two tokens", i, quoted(text)), "merges");
    }
    const std::string_view left = text.substr(0, space), right = text.substr(space + 1);
    joined = left;
    joined += right;
    const auto a = index.find(left), b = index.find(right), c = index.find(joined);
    if (a && b && c) {
      vocabulary.merges.push_back({*a, *b, *c});
    } else {
      ignored++;
    }
  }
  if (ignored) vocabulary.notes.push_back(fmt::format("{} merges name tokens that do not exist; ignored", ignored));
}

std::optional<TokenId> special_id(const std::optional<int64_t>& id, const std::string& key, const std::string& source,
                                  const Vocabulary& vocabulary) {
  if (!id) return std::nullopt;
  if (*id < 0 || *id >= static_cast<int64_t>(vocabulary.tokens.size())) {
    fail(source, fmt::format("is {}, wanted an id from 0 to {}", *id, vocabulary.tokens.size() - 1), key);
  }
  return static_cast<TokenId>(*id);
}

}  // namespace

Vocabulary read_gguf_vocabulary(const GgufVocabularyFields& fields, const std::string& source, Budget& budget) {
  if (fields.model != "gpt2") {
    throw Error(Fault::unsupported,
                fmt::format("{}: tokenizer.ggml.model is {}, Lancet has \"gpt2\" (byte-level BPE)", source,
                            quoted(fields.model)),
                "tokenizer.ggml.model");
  }
  const GgufPattern* pattern = find_gguf_pattern(fields.pre);
  if (!pattern) {
    throw Error(
        Fault::unsupported,
        fmt::format("{}: tokenizer.ggml.pre is {}, Lancet has {}", source, quoted(fields.pre), gguf_pattern_names()),
        "tokenizer.ggml.pre");
  }
  Vocabulary vocabulary;
  vocabulary.pattern = pattern->pattern;
  vocabulary.ignore_merges = pattern->ignore_merges;
  read_tokens(fields, source, vocabulary, budget);
  read_merges(fields, source, vocabulary, budget);
  vocabulary.bos = special_id(fields.bos, "bos_token_id", source, vocabulary);
  vocabulary.eos = special_id(fields.eos, "eos_token_id", source, vocabulary);
  vocabulary.unknown = special_id(fields.unknown, "unknown_token_id", source, vocabulary);
  vocabulary.padding = special_id(fields.padding, "padding_token_id", source, vocabulary);
  if (const auto eot = special_id(fields.eot, "eot_token_id", source, vocabulary)) {
    vocabulary.end_of_generation.push_back(*eot);
  }
  vocabulary.add_bos = fields.add_bos.value_or(pattern->add_bos) && vocabulary.bos.has_value();
  add_usual_ends(vocabulary);
  return vocabulary;
}

}  // namespace lancet
