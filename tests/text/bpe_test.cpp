// Merging: both algorithms against the definition, on random vocabularies, and the worst texts for each.
#include "text/bpe.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/random.h"

namespace lancet {
namespace {

/// Tokens "a" to "d", then random merges of tokens so far; merges in random order of priority. The bytes of normal
/// tokens are unique, as readers guarantee.
Vocabulary random_vocabulary(Random& random, int merges) {
  Vocabulary vocabulary;
  std::map<std::string, TokenId> ids;
  for (const char c : std::string("abcd")) {
    ids[std::string(1, c)] = static_cast<TokenId>(vocabulary.tokens.size());
    vocabulary.tokens.push_back({std::string(1, c)});
  }
  for (int i = 0; i < merges; i++) {
    const auto left = static_cast<TokenId>(random.below(vocabulary.tokens.size()));
    const auto right = static_cast<TokenId>(random.below(vocabulary.tokens.size()));
    const std::string bytes = vocabulary.tokens[left].bytes + vocabulary.tokens[right].bytes;
    const auto [found, fresh] = ids.try_emplace(bytes, static_cast<TokenId>(vocabulary.tokens.size()));
    if (fresh) vocabulary.tokens.push_back({bytes});
    const auto place = static_cast<ptrdiff_t>(random.below(vocabulary.merges.size() + 1));
    vocabulary.merges.insert(vocabulary.merges.begin() + place, {left, right, found->second});
  }
  return vocabulary;
}

/// The definition, without any cleverness: merge the strongest pair, of equal ones the leftmost, until there is none.
std::vector<TokenId> merge_by_definition(const Vocabulary& vocabulary, std::string_view piece) {
  std::map<std::string, TokenId> by_bytes;
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    by_bytes[vocabulary.tokens[id].bytes] = static_cast<TokenId>(id);
  }
  std::map<std::pair<TokenId, TokenId>, std::pair<size_t, TokenId>> rules;
  for (size_t i = 0; i < vocabulary.merges.size(); i++) {
    const Merge& merge = vocabulary.merges[i];
    rules[{merge.left, merge.right}] = {i, merge.result};
  }
  const auto rule = [&](TokenId left, TokenId right) -> std::pair<size_t, TokenId> {
    if (vocabulary.merge_by_rank) {
      const auto found = by_bytes.find(vocabulary.tokens[left].bytes + vocabulary.tokens[right].bytes);
      return found == by_bytes.end() ? std::pair{SIZE_MAX, -1} : std::pair{size_t(found->second), found->second};
    }
    const auto found = rules.find({left, right});
    return found == rules.end() ? std::pair{SIZE_MAX, -1} : found->second;
  };
  std::vector<TokenId> ids;
  for (const char c : piece) ids.push_back(by_bytes.at(std::string(1, c)));
  while (true) {
    std::pair<size_t, TokenId> best{SIZE_MAX, -1};
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); i++) {
      if (rule(ids[i], ids[i + 1]).first < best.first) {
        best = rule(ids[i], ids[i + 1]);
        at = i;
      }
    }
    if (best.second < 0) return ids;
    ids[at] = best.second;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

std::string random_piece(Random& random, size_t length) {
  std::string piece;
  for (size_t i = 0; i < length; i++) piece += static_cast<char>('a' + random.below(4));
  return piece;
}

TEST(Bpe, BothAlgorithmsFollowTheDefinition) {
  Random random(4);
  Budget budget("test");
  for (int round = 0; round < 150; round++) {
    Vocabulary vocabulary = random_vocabulary(random, 25);
    vocabulary.merge_by_rank = round % 2 == 1;
    if (vocabulary.merge_by_rank) vocabulary.merges.clear();
    const Bpe bpe(vocabulary);
    for (int i = 0; i < 20; i++) {
      const std::string piece = random_piece(random, 1 + random.below(32));
      const auto expected = merge_by_definition(vocabulary, piece);
      ASSERT_EQ(bpe.merge(Bpe::Algorithm::scan, piece, budget), expected) << piece;
      ASSERT_EQ(bpe.merge(Bpe::Algorithm::heap, piece, budget), expected) << piece;
    }
  }
}

TEST(Bpe, EncodeTakesWholeTokensOnlyWhereMergingGivesThem) {
  Random random(5);
  Budget budget("test");
  for (int round = 0; round < 100; round++) {
    const Vocabulary vocabulary = random_vocabulary(random, 25);
    const Bpe bpe(vocabulary);
    for (const Token& token : vocabulary.tokens) {
      std::vector<TokenId> ids;
      std::bitset<256> lost;
      bpe.encode(token.bytes, ids, lost, budget);
      ASSERT_EQ(ids, merge_by_definition(vocabulary, token.bytes)) << token.bytes;
    }
  }
}

TEST(Bpe, IgnoreMergesTakesATokenThatMergingCannotReach) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"a"}, {"b"}, {"ab"}};
  for (const bool ignore : {false, true}) {
    vocabulary.ignore_merges = ignore;
    std::vector<TokenId> ids;
    std::bitset<256> lost;
    Budget budget("test");
    Bpe(vocabulary).encode("ab", ids, lost, budget);
    EXPECT_EQ(ids, ignore ? std::vector<TokenId>{2} : (std::vector<TokenId>{0, 1}));
  }
}

TEST(Bpe, BytesWithoutATokenAreLeftOutBeforeMergingAndNamed) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"a"}, {"b"}, {"ab"}};
  vocabulary.merges = {{0, 1, 2}};
  std::vector<TokenId> ids;
  std::bitset<256> lost;
  Budget budget("test");
  Bpe(vocabulary)
      .encode(
          "a\xff"
          "b\x01",
          ids, lost, budget);
  EXPECT_EQ(ids, std::vector<TokenId>{2});
  EXPECT_EQ(lost.count(), 2u);
  EXPECT_TRUE(lost.test(0xff) && lost.test(0x01));
}

TEST(Bpe, AVocabularyWithoutByteTokensIsRefused) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"ab"}, {"[INST]", Token::Kind::control}};
  EXPECT_THROW(Bpe{vocabulary}, Error);
}

TEST(Bpe, OneLongPieceTakesNLogNSteps) {
  Vocabulary vocabulary;
  std::string bytes = "a";
  vocabulary.tokens = {{"a"}};
  for (TokenId id = 0; id < 10; id++) {  // aa, aaaa, ... 1,024 a
    bytes += bytes;
    vocabulary.tokens.push_back({bytes});
    vocabulary.merges.push_back({id, id, id + 1});
  }
  const Bpe bpe(vocabulary);
  const std::string piece(300'000, 'a');
  std::vector<TokenId> ids;
  std::bitset<256> lost;
  Budget budget("test", {.steps = 6 * piece.size()});
  bpe.encode(piece, ids, lost, budget);
  EXPECT_EQ(ids.size(), 300'000 / 1024 + size_t(__builtin_popcount(300'000 % 1024)));
}

TEST(Bpe, ALongPieceIsChargedAndCanBeStopped) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"a"}, {"aa"}};
  vocabulary.merges = {{0, 0, 1}};
  const Bpe bpe(vocabulary);
  const std::string piece(10'000, 'a');
  std::vector<TokenId> ids;
  std::bitset<256> lost;
  Budget small_memory("test", {.bytes = 10'000}), few_steps("test", {.steps = 11'000});
  EXPECT_THROW(bpe.encode(piece, ids, lost, small_memory), Error);
  EXPECT_THROW(bpe.encode(piece, ids, lost, few_steps), Error);
}

}  // namespace
}  // namespace lancet
