// BlockPool: references, reuse by content, order of eviction.
#include "engine/block_pool.h"

#include <gtest/gtest.h>

#include <numeric>

namespace lancet {
namespace {

std::vector<TokenId> tokens(int count, TokenId first = 0) {
  std::vector<TokenId> list(static_cast<size_t>(count));
  std::iota(list.begin(), list.end(), first);
  return list;
}

/// Takes blocks for whole tokens, publishes them and gives them back.
void fill(BlockPool& pool, const std::vector<TokenId>& content) {
  std::vector<int32_t> table;
  ASSERT_TRUE(pool.extend(table, static_cast<int>(content.size()) / kBlockTokens));
  PrefixId prefix = 0;
  for (size_t i = 0; i < table.size(); i++)
    prefix = pool.publish(table[i], prefix, std::span(content).subspan(i * kBlockTokens, kBlockTokens));
  pool.release(table);
}

int matched(BlockPool& pool, const std::vector<TokenId>& wanted) {
  std::vector<int32_t> table;
  pool.match(wanted, table);
  const int count = static_cast<int>(table.size());
  pool.release(table);
  return count;
}

TEST(BlockPool, TakesAllOrNothing) {
  BlockPool pool(3);
  std::vector<int32_t> table;
  EXPECT_FALSE(pool.extend(table, 4));
  EXPECT_TRUE(table.empty());
  EXPECT_TRUE(pool.extend(table, 3));
  EXPECT_EQ(pool.free_blocks(), 0);
  pool.release(table);
  EXPECT_EQ(pool.free_blocks(), 3);
}

TEST(BlockPool, FindsTheLongestPublishedPrefixButNeverTheLastToken) {
  BlockPool pool(8);
  fill(pool, tokens(48));
  EXPECT_EQ(matched(pool, tokens(48)), 2);  // the third block holds the last token: a row must be left to run
  EXPECT_EQ(matched(pool, tokens(49)), 3);
  EXPECT_EQ(matched(pool, tokens(17)), 1);
  EXPECT_EQ(matched(pool, tokens(16)), 0);
  EXPECT_EQ(matched(pool, tokens(49, 1)), 0);
}

TEST(BlockPool, ABlockIsOnlyFoundBehindItsOwnPrefix) {
  BlockPool pool(8);
  std::vector<TokenId> ab = tokens(16), other = tokens(16, 500);
  ab.insert(ab.end(), other.begin(), other.end());
  fill(pool, ab);
  std::vector<TokenId> alone = other;
  alone.push_back(1);
  EXPECT_EQ(matched(pool, alone), 0);  // the same 16 tokens at the start of a prompt are other content
}

TEST(BlockPool, ReusesTheLeastRecentlyReleasedFirst) {
  BlockPool pool(2);
  fill(pool, tokens(16, 100));
  fill(pool, tokens(16, 200));
  EXPECT_EQ(matched(pool, tokens(17, 100)), 1);  // touching it makes it the newest
  std::vector<int32_t> table;
  ASSERT_TRUE(pool.extend(table, 1));
  EXPECT_EQ(matched(pool, tokens(17, 100)), 1);
  EXPECT_EQ(matched(pool, tokens(17, 200)), 0);
  pool.release(table);
}

TEST(BlockPool, SharedBlocksStayUntilTheLastHolderLeaves) {
  BlockPool pool(2);
  fill(pool, tokens(16));
  std::vector<int32_t> first, second, more;
  pool.match(tokens(17), first);
  pool.match(tokens(17), second);
  EXPECT_EQ(first, second);
  pool.release(first);
  EXPECT_FALSE(pool.extend(more, 2));
  pool.release(second);
  EXPECT_TRUE(pool.extend(more, 2));
  pool.release(more);
}

TEST(BlockPool, ForgottenContentIsNotFound) {
  BlockPool pool(2);
  fill(pool, tokens(16));
  std::vector<int32_t> table;
  pool.match(tokens(17), table);
  pool.release_and_forget(table);
  EXPECT_EQ(matched(pool, tokens(17)), 0);
  EXPECT_EQ(pool.free_blocks(), 2);
}

}  // namespace
}  // namespace lancet
