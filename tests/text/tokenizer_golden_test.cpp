// Recorded ids of other people's tokenizers over the published vocabularies. The ids are in tests/data/tokenizer; the
// vocabularies are not part of the project, so each test runs when an environment variable names its file:
//   LANCET_TEKKEN_JSON    the published tokenizer.json of Ministral 3 (17 MB)
//   LANCET_TEKKEN_NATIVE  a tekken.json with the same vocabulary
//   LANCET_SMOLLM2_GGUF   SmolLM2-135M-Instruct as GGUF
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "base/json.h"
#include "base/mapped_file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/tokenizer_readers.h"
#include "support/paths.h"
#include "text/tokenizer.h"

namespace lancet {
namespace {

#define NEEDS_FILE(name, variable)                \
  const char* const name = std::getenv(variable); \
  if (!name) GTEST_SKIP() << "DID NOT RUN: " << variable << " does not name a tokenizer"

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

std::vector<TokenId> ids_of(const JsonView& list) {
  std::vector<TokenId> ids;
  for (const auto& id : list.array()) ids.push_back(static_cast<TokenId>(id.as_int64()));
  return ids;
}

void expect_goldens(const Tokenizer& tokenizer, const std::string& file) {
  Budget budget("goldens");
  const std::string text = read_text_file(test::data_path("tokenizer/" + file), 1 << 20);
  const auto document = parse_json(text, file, {}, budget);
  const JsonView root(document, file, Fault::bad_file);
  const JsonView encode = root.at("encode"), decode = root.at("decode");
  ASSERT_GT(encode.size(), 0u);
  for (size_t i = 0; i < encode.size(); i++) {
    const JsonView row = encode.element(i);
    const std::string_view input = row.at("text").string();
    const auto ids = ids_of(row.at("ids"));
    EXPECT_EQ(tokenizer.encode(input, true, budget).ids, ids) << "trusted, row " << i << ": " << quoted(input);
    const auto plain = row.find("plain");
    EXPECT_EQ(tokenizer.encode(input, false, budget).ids, plain ? ids_of(*plain) : ids)
        << "untrusted, row " << i << ": " << quoted(input);
  }
  ASSERT_GT(decode.size(), 0u);
  for (size_t i = 0; i < decode.size(); i++) {
    const JsonView row = decode.element(i);
    EXPECT_EQ(tokenizer.decode(ids_of(row.at("ids")), true), row.at("text").string()) << "decode row " << i;
  }
}

std::string ordinary_text(size_t size) {
  const std::string_view sentences =
      "The quick brown fox jumps over the lazy dog, and then it's time for 12 more words.\n"
      "    for (int i = 0; i < count; i++) { total += values[i] * 2.5; }  // sum up\n"
      "Der Fluß fließt über die Brücke; être ou ne pas être. Привет, мир! 你好，世界。\n";
  std::string text;
  while (text.size() < size) text += sentences;
  return text;
}

void print_speed(const Tokenizer& tokenizer) {
  const std::string text = ordinary_text(8 << 20);
  Budget budget("speed");
  const auto start = std::chrono::steady_clock::now();
  const size_t count = tokenizer.encode(text, false, budget).ids.size();
  const double ms = milliseconds_since(start);
  std::printf("  encode: %.1f MB/s (%zu bytes, %zu tokens)\n", static_cast<double>(text.size()) / 1e3 / ms, text.size(),
              count);
}

TEST(TokenizerGoldens, TekkenFromTokenizerJson) {
  NEEDS_FILE(path, "LANCET_TEKKEN_JSON");
  const MappedFile file(path);
  Budget budget("tokenizer.json");
  const auto start = std::chrono::steady_clock::now();
  Vocabulary vocabulary = read_tokenizer_json(file.text(), "tokenizer.json", budget);
  const double read_ms = milliseconds_since(start);
  const Tokenizer tokenizer(std::move(vocabulary));
  std::printf("  read %.0f ms, with tables %.0f ms\n", read_ms, milliseconds_since(start));
  EXPECT_EQ(tokenizer.size(), 131072);
  EXPECT_EQ(tokenizer.vocabulary().merges.size(), 269443u);
  EXPECT_EQ(tokenizer.vocabulary().bos, 1);
  EXPECT_TRUE(tokenizer.vocabulary().add_bos);
  EXPECT_TRUE(tokenizer.ends_generation(2));
  EXPECT_EQ(tokenizer.control("[INST]"), 3);
  expect_goldens(tokenizer, "tekken-goldens.json");
  print_speed(tokenizer);
}

TEST(TokenizerGoldens, TekkenFromItsOwnFormat) {
  NEEDS_FILE(path, "LANCET_TEKKEN_NATIVE");
  const MappedFile file(path);
  Budget budget("tekken.json");
  const auto start = std::chrono::steady_clock::now();
  const Tokenizer tokenizer(read_tekken(file.text(), "tekken.json", budget));
  std::printf("  read with tables %.0f ms\n", milliseconds_since(start));
  EXPECT_EQ(tokenizer.size(), 131072);
  expect_goldens(tokenizer, "tekken-goldens.json");
  print_speed(tokenizer);
}

TEST(TokenizerGoldens, SmolLm2FromGguf) {
  NEEDS_FILE(path, "LANCET_SMOLLM2_GGUF");
  const auto start = std::chrono::steady_clock::now();
  const Tokenizer tokenizer(open_text_assets(path).vocabulary);
  std::printf("  read with tables %.0f ms\n", milliseconds_since(start));
  EXPECT_EQ(tokenizer.size(), 49152);
  EXPECT_TRUE(tokenizer.ends_generation(2));
  expect_goldens(tokenizer, "smollm2-goldens.json");
  print_speed(tokenizer);
}

TEST(TokenizerGoldens, SmolLm2ReportsTheBytesItCannotExpress) {
  NEEDS_FILE(path, "LANCET_SMOLLM2_GGUF");
  const Tokenizer tokenizer(open_text_assets(path).vocabulary);
  std::string all;
  for (int byte = 0; byte < 256; byte++) all += static_cast<char>(byte);
  Budget budget("all bytes");
  const std::vector<uint8_t> expected = {4,   6,   19,  20,  22,  29,  192, 193, 241, 242, 245,
                                         246, 247, 248, 249, 250, 251, 252, 253, 254, 255};
  EXPECT_EQ(tokenizer.encode(all, false, budget).lost_bytes, expected);
}

}  // namespace
}  // namespace lancet
