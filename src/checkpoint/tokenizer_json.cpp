// Hugging Face's tokenizer.json, byte-level BPE only. The three big lists (vocabulary, merges, added tokens) are walked
// without JsonView, whose paths would cost more than the parsing.
#include <algorithm>

#include <fmt/format.h>
#include <boost/json/value.hpp>

#include "base/json.h"
#include "checkpoint/byte_level.h"
#include "checkpoint/special_ids.h"
#include "checkpoint/token_index.h"
#include "checkpoint/tokenizer_json_parts.h"
#include "checkpoint/tokenizer_readers.h"

namespace lancet {
namespace json = boost::json;
namespace {

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

struct Source {
  const std::string& name;
  Budget& budget;

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(Fault::bad_file, fmt::format("{}: {}", name, problem));
  }
};

void check_model_options(const JsonView& model, const Source& source) {
  const auto refuse = [&](std::string_view key) {
    throw Error(Fault::unsupported,
                fmt::format("{}: model.{} is {}, which Lancet does not have", source.name, key,
                            model.at(key).value().is_string() ? quoted(model.at(key).string()) : std::string("set")),
                fmt::format("model.{}", key));
  };
  if (const auto type = model.find("type"); type && type->string() != "BPE") refuse("type");
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto value = model.find(key); value && !value->string().empty()) refuse(key);
  }
  if (const auto dropout = model.find("dropout"); dropout && dropout->number(0, 1) != 0) refuse("dropout");
  if (const auto fallback = model.find("byte_fallback"); fallback && fallback->boolean()) refuse("byte_fallback");
}

/// The id under a "vocab" key or in an added token.
size_t checked_id(const Source& source, const json::value* value, std::string_view text) {
  const int64_t* id = value ? value->if_int64() : nullptr;
  if (!id || *id < 0 || *id >= kMostTokens) {
    source.fail(fmt::format("the id of token {} is not an integer from 0 to {}", quoted(text), kMostTokens - 1));
  }
  if (text.size() > kLongestToken) {
    source.fail(fmt::format("token {} has {} bytes, at most {} are supported", *id, text.size(), kLongestToken));
  }
  return static_cast<size_t>(*id);
}

/// Texts by id as the file spells them; views into the document. A null view is a hole.
using Spellings = std::vector<std::string_view>;

Spellings read_spellings(const Source& source, const json::object& vocab) {
  size_t size = 0;
  for (const auto& entry : vocab) {
    size = std::max(size, checked_id(source, &entry.value(), {entry.key().data(), entry.key().size()}) + 1);
  }
  Spellings spellings(size);
  for (const auto& entry : vocab) {
    source.budget.step();
    const std::string_view text(entry.key().data(), entry.key().size());
    auto& spelling = spellings[static_cast<size_t>(entry.value().get_int64())];
    if (spelling.data()) {
      source.fail(fmt::format("tokens {} and {} have the same id {}", quoted(spelling), quoted(text),
                              entry.value().get_int64()));
    }
    spelling = text;
  }
  return spellings;
}

void read_added_token(const Source& source, const json::object& token, Spellings& spellings, Vocabulary& vocabulary) {
  const json::value* content = token.if_contains("content");
  if (!content || !content->is_string()) source.fail("an added token has no text under \"content\"");
  const std::string_view text = view(content->get_string());
  if (text.empty()) return;  // Hugging Face ignores it too
  for (const char* key : {"single_word", "lstrip", "rstrip"}) {
    const json::value* value = token.if_contains(key);
    if (!value || !value->is_bool() || !value->get_bool()) continue;
    throw Error(Fault::unsupported,
                fmt::format("{}: added token {} has {}, which Lancet does not have", source.name, quoted(text), key));
  }
  const size_t id = checked_id(source, token.if_contains("id"), text);
  if (id >= spellings.size()) {
    spellings.resize(id + 1);
    vocabulary.tokens.resize(id + 1, {"", Token::Kind::unused});
  }
  if (spellings[id].data() && spellings[id] != text) {
    source.fail(fmt::format("id {} is token {} and added token {}", id, quoted(spellings[id]), quoted(text)));
  }
  spellings[id] = text;
  const json::value* special = token.if_contains("special");
  const bool control = special && special->is_bool() && special->get_bool();
  vocabulary.tokens[id] = {std::string(text), control ? Token::Kind::control : Token::Kind::added};
}

