// tekken.json: the same vocabulary as the tokenizer.json made from it, and refusals.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "checkpoint/base64.h"
#include "checkpoint/tokenizer_readers.h"
#include "support/paths.h"

namespace lancet {
namespace {

std::string small_text() { return read_text_file(test::data_path("tokenizer/small-tekken.json"), 1 << 20); }

Vocabulary read(const std::string& text) {
  Budget budget("test");
  return read_tekken(text, "tekken.json", budget);
}

/// The small file with one piece of its text replaced.
std::string changed(std::string_view from, std::string_view to) {
  std::string text = small_text();
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

void expect_refused(const std::string& text, std::string_view part, Fault fault = Fault::bad_file) {
  try {
    read(text);
    ADD_FAILURE() << "was read, wanted a complaint about " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.message();
    EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
  }
}

TEST(Tekken, HasTheTokensOfTheSameVocabularyAsTokenizerJson) {
  Budget budget("test");
  const Vocabulary tekken = read(small_text());
  const std::string text = read_text_file(test::data_path("tokenizer/small-tokenizer.json"), 1 << 20);
  const Vocabulary json = read_tokenizer_json(text, "tokenizer.json", budget);
  ASSERT_EQ(tekken.tokens.size(), json.tokens.size());
  for (size_t id = 0; id < json.tokens.size(); id++) {
    EXPECT_EQ(tekken.tokens[id].bytes, json.tokens[id].bytes) << id;
    EXPECT_EQ(tekken.tokens[id].kind, json.tokens[id].kind) << id;
  }
  EXPECT_EQ(tekken.pattern, json.pattern);
  EXPECT_TRUE(tekken.merge_by_rank && tekken.merges.empty() && tekken.add_bos);
  EXPECT_EQ(tekken.bos, 1);
  EXPECT_EQ(tekken.eos, 2);
  EXPECT_EQ(tekken.padding, 11);
  EXPECT_EQ(tekken.end_of_generation, std::vector<TokenId>{2});
}

TEST(Tekken, OnlyTheDeclaredEntriesCount) {
  const Vocabulary vocabulary = read(changed("\"default_vocab_size\": 496", "\"default_vocab_size\": 300"));
  EXPECT_EQ(vocabulary.tokens.size(), 300u);
}

TEST(Tekken, RanksLeftOutAreNumberedSpecials) {
  EXPECT_EQ(read(small_text()).tokens[20].bytes, "<SPECIAL_20>");
  EXPECT_EQ(read(small_text()).tokens[39].bytes, "<SPECIAL_39>");
}

TEST(Tekken, ContradictionsAreRefused) {
  expect_refused(changed("\"default_vocab_size\": 496", "\"default_vocab_size\": 497"), "456 entries");
  expect_refused(changed("\"default_vocab_size\": 496", "\"default_vocab_size\": 99999999999"), "default_vocab_size");
  expect_refused(changed("\"default_num_special_tokens\": 40", "\"default_num_special_tokens\": 10"), "special_tokens");
  expect_refused(changed("\"default_num_special_tokens\": 40", "\"default_num_special_tokens\": -1"),
                 "default_num_special");
  expect_refused(changed("\"rank\": 300", "\"rank\": 301"), "vocab[300]");
  expect_refused(changed("\"AA==\"", "\"AA=\""), "vocab[0].token_bytes");
  expect_refused(changed("\"AA==\"", "\"\""), "vocab[0].token_bytes");
  expect_refused(changed("\"AA==\"", "\"A*==\""), "vocab[0].token_bytes");
  expect_refused(changed("\"AA==\"", "\"AQ==\""), "tokens 40 and 41");
  expect_refused(changed("\"AA==\"", "7"), "vocab[0].token_bytes");
  expect_refused(changed("\"rank\": 3,\n\"token_str\": \"[INST]\"", "\"rank\": 2,\n\"token_str\": \"[INST]\""), "once");
  expect_refused(changed("\"[/INST]\"", "\"[INST]\""), "tokens 3 and 4");
  expect_refused(changed("\"special_tokens\"", "\"other\""), "special_tokens is missing");
}

TEST(Tekken, AnUnknownPatternIsRefusedAndQuoted) {
  expect_refused(changed("|\\\\p{N}| ?", "|\\\\p{N}{1,3}| ?"), "{1,3}", Fault::unsupported);
}

TEST(Base64, TakesTheCanonicalFormOnly) {
  EXPECT_EQ(base64_decode(""), "");
  EXPECT_EQ(base64_decode("Zg=="), "f");
  EXPECT_EQ(base64_decode("Zm8="), "fo");
  EXPECT_EQ(base64_decode("Zm9v"), "foo");
  EXPECT_EQ(base64_decode("/+8="), "\xff\xef");
  for (const char* wrong : {"Z", "Zg", "Zg=", "Zg=a", "Zh==", "Zm9=", "====", "Z===", " Zg=", "Zm9v\n", "Zm-_"}) {
    EXPECT_EQ(base64_decode(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace lancet
