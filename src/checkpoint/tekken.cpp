// Mistral's tekken.json: tokens in rank order as base64, merged by rank, ids shifted by the number of special tokens.
// Follows mistral-common, tokens/tokenizers/tekken.py: the file may hold more entries than the model has; the first
// default_vocab_size - default_num_special_tokens count.
#include <fmt/format.h>

#include "base/json.h"
#include "checkpoint/base64.h"
#include "checkpoint/special_ids.h"
#include "checkpoint/split_patterns.h"
#include "checkpoint/tokenizer_readers.h"

namespace lancet {
namespace json = boost::json;
namespace {

/// The special tokens: ids 0 to `count`. Ranks that the file leaves out are "<SPECIAL_rank>".
void read_specials(const JsonView& list, size_t count, Vocabulary& vocabulary) {
  if (list.size() > count) list.fail(fmt::format("at most default_num_special_tokens = {} entries", count));
  vocabulary.tokens.resize(count, {"", Token::Kind::control});
  for (size_t i = 0; i < list.size(); i++) {
    const JsonView entry = list.element(i);
    const JsonView rank = entry.at("rank");
    Token& token = vocabulary.tokens[static_cast<size_t>(rank.integer(0, static_cast<int64_t>(count) - 1))];
    if (!token.bytes.empty()) rank.fail("each rank once");
    const JsonView name = entry.at("token_str");
    if (name.string().empty() || name.string().size() > kLongestToken) name.fail("a name");
    token.bytes = name.string();
  }
  for (size_t rank = 0; rank < count; rank++) {
    if (vocabulary.tokens[rank].bytes.empty()) vocabulary.tokens[rank].bytes = fmt::format("<SPECIAL_{}>", rank);
  }
}

void read_ranks(const JsonView& list, size_t count, const std::string& source, Vocabulary& vocabulary, Budget& budget) {
  const json::array& entries = list.array();
  if (entries.size() < count) {
    throw Error(Fault::bad_file,
                fmt::format("{}: vocab has {} entries, wanted at least {} (default_vocab_size - "
                            "default_num_special_tokens)",
                            source, entries.size(), count),
                "vocab");
  }
  vocabulary.tokens.reserve(vocabulary.tokens.size() + count);
  for (size_t rank = 0; rank < count; rank++) {
    budget.step();
    const json::object* entry = entries[rank].if_object();
    const json::value* found = entry ? entry->if_contains("rank") : nullptr;
    const json::value* encoded = entry ? entry->if_contains("token_bytes") : nullptr;
    if (!found || !found->is_int64() || found->get_int64() != static_cast<int64_t>(rank)) {
      list.element(rank).fail(fmt::format("an entry of rank {}: ranks have no gaps", rank));
    }
    if (!encoded || !encoded->is_string()) list.element(rank).at("token_bytes").fail("base64 text");
    const json::string& text = encoded->get_string();
    auto bytes = base64_decode({text.data(), text.size()});
    if (!bytes || bytes->empty() || bytes->size() > kLongestToken) {
      list.element(rank).at("token_bytes").fail("base64 of at least one byte");
    }
    vocabulary.tokens.push_back({std::move(*bytes), Token::Kind::normal});
  }
}

}  // namespace

Vocabulary read_tekken(std::string_view text, const std::string& source, Budget& budget) {
  constexpr JsonLimits kLimits{.depth = 32, .nodes = 8'000'000};
  const json::value document = parse_json(text, source, kLimits, budget);
  const JsonView root(document, source, Fault::bad_file);
  const JsonView config = root.at("config");
  const std::string_view regex = config.at("pattern").string();
  const auto pattern = pattern_of_regex(regex);
  if (!pattern) {
    throw Error(Fault::unsupported,
                fmt::format("{}: config.pattern is {}, which is not one that Lancet has", source, quoted(regex, 600)),
                "config.pattern");
  }
  const int64_t size = config.at("default_vocab_size").integer(1, kMostTokens);
  const int64_t specials = config.at("default_num_special_tokens").integer(0, size);
  Vocabulary vocabulary;
  vocabulary.pattern = *pattern;
  vocabulary.ignore_merges = true;
  vocabulary.merge_by_rank = true;
  read_specials(root.at("special_tokens"), static_cast<size_t>(specials), vocabulary);
  read_ranks(root.at("vocab"), static_cast<size_t>(size - specials), source, vocabulary, budget);
  refuse_repeated_tokens(vocabulary, source);
  vocabulary.bos = find_named(vocabulary, "<s>");
  vocabulary.eos = find_named(vocabulary, "</s>");
  vocabulary.unknown = find_named(vocabulary, "<unk>");
  vocabulary.padding = find_named(vocabulary, "<pad>");
  vocabulary.add_bos = vocabulary.bos.has_value();
  add_usual_ends(vocabulary);
  return vocabulary;
}

}  // namespace lancet
