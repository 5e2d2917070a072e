// tokenizer.json: what is read, and that every part that Lancet lacks or that contradicts itself is refused by name.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "checkpoint/byte_level.h"
#include "checkpoint/tokenizer_readers.h"
#include "support/paths.h"

namespace lancet {
namespace {

Vocabulary read(const std::string& text) {
  Budget budget("test");
  return read_tokenizer_json(text, "tokenizer.json", budget);
}

constexpr std::string_view kByteLevel = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";

/// The parts of a document with the tokens a=0, b=1, ab=2 and the control token <x>=3.
struct Parts {
  std::string vocab = R"({"a":0,"b":1,"ab":2})";
  std::string merges = R"(["a b"])";
  std::string added = R"([{"id":3,"content":"<x>","special":true}])";
  std::string normalizer = "null";
  std::string pre_tokenizer = std::string(kByteLevel);
  std::string post_processor = "null";
  std::string decoder = R"({"type":"ByteLevel"})";
  std::string options = "";  // of the model, each followed by a comma

  std::string text() const {
    return R"({"added_tokens":)" + added + R"(,"normalizer":)" + normalizer + R"(,"pre_tokenizer":)" + pre_tokenizer +
           R"(,"post_processor":)" + post_processor + R"(,"decoder":)" + decoder + R"(,"model":{"type":"BPE",)" +
           options + R"("vocab":)" + vocab + R"(,"merges":)" + merges + "}}";
  }
};

/// Reading fails with this fault, and the message has this in it.
void expect_refused(const std::string& text, Fault fault, std::string_view part) {
  try {
    read(text);
    ADD_FAILURE() << "was read: " << text.substr(0, 300);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.message();
    EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
  }
}

TEST(TokenizerJson, ReadsTokensMergesAndControls) {
  const Vocabulary vocabulary = read(Parts{}.text());
  ASSERT_EQ(vocabulary.tokens.size(), 4u);
  EXPECT_EQ(vocabulary.tokens[2].bytes, "ab");
  EXPECT_EQ(vocabulary.tokens[3].bytes, "<x>");
  EXPECT_EQ(vocabulary.tokens[3].kind, Token::Kind::control);
  ASSERT_EQ(vocabulary.merges.size(), 1u);
  EXPECT_EQ(vocabulary.merges[0].result, 2);
  EXPECT_EQ(vocabulary.pattern, SplitPattern::gpt2);
  EXPECT_FALSE(vocabulary.add_bos || vocabulary.ignore_merges || vocabulary.merge_by_rank);
}

TEST(TokenizerJson, ReadsTheSmallVocabulary) {
  const Vocabulary vocabulary = read(read_text_file(test::data_path("tokenizer/small-tokenizer.json"), 1 << 20));
  EXPECT_EQ(vocabulary.tokens.size(), 496u);
  EXPECT_EQ(vocabulary.pattern, SplitPattern::tekken);
  EXPECT_TRUE(vocabulary.ignore_merges);
  EXPECT_TRUE(vocabulary.add_bos);
  EXPECT_EQ(vocabulary.bos, 1);
  EXPECT_EQ(vocabulary.end_of_generation, std::vector<TokenId>{2});
  for (int byte = 0; byte < 256; byte++) {
    EXPECT_EQ(vocabulary.tokens[static_cast<size_t>(40 + byte)].bytes, std::string(1, static_cast<char>(byte)));
  }
}

TEST(TokenizerJson, MergesMayBePairsAndMayNameSpaces) {
  EXPECT_EQ(read(Parts{.merges = R"([["a","b"]])"}.text()).merges[0].result, 2);
  EXPECT_EQ(read(Parts{.merges = R"(["#version: 0.2","a b"])"}.text()).merges.size(), 1u);
  const Parts parts{.vocab = "{\"a\":0,\"\u0120\":1,\"\u0120a\":2}", .merges = "[\"\u0120 a\"]"};
  const Vocabulary spaced = read(parts.text());
  EXPECT_EQ(spaced.tokens[2].bytes, " a");
}

TEST(TokenizerJson, KnowsTheFourPreTokenizers) {
  const auto split = [](std::string_view regex) {
    return R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":")" + std::string(regex) +
           R"("},"behavior":"Isolated","invert":false},)"
           R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
  };
  const std::string gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+)";
  const std::string llama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*)"
      R"(|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";
  const std::string smollm = R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)" +
                             std::string(kByteLevel) + "]}";
  EXPECT_EQ(read(Parts{.pre_tokenizer = split(gpt2)}.text()).pattern, SplitPattern::gpt2);
  EXPECT_EQ(read(Parts{.pre_tokenizer = split(llama3)}.text()).pattern, SplitPattern::llama3);
  EXPECT_EQ(read(Parts{.pre_tokenizer = smollm}.text()).pattern, SplitPattern::smollm);
  const std::string nested = R"({"type":"Sequence","pretokenizers":[)" + smollm + "]}";
  EXPECT_EQ(read(Parts{.pre_tokenizer = nested}.text()).pattern, SplitPattern::smollm);
  expect_refused(Parts{.pre_tokenizer = split("(a+)+$")}.text(), Fault::unsupported, "(a+)+$");
}