/// Fills tokens: what the vocabulary spells is byte-level text, what added tokens spell is text.
void read_tokens(const Source& source, const json::object& vocab, const JsonView& root, Spellings& spellings,
                 Vocabulary& vocabulary) {
  spellings = read_spellings(source, vocab);
  vocabulary.tokens.resize(spellings.size(), {"", Token::Kind::unused});
  if (const auto added = root.find("added_tokens")) {
    for (const json::value& token : added->array()) {
      source.budget.step();
      if (!token.is_object()) source.fail("added_tokens has an entry that is no object");
      read_added_token(source, token.get_object(), spellings, vocabulary);
    }
  }
  size_t holes = 0, unspellable = 0;
  for (size_t id = 0; id < spellings.size(); id++) {
    source.budget.step();
    Token& token = vocabulary.tokens[id];
    if (token.kind != Token::Kind::unused) continue;
    holes += !spellings[id].data();
    if (spellings[id].empty()) continue;
    if (auto bytes = bytes_of_byte_level(spellings[id])) {
      token = {std::move(*bytes), Token::Kind::normal};
    } else {
      token.bytes = spellings[id];
      unspellable++;
    }
  }
  if (vocabulary.tokens.empty()) source.fail("the vocabulary is empty");
  if (holes) vocabulary.notes.push_back(fmt::format("{} ids have no token", holes));
  if (unspellable) {
    vocabulary.notes.push_back(
        fmt::format("{} tokens are not written in the byte-level alphabet; no text gives them", unspellable));
  }
}

/// "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> merge_parts(const Source& source, const json::value& merge,
                                                          size_t number) {
  if (const auto* text = merge.if_string()) {
    const std::string_view whole = view(*text);
    const size_t space = whole.find(' ');
    if (space != std::string_view::npos && whole.find(' ', space + 1) == std::string_view::npos) {
      return {whole.substr(0, space), whole.substr(space + 1)};
    }
  } else if (const auto* pair = merge.if_array(); pair && pair->size() == 2) {
    const json::string* left = (*pair)[0].if_string();
    const json::string* right = (*pair)[1].if_string();
    if (left && right) return {view(*left), view(*right)};
  }
  source.fail(fmt::format("merge {} is not two tokens", number));
}

void read_merges(const Source& source, const json::array& merges, const Spellings& spellings, Vocabulary& vocabulary) {
  TokenIndex index(spellings.size());
  for (size_t id = 0; id < spellings.size(); id++) {
    if (vocabulary.tokens[id].kind == Token::Kind::normal) index.insert(spellings[id], static_cast<TokenId>(id));
  }
  vocabulary.merges.reserve(merges.size());
  std::string joined, last_joined;
  std::optional<TokenId> result;
  for (size_t i = 0; i < merges.size(); i++) {
    source.budget.step();
    if (const auto* text = merges[i].if_string(); text && i == 0 && view(*text).starts_with("#version")) continue;
    const auto [left, right] = merge_parts(source, merges[i], i);
    joined = left;
    joined += right;
    // Files list all ways to make a token one after the other.
    if (joined != last_joined) result = index.find(joined);
    last_joined = joined;
    const auto a = index.find(left), b = index.find(right);
    if (!a || !b || !result) {
      const std::string_view missing = !a ? left : !b ? right : std::string_view(joined);
      source.fail(fmt::format("merge {} names {}, which is not a token", i, quoted(missing)));
    }
    vocabulary.merges.push_back({*a, *b, *result});
  }
}

/// An unknown token is only harmless if no byte needs it.
void check_unknown(const JsonView& model, const Source& source, Vocabulary& vocabulary) {
  const auto unknown = model.find("unk_token");
  if (!unknown) return;
  vocabulary.unknown = find_named(vocabulary, unknown->string());
  std::vector<bool> present(256);
  for (const Token& token : vocabulary.tokens) {
    if (token.kind == Token::Kind::normal && token.bytes.size() == 1) {
      present[static_cast<unsigned char>(token.bytes[0])] = true;
    }
  }
  if (std::find(present.begin(), present.end(), false) == present.end()) return;
  throw Error(Fault::unsupported,
              fmt::format("{}: model.unk_token is {} and some bytes have no token: encoding to "
                          "unknown tokens is not something that Lancet has",
                          source.name, quoted(unknown->string())),
              "model.unk_token");
}

}  // namespace

Vocabulary read_tokenizer_json(std::string_view text, const std::string& name, Budget& budget) {
  constexpr JsonLimits kLimits{.depth = 32, .nodes = 8'000'000};
  const json::value document = parse_json(text, name, kLimits, budget);
  const JsonView root(document, name, Fault::bad_file);
  const JsonView model = root.at("model");
  const Source source{name, budget};
  check_normalizer(root, name);
  check_decoder(root, name);
  check_model_options(model, source);
  Vocabulary vocabulary;
  vocabulary.pattern = read_pre_tokenizer(root, name);
  if (const auto ignore = model.find("ignore_merges")) vocabulary.ignore_merges = ignore->boolean();
  Spellings spellings;
  read_tokens(source, model.at("vocab").object(), root, spellings, vocabulary);
  refuse_repeated_tokens(vocabulary, name);
  read_merges(source, model.at("merges").array(), spellings, vocabulary);
  check_unknown(model, source, vocabulary);
  read_post_processor(root, name, vocabulary);
  add_usual_ends(vocabulary);
  return vocabulary;
}

}  // namespace lancet
