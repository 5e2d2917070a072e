// The tokenizer as its users see it, over a vocabulary of our own: trust, borders, what is lost, round trips.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/random.h"
#include "base/utf8.h"
#include "checkpoint/tokenizer_readers.h"
#include "support/paths.h"
#include "text/text_stream.h"

namespace lancet {
namespace {

Vocabulary small_vocabulary() {
  Budget budget("test");
  return read_tokenizer_json(read_text_file(test::data_path("tokenizer/small-tokenizer.json"), 1 << 20),
                             "small-tokenizer.json", budget);
}

const Tokenizer& small() {
  static const Tokenizer tokenizer(small_vocabulary());
  return tokenizer;
}

std::vector<TokenId> encode(const Tokenizer& tokenizer, const std::vector<PromptPiece>& prompt) {
  Budget budget("test");
  return tokenizer.encode(prompt, budget).ids;
}
std::vector<TokenId> encode(const Tokenizer& tokenizer, std::string_view text, bool trusted) {
  Budget budget("test");
  return tokenizer.encode(text, trusted, budget).ids;
}

/// Bytes, control tokens and one added token, GPT-2's pattern, no merges.
Vocabulary byte_vocabulary(const std::vector<Token>& more) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; byte++) vocabulary.tokens.push_back({std::string(1, static_cast<char>(byte))});
  vocabulary.tokens.insert(vocabulary.tokens.end(), more.begin(), more.end());
  return vocabulary;
}

std::string random_text(Random& random, size_t length) {
  const std::vector<std::string> letters = {"a",      "the",    " ", "\n", "1",          "[INST]",       "</s>", "\xff",
                                            "\u00e9", "\u4e16", "!", "/",  "\U0001F642", "<SPECIAL_39>", "T",    "  "};
  std::string text;
  for (size_t i = 0; i < length; i++) text += letters[random.below(letters.size())];
  return text;
}

TEST(Tokenizer, UntrustedTextNeverBecomesAControlToken) {
  for (const Token& token : small().vocabulary().tokens) {
    if (token.kind != Token::Kind::control) continue;
    for (const TokenId id : encode(small(), "x" + token.bytes + token.bytes + " y", false)) {
      EXPECT_FALSE(small().is_control(id)) << token.bytes;
    }
    EXPECT_EQ(encode(small(), token.bytes, true), std::vector<TokenId>{*small().control(token.bytes)});
  }
}

TEST(Tokenizer, AControlTokenCannotBeMadeAcrossATrustBorder) {
  for (const bool first : {false, true}) {
    for (const TokenId id : encode(small(), {{"[IN", first}, {"ST]", !first}})) EXPECT_FALSE(small().is_control(id));
  }
  EXPECT_EQ(encode(small(), {{"[IN", true}, {"", false}, {"ST]", true}}), std::vector<TokenId>{3});
}

TEST(Tokenizer, PiecesOfEqualTrustAreOneText) {
  Random random(6);
  for (int round = 0; round < 200; round++) {
    const std::string text = random_text(random, 12);
    const size_t a = random.below(text.size() + 1), b = a + random.below(text.size() - a + 1);
    for (const bool trusted : {false, true}) {
      const std::vector<PromptPiece> cut = {
          {text.substr(0, a), trusted}, {text.substr(a, b - a), trusted}, {text.substr(b), trusted}};
      EXPECT_EQ(encode(small(), cut), encode(small(), text, trusted));
    }
  }
}

TEST(Tokenizer, ATrustBorderIsATokenBorder) {
  Random random(7);
  for (int round = 0; round < 200; round++) {
    const std::string a = random_text(random, 5), b = random_text(random, 5);
    std::vector<TokenId> expected = encode(small(), a, true);
    for (const TokenId id : encode(small(), b, false)) expected.push_back(id);
    EXPECT_EQ(encode(small(), {{a, true}, {b, false}}), expected);
  }
}

TEST(Tokenizer, DecodingGivesTheTextBack) {
  Random random(8);
  for (int round = 0; round < 500; round++) {
    const std::string text = random_text(random, random.below(30));
    for (const bool trusted : {false, true}) {
      ASSERT_EQ(small().decode(encode(small(), text, trusted), true), utf8_lossy(text));
    }
  }
}

