// The scheduler alone: who gets rows, and that everybody gets theirs.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <list>
#include <set>

#include "base/random.h"

namespace lancet {
namespace {

Sequence sequence_of(int tokens, TokenId first = 0) {
  Sequence sequence;
  for (int i = 0; i < tokens; i++) sequence.tokens.push_back(first + i);
  return sequence;
}

/// Ends a step as the engine would: rows are cached, and whoever owes nothing gets its next token.
void finish_step(Scheduler& scheduler) {
  const std::vector<Sequence*> planned = scheduler.planned();
  scheduler.commit();
  for (Sequence* sequence : planned)
    if (sequence->owed() == 0) sequence->tokens.push_back(7);
}

TEST(Scheduler, SequencesThatOweOneRowComeBeforePromptChunks) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {.max_batch_rows = 8});
  Sequence prompt = sequence_of(100), decoding = sequence_of(5, 1000);
  scheduler.add(decoding);
  scheduler.plan();
  finish_step(scheduler);
  scheduler.add(prompt);
  const Batch batch = scheduler.plan();
  EXPECT_EQ(decoding.planned, 1);
  EXPECT_EQ(prompt.planned, 7);
  EXPECT_EQ(batch.logit_rows, (std::vector<int32_t>{0}));
}

TEST(Scheduler, ABatchSaysWhereEveryRowGoes) {
  BlockPool pool(8);
  Scheduler scheduler(pool, {.max_batch_rows = 64});
  Sequence one = sequence_of(20), two = sequence_of(3, 500);
  scheduler.add(one);
  scheduler.add(two);
  const Batch batch = scheduler.plan();
  ASSERT_EQ(batch.rows(), 23);
  EXPECT_EQ(batch.logit_rows, (std::vector<int32_t>{19, 22}));
  for (const SequenceRows& rows : batch.sequences)
    for (int row = rows.first_row; row < rows.first_row + rows.rows; row++) {
      const auto at = static_cast<size_t>(row);
      const int position = row - rows.first_row;
      EXPECT_EQ(batch.positions[at], position);
      const int32_t block = batch.blocks[static_cast<size_t>(rows.first_block + position / kBlockTokens)];
      EXPECT_EQ(batch.slots[at], block * kBlockTokens + position % kBlockTokens);
    }
  EXPECT_EQ(std::set<int32_t>(batch.slots.begin(), batch.slots.end()).size(), 23u);
  scheduler.remove(one, false);
  scheduler.remove(two, false);
}

TEST(Scheduler, WhoComesFirstIsAdmittedFirst) {
  BlockPool pool(4);
  Scheduler scheduler(pool, {.prefix_reuse = false});
  Sequence running = sequence_of(30), large = sequence_of(60), small = sequence_of(5);
  scheduler.add(running);
  scheduler.plan();
  finish_step(scheduler);
  scheduler.add(large);
  scheduler.add(small);
  scheduler.plan();
  EXPECT_EQ(scheduler.running(), 1);  // the small one would fit, but then the large one might never
  scheduler.remove(running, false);
  scheduler.plan();
  EXPECT_EQ(large.planned, 60);
  EXPECT_EQ(scheduler.waiting(), 1);
  for (Sequence* sequence : {&large, &small}) scheduler.remove(*sequence, false);
  EXPECT_EQ(pool.free_blocks(), 4);
}

TEST(Scheduler, TheOldestAdvancesInEveryStepAndEverybodyEnds) {
  for (uint64_t seed = 0; seed < 200; seed++) {
    Random random(seed);
    BlockPool pool(6);
    const int max_rows = 1 + static_cast<int>(random.below(20));
    Scheduler scheduler(pool, {.max_sequences = 1 + static_cast<int>(random.below(6)),
                               .max_batch_rows = max_rows,
                               .prefix_reuse = random.below(2) == 0});
    std::list<std::pair<Sequence, int>> waiting;  // with the length at which each ends; at most 90 of 96 tokens
    for (int i = 0; i < 12; i++) {
      const int prompt = 1 + static_cast<int>(random.below(60));
      waiting.emplace_back(sequence_of(prompt, static_cast<TokenId>(random.below(2)) * 1000), prompt + 30);
    }
    for (auto& [sequence, end] : waiting) scheduler.add(sequence);
    // Every step runs at least one row of the oldest, so it ends within its own length; then the next is the oldest.
    for (int steps = 0; !waiting.empty(); steps++) {
      ASSERT_LT(steps, 12 * 91) << seed;
      const Batch batch = scheduler.plan();
      ASSERT_LE(batch.rows(), max_rows) << seed;
      ASSERT_GT(waiting.front().first.planned, 0) << "the oldest stands still, seed " << seed;
      finish_step(scheduler);
      for (const auto& [sequence, end] : waiting)
        ASSERT_LE(sequence.published * kBlockTokens, sequence.cached) << "findable before it is cached, seed " << seed;
      for (auto at = waiting.begin(); at != waiting.end();) {
        const auto next = std::next(at);
        if (at->first.length() >= at->second) {
          scheduler.remove(at->first, false);
          waiting.erase(at);
        }
        at = next;
      }
    }
    EXPECT_EQ(pool.free_blocks(), 6) << seed;
  }
}

}  // namespace
}  // namespace lancet
