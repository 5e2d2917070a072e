// tokenizer.ggml.*: the same vocabulary as from tokenizer.json, names of patterns, and refusals.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "checkpoint/byte_level.h"
#include "checkpoint/tokenizer_readers.h"
#include "support/paths.h"

namespace lancet {
namespace {

Vocabulary read(const GgufVocabularyFields& fields) {
  Budget budget("test");
  return read_gguf_vocabulary(fields, "model.gguf", budget);
}

/// a=0, b=1, ab=2, control <x>=3.
GgufVocabularyFields fields() {
  return {.model = "gpt2",
          .pre = "gpt-2",
          .tokens = {"a", "b", "ab", "<x>"},
          .merges = {"a b"},
          .token_types = {1, 1, 1, 3}};
}

template <typename Change>
void expect_refused(const Change& change, std::string_view part, Fault fault = Fault::bad_file) {
  GgufVocabularyFields changed = fields();
  change(changed);
  try {
    read(changed);
    ADD_FAILURE() << "was read, wanted a complaint about " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.message();
    EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
  }
}
using Fields = GgufVocabularyFields;

TEST(GgufVocabulary, EqualsTheTokenizerJsonItWasMadeFrom) {
  Budget budget("test");
  const std::string text = read_text_file(test::data_path("tokenizer/small-tokenizer.json"), 1 << 20);
  const Vocabulary json = read_tokenizer_json(text, "tokenizer.json", budget);
  std::vector<std::string> texts, merges;
  Fields gguf{.model = "gpt2", .pre = "tekken", .tokens = {}, .merges = {}, .token_types = {}, .bos = 1, .eos = 2};
  for (const Token& token : json.tokens) {
    const bool control = token.kind == Token::Kind::control;
    texts.push_back(control ? token.bytes : byte_level_of_bytes(token.bytes));
    gguf.token_types.push_back(control ? 3 : 1);
  }
  for (const Merge& merge : json.merges) merges.push_back(texts[merge.left] + " " + texts[merge.right]);
  gguf.tokens.assign(texts.begin(), texts.end());
  gguf.merges.assign(merges.begin(), merges.end());
  const Vocabulary found = read(gguf);
  ASSERT_EQ(found.tokens.size(), json.tokens.size());
  for (size_t id = 0; id < json.tokens.size(); id++) {
    EXPECT_EQ(found.tokens[id].bytes, json.tokens[id].bytes);
    EXPECT_EQ(found.tokens[id].kind, json.tokens[id].kind);
  }
  ASSERT_EQ(found.merges.size(), json.merges.size());
  for (size_t i = 0; i < json.merges.size(); i++) EXPECT_EQ(found.merges[i].result, json.merges[i].result);
  EXPECT_EQ(found.pattern, json.pattern);
  EXPECT_EQ(found.ignore_merges, json.ignore_merges);
  EXPECT_TRUE(found.add_bos);
  EXPECT_EQ(found.end_of_generation, json.end_of_generation);
}

TEST(GgufVocabulary, NamesOfPatternsAreAClosedList) {
  const std::pair<const char*, SplitPattern> names[] = {
      {"tekken", SplitPattern::tekken},    {"pixtral", SplitPattern::tekken}, {"smollm", SplitPattern::smollm},
      {"llama-bpe", SplitPattern::llama3}, {"llama3", SplitPattern::llama3},  {"gpt-2", SplitPattern::gpt2}};
  for (const auto& [name, pattern] : names) {
    Fields named = fields();
    named.pre = name;
    EXPECT_EQ(read(named).pattern, pattern) << name;
  }
  for (const char* unknown : {"default", "", "qwen2"}) {
    expect_refused([&](Fields& f) { f.pre = unknown; }, "tekken, pixtral", Fault::unsupported);
  }
  expect_refused([](Fields& f) { f.model = "llama"; }, "\"llama\"", Fault::unsupported);
}

TEST(GgufVocabulary, TokenTypesBecomeKinds) {
  Fields typed = fields();
  typed.tokens = {"a", "<unk>", "<c>", "<u>", "[PAD1]", "<0x0A>"};
  typed.token_types = {1, 2, 3, 4, 5, 6};
  typed.merges.clear();
  const Vocabulary vocabulary = read(typed);
  using Kind = Token::Kind;
  const Kind kinds[] = {Kind::normal, Kind::control, Kind::control, Kind::added, Kind::unused, Kind::normal};
  for (size_t id = 0; id < 6; id++) EXPECT_EQ(vocabulary.tokens[id].kind, kinds[id]) << id;
  EXPECT_EQ(vocabulary.tokens[5].bytes, "\n");
}

TEST(GgufVocabulary, BosIsAddedAsTheFileSaysOrThePatternsCustom) {
  Fields said = fields();
  said.bos = 3;
  EXPECT_FALSE(read(said).add_bos);
  said.add_bos = true;
  EXPECT_TRUE(read(said).add_bos);
  said.pre = "tekken";
  said.add_bos = std::nullopt;
  EXPECT_TRUE(read(said).add_bos);
  said.add_bos = false;
  EXPECT_FALSE(read(said).add_bos);
}

TEST(GgufVocabulary, EotEndsGenerationToo) {
  Fields said = fields();
  said.eos = 3;
  said.eot = 2;
  EXPECT_EQ(read(said).end_of_generation, (std::vector<TokenId>{2, 3}));
}

TEST(GgufVocabulary, ContradictionsAreRefused) {
  expect_refused(
      [](Fields& f) {
        f.tokens.clear();
        f.token_types.clear();
      },
      "tokens is empty");
  expect_refused([](Fields& f) { f.token_types.pop_back(); }, "token_type has 3 entries");
  for (const int32_t type : {0, 7, -1, INT32_MAX}) {
    expect_refused([&](Fields& f) { f.token_types[1] = type; }, "token_type is");
  }
  for (const char* byte : {"<0x-1>", "<0xZZ>", "<0x100>", "<0x1>", "0x0A", ""}) {
    expect_refused(
        [&](Fields& f) {
          f.tokens[1] = byte;
          f.token_types[1] = 6;
        },
        "byte token");
  }
  expect_refused([](Fields& f) { f.tokens[1] = "a"; }, "tokens 0 and 1");
  expect_refused([](Fields& f) { f.bos = 4; }, "bos_token_id");
  expect_refused([](Fields& f) { f.eos = -1; }, "eos_token_id");
  expect_refused([](Fields& f) { f.eot = int64_t{1} << 40; }, "eot_token_id");
  expect_refused([](Fields& f) { f.padding = 4; }, "padding_token_id");
  expect_refused([](Fields& f) { f.merges = {"ab"}; }, "merges entry 0");
  const std::string huge(100'000, 'a');
  expect_refused([&](Fields& f) { f.tokens[1] = huge; }, "100000 bytes");
}

TEST(GgufVocabulary, MergesOfUnknownTokensAreIgnoredWithANote) {
  Fields odd = fields();
  odd.merges = {"a q", "a b", "b a"};
  const Vocabulary vocabulary = read(odd);
  EXPECT_EQ(vocabulary.merges.size(), 1u);
  ASSERT_EQ(vocabulary.notes.size(), 1u);
  EXPECT_NE(vocabulary.notes[0].find("2 merges"), std::string::npos);
}

}  // namespace
}  // namespace lancet