TEST(Tokenizer, StreamedDecodingEqualsWholeDecoding) {
  Random random(9);
  for (int round = 0; round < 300; round++) {
    std::vector<TokenId> ids;
    for (size_t i = random.below(20); i > 0; i--) ids.push_back(static_cast<TokenId>(random.below(small().size())));
    TextStream stream;
    std::string text;
    for (const TokenId id : ids) text += stream.push(small().bytes(id));
    text += stream.finish();
    ASSERT_EQ(text, small().decode(ids, true));
  }
}

TEST(Tokenizer, ControlTokensAreHiddenUnlessAskedFor) {
  const std::vector<TokenId> ids = encode(small(), "<s>a</s>", true);
  EXPECT_EQ(small().decode(ids, false), "a");
  EXPECT_EQ(small().decode(ids, true), "<s>a</s>");
}

TEST(Tokenizer, OfOverlappingControlTokensTheLeftmostThenTheLongestIsFound) {
  const Tokenizer tokenizer(byte_vocabulary(
      {{"<a>", Token::Kind::control}, {"<a><b>", Token::Kind::control}, {"b><c>", Token::Kind::control}}));
  EXPECT_EQ(encode(tokenizer, "<a><b><c>", true), (std::vector<TokenId>{257, '<', 'c', '>'}));
  EXPECT_EQ(encode(tokenizer, "<a><b", true), (std::vector<TokenId>{256, '<', 'b'}));
  EXPECT_EQ(encode(tokenizer, "<b><c>", true), (std::vector<TokenId>{'<', 258}));
}

TEST(Tokenizer, AddedTokensAreFoundInAnyText) {
  const Tokenizer tokenizer(byte_vocabulary({{"<tab>", Token::Kind::added}, {"<tab>!", Token::Kind::control}}));
  EXPECT_EQ(encode(tokenizer, "<tab>!", false), (std::vector<TokenId>{256, '!'}));
  EXPECT_EQ(encode(tokenizer, "<tab>!", true), std::vector<TokenId>{257});
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{256}, false), "<tab>");
}

TEST(Tokenizer, TheTextBeforeAControlTokenEndsThere) {
  Vocabulary vocabulary = byte_vocabulary({{"  "}, {"<s>", Token::Kind::control}});
  vocabulary.merges = {{' ', ' ', 256}};
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_EQ(encode(tokenizer, "  <s>", true), (std::vector<TokenId>{256, 257}));  // \s+(?!\S) sees the end
  EXPECT_EQ(encode(tokenizer, "  <s>", false), (std::vector<TokenId>{' ', ' ', '<', 's', '>'}));
}

TEST(Tokenizer, LostBytesAreReportedOnceInOrder) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"a"}, {"b"}};
  const Tokenizer tokenizer(std::move(vocabulary));
  Budget budget("test");
  const Encoded encoded = tokenizer.encode(
      "a\xff"
      "b \xff ",
      false, budget);
  EXPECT_EQ(encoded.ids, (std::vector<TokenId>{0, 1}));
  EXPECT_EQ(encoded.lost_bytes, (std::vector<uint8_t>{' ', 0xff}));
}

TEST(Tokenizer, EncodingStopsWhenItsBudgetIsSpent) {
  Budget budget("the prompt", {.steps = 1000});
  EXPECT_THROW(small().encode(std::string(2000, 'a'), false, budget), Error);
}

TEST(Tokenizer, HostileTextsTakeLinearSteps) {
  for (const char* unit : {"[", "<SPECIAL_3", "</", " ", "A", "\u4e16", "\xf0\x9f", "[INST]", "\n"}) {
    std::string text;
    while (text.size() < 50'000) text += unit;
    for (const bool trusted : {false, true}) {
      Budget budget("test", {.steps = 40 * text.size()});
      const Encoded encoded = small().encode(text, trusted, budget);
      EXPECT_EQ(small().decode(encoded.ids, true), utf8_lossy(text));
    }
  }
}

}  // namespace
}  // namespace lancet