TEST(TokenizerJson, UnknownComponentsAreRefusedByName) {
  expect_refused(Parts{.normalizer = R"({"type":"NFKC"})"}.text(), Fault::unsupported, "NFKC");
  expect_refused(Parts{.pre_tokenizer = R"({"type":"Metaspace"})"}.text(), Fault::unsupported, "Metaspace");
  expect_refused(Parts{.pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":true})"}.text(), Fault::unsupported,
                 "add_prefix_space");
  expect_refused(Parts{.pre_tokenizer = "null"}.text(), Fault::unsupported, "pre_tokenizer");
  expect_refused(Parts{.post_processor = R"({"type":"BertProcessing"})"}.text(), Fault::unsupported, "BertProcessing");
  expect_refused(Parts{.decoder = R"({"type":"Metaspace"})"}.text(), Fault::unsupported, "Metaspace");
  expect_refused(Parts{.options = R"("byte_fallback":true,)"}.text(), Fault::unsupported, "byte_fallback");
  expect_refused(Parts{.options = R"("end_of_word_suffix":"</w>",)"}.text(), Fault::unsupported, "</w>");
  expect_refused(Parts{.options = R"("unk_token":"<x>",)"}.text(), Fault::unsupported, "unk_token");
  expect_refused(Parts{.added = R"([{"id":3,"content":"<x>","rstrip":true}])"}.text(), Fault::unsupported, "rstrip");
}

TEST(TokenizerJson, EmptySequencesAreNothing) {
  EXPECT_NO_THROW(read(Parts{.normalizer = R"({"type":"Sequence","normalizers":[]})"}.text()));
}

