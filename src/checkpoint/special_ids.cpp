#include "checkpoint/special_ids.h"

#include <algorithm>

#include <fmt/format.h>
#include <boost/json/value.hpp>

#include "base/json.h"
#include "checkpoint/token_index.h"
#include "checkpoint/tokenizer_readers.h"

namespace lancet {
namespace {

constexpr std::string_view kUsualEnds[] = {"<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "</s>"};

bool matches_text(Token::Kind kind) { return kind == Token::Kind::control || kind == Token::Kind::added; }

void add_end(Vocabulary& vocabulary, TokenId id) {
  auto& ends = vocabulary.end_of_generation;
  if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
}

struct SpecialFiles {
  std::optional<JsonView> generation, tokenizer;
};

/// An id, or a list of them, from generation_config.json.
std::vector<TokenId> ids_of(const SpecialFiles& files, std::string_view key, const Vocabulary& vocabulary) {
  std::vector<TokenId> ids;
  const auto value = files.generation ? files.generation->find(key) : std::nullopt;
  if (!value) return ids;
  const auto last = static_cast<int64_t>(vocabulary.tokens.size()) - 1;
  if (!value->value().is_array()) return {static_cast<TokenId>(value->integer(0, last))};
  for (size_t i = 0; i < value->size(); i++) ids.push_back(static_cast<TokenId>(value->element(i).integer(0, last)));
  return ids;
}

/// A token from tokenizer_config.json, written as its text or as {"content": text}.
std::optional<TokenId> id_of_name(const SpecialFiles& files, std::string_view key, Vocabulary& vocabulary) {
  auto value = files.tokenizer ? files.tokenizer->find(key) : std::nullopt;
  if (value && value->value().is_object()) value = value->find("content");
  if (!value) return std::nullopt;
  const std::string_view name = value->string();
  const auto id = find_named(vocabulary, name);
  if (!id) {
    vocabulary.notes.push_back(
        fmt::format("tokenizer_config.json: {} is {}, which is not a special token of the "
                    "vocabulary; ignored",
                    key, quoted(name)));
  }
  return id;
}

}  // namespace

std::optional<TokenId> find_named(const Vocabulary& vocabulary, std::string_view name) {
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const Token& token = vocabulary.tokens[id];
    if (matches_text(token.kind) && token.bytes == name) return static_cast<TokenId>(id);
  }
  return std::nullopt;
}

void add_usual_ends(Vocabulary& vocabulary) {
  if (vocabulary.eos) add_end(vocabulary, *vocabulary.eos);
  for (const std::string_view name : kUsualEnds) {
    const auto id = find_named(vocabulary, name);
    if (id && vocabulary.tokens[static_cast<size_t>(*id)].kind == Token::Kind::control) add_end(vocabulary, *id);
  }
}

void refuse_repeated_tokens(const Vocabulary& vocabulary, const std::string& source) {
  TokenIndex normal(vocabulary.tokens.size()), special(vocabulary.tokens.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const Token& token = vocabulary.tokens[id];
    if (token.kind == Token::Kind::unused) continue;
    TokenIndex& index = matches_text(token.kind) ? special : normal;
    if (index.insert(token.bytes, static_cast<TokenId>(id))) continue;
    throw Error(Fault::bad_file, fmt::format("{}: tokens {} and {} are both {}, wanted each token once", source,
                                             *index.find(token.bytes), id, quoted(token.bytes)));
  }
}

void set_special_ids(Vocabulary& vocabulary, std::string_view generation_config, std::string_view tokenizer_config,
                     Budget& budget) {
  boost::json::value generation, tokenizer;
  SpecialFiles files;
  if (!generation_config.empty()) {
    generation = parse_json(generation_config, "generation_config.json", {}, budget);
    files.generation.emplace(generation, "generation_config.json", Fault::bad_file);
  }
  if (!tokenizer_config.empty()) {
    tokenizer = parse_json(tokenizer_config, "tokenizer_config.json", {}, budget);
    files.tokenizer.emplace(tokenizer, "tokenizer_config.json", Fault::bad_file);
  }
  const auto choose = [&](std::optional<TokenId>& field, std::string_view name_key, std::string_view id_key) {
    const auto ids = ids_of(files, id_key, vocabulary);
    if (const auto named = id_of_name(files, name_key, vocabulary)) {
      field = named;
    } else if (!ids.empty() && !field) {
      field = ids[0];
    }
  };
  choose(vocabulary.bos, "bos_token", "bos_token_id");
  choose(vocabulary.eos, "eos_token", "eos_token_id");
  choose(vocabulary.padding, "pad_token", "pad_token_id");
  if (const auto unknown = id_of_name(files, "unk_token", vocabulary)) vocabulary.unknown = unknown;
  for (const TokenId id : ids_of(files, "eos_token_id", vocabulary)) add_end(vocabulary, id);
  add_usual_ends(vocabulary);
}

}  // namespace lancet