TEST(TokenizerJson, ADeepSequenceIsRefused) {
  std::string deep;
  for (int i = 0; i < 10'000; i++) deep += R"({"type":"Sequence","pretokenizers":[)";
  expect_refused(Parts{.pre_tokenizer = deep}.text(), Fault::bad_file, "tokenizer.json");
}

TEST(TokenizerJson, WrongIdsAreRefused) {
  expect_refused(Parts{.vocab = R"({"a":0,"b":-1,"ab":2})"}.text(), Fault::bad_file, "\"b\"");
  expect_refused(Parts{.vocab = R"({"a":0,"b":9000000000,"ab":2})"}.text(), Fault::bad_file, "\"b\"");
  expect_refused(Parts{.vocab = R"({"a":0,"b":0,"ab":2})"}.text(), Fault::bad_file, "same id");
  expect_refused(Parts{.vocab = R"({"a":0,"b":"1","ab":2})"}.text(), Fault::bad_file, "\"b\"");
  expect_refused(Parts{.vocab = R"({"a":0,"a":1,"ab":2})"}.text(), Fault::bad_file, "repeats the key");
  expect_refused(Parts{.vocab = "{}", .merges = "[]", .added = "[]"}.text(), Fault::bad_file, "empty");
  expect_refused(Parts{.added = R"([{"id":1,"content":"<x>"}])"}.text(), Fault::bad_file, "<x>");
  expect_refused(Parts{.added = R"([{"id":3,"content":"<x>"},{"id":4,"content":"<x>"}])"}.text(), Fault::bad_file,
                 "<x>");
}

TEST(TokenizerJson, HolesAreUnusedIdsAndNoted) {
  const Vocabulary vocabulary = read(Parts{.added = R"([{"id":6,"content":"<x>","special":true}])"}.text());
  ASSERT_EQ(vocabulary.tokens.size(), 7u);
  EXPECT_EQ(vocabulary.tokens[4].kind, Token::Kind::unused);
  EXPECT_EQ(vocabulary.notes.size(), 1u);
}

TEST(TokenizerJson, AddedTokensThatAreNotSpecialStayText) {
  EXPECT_EQ(read(Parts{.added = R"([{"id":3,"content":"<x>","special":false}])"}.text()).tokens[3].kind,
            Token::Kind::added);
}

TEST(TokenizerJson, MergesOfUnknownTokensAreRefused) {
  expect_refused(Parts{.merges = R"(["a q"])"}.text(), Fault::bad_file, "\"q\"");
  expect_refused(Parts{.merges = R"(["b a"])"}.text(), Fault::bad_file, "\"ba\"");
  expect_refused(Parts{.merges = R"(["a"])"}.text(), Fault::bad_file, "merge 0");
  expect_refused(Parts{.merges = R"(["a b c"])"}.text(), Fault::bad_file, "merge 0");
  expect_refused(Parts{.merges = R"([["a","b","c"]])"}.text(), Fault::bad_file, "merge 0");
  expect_refused(Parts{.merges = R"([7])"}.text(), Fault::bad_file, "merge 0");
}

TEST(TokenizerJson, ATemplateWithATokenBeforeTheTextAddsBos) {
  const auto with = [](std::string_view single) {
    return Parts{.post_processor = R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
                 {"type":"TemplateProcessing","single":[)" +
                                   std::string(single) + "]}]}"}
        .text();
  };
  const std::string special = R"({"SpecialToken":{"id":"<x>"}})", sequence = R"({"Sequence":{"id":"A"}})";
  EXPECT_TRUE(read(with(special + "," + sequence)).add_bos);
  EXPECT_EQ(read(with(special + "," + sequence)).bos, 3);
  EXPECT_FALSE(read(with(sequence)).add_bos);
  const Vocabulary after = read(with(sequence + "," + special));
  EXPECT_FALSE(after.add_bos);
  EXPECT_EQ(after.notes.size(), 1u);
}

TEST(TokenizerJson, EveryCutOfAFileIsRefused) {
  const std::string whole = Parts{}.text();
  for (size_t size = 0; size < whole.size(); size++) {
    EXPECT_THROW(read(whole.substr(0, size)), Error) << size;
  }
}

TEST(ByteLevel, IsOneCharacterAByteBothWays) {
  std::string all;
  for (int byte = 0; byte < 256; byte++) all += static_cast<char>(byte);
  const std::string text = byte_level_of_bytes(all);
  EXPECT_EQ(bytes_of_byte_level(text), all);
  EXPECT_EQ(byte_level_of_bytes(" \n"), "\u0120\u010A");
  for (const char* wrong : {" ", "\u0144", "\u4e16", "\xff", "\x01"}) {
    EXPECT_EQ(bytes_of_byte_level(wrong), std::nullopt);
  }
}

struct SpecialFiles {
  std::string generation, tokenizer;
};

Vocabulary with_special_ids(const SpecialFiles& files) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"a"},
                       {"<s>", Token::Kind::control},
                       {"</s>", Token::Kind::control},
                       {"<|im_end|>", Token::Kind::control},
                       {"<|eot_id|>"}};
  Budget budget("test");
  set_special_ids(vocabulary, files.generation, files.tokenizer, budget);
  return vocabulary;
}

TEST(SpecialIds, ComeFromEitherFile) {
  EXPECT_EQ(with_special_ids({R"({"bos_token_id":1,"eos_token_id":2})", ""}).bos, 1);
  EXPECT_EQ(with_special_ids({"", R"({"eos_token":"</s>"})"}).eos, 2);
  EXPECT_EQ(with_special_ids({"", R"({"eos_token":{"content":"</s>","lstrip":false}})"}).eos, 2);
  EXPECT_EQ(with_special_ids({R"({"eos_token_id":2})", R"({"eos_token":"<|im_end|>","bos_token":null})"}).eos, 3);
}

TEST(SpecialIds, GenerationEndsAtAllThatAreNamedOrUsual) {
  EXPECT_EQ(with_special_ids({R"({"eos_token_id":[2,0]})", ""}).end_of_generation, (std::vector<TokenId>{2, 0, 3}));
  EXPECT_EQ(with_special_ids({"", ""}).end_of_generation, (std::vector<TokenId>{3, 2}));  // not the ordinary <|eot_id|>
}

TEST(SpecialIds, OutsideTheVocabularyAreRefused) {
  for (const char* wrong : {R"({"eos_token_id":5})", R"({"eos_token_id":-1})", R"({"eos_token_id":[2,5]})",
                            R"({"bos_token_id":"1"})", R"([])", "{"}) {
    EXPECT_THROW(with_special_ids({wrong, ""}), Error) << wrong;
  }
  const Vocabulary unknown = with_special_ids({"", R"({"eos_token":"<gone>"})"});
  EXPECT_EQ(unknown.eos, std::nullopt);
  EXPECT_EQ(unknown.notes.size(), 1u);
}

}  // namespace
}  // namespace lancet
