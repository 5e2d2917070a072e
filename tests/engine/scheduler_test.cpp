// The scheduler alone: who gets rows, and that everybody gets theirs.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
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

TEST(Scheduler, TokensThatCameTogetherAreReadTogetherButHoldUpNobody) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {.max_batch_rows = 64});
  Sequence first = sequence_of(15), second = sequence_of(5, 1000), prompt = sequence_of(200, 2000);
  scheduler.add(first);
  scheduler.add(second);
  scheduler.plan();
  finish_step(scheduler);
  first.tokens.insert(first.tokens.end(), 30, 9);  // two blocks more than it was admitted with
  first.jumped = 30;
  EXPECT_EQ(scheduler.decoding(), 2);
  Batch batch = scheduler.plan(0);  // no rows for prompts: both go on, by one
  EXPECT_EQ(batch.rows(), 2);
  EXPECT_EQ(batch.logit_rows, (std::vector<int32_t>{1}));
  finish_step(scheduler);
  scheduler.add(prompt);
  batch = scheduler.plan(20);
  EXPECT_EQ(first.planned, 11);
  EXPECT_EQ(second.planned, 1);
  EXPECT_EQ(prompt.planned, 10);
  finish_step(scheduler);
  batch = scheduler.plan();
  EXPECT_EQ(first.owed(), 19);
  EXPECT_EQ(first.planned, 19);
  EXPECT_EQ(batch.logit_rows, (std::vector<int32_t>{18, 19}));
  for (Sequence* sequence : {&first, &second, &prompt}) scheduler.remove(*sequence, false);
  EXPECT_EQ(pool.free_blocks(), 64);
}

TEST(Scheduler, NobodyIsSentBackForMoreRowsThanOne) {
  BlockPool pool(4);
  Scheduler scheduler(pool, {.prefix_reuse = false});
  Sequence first = sequence_of(15), second = sequence_of(31, 1000);
  scheduler.add(first);
  scheduler.add(second);
  scheduler.plan();
  finish_step(scheduler);
  first.tokens.insert(first.tokens.end(), 40, 9);  // four blocks altogether; one is its own, one more is free
  first.jumped = 40;
  scheduler.plan();
  EXPECT_EQ(first.planned, 17);
  EXPECT_EQ(second.planned, 1);
  EXPECT_EQ(scheduler.preemptions(), 0u);
  for (Sequence* sequence : {&first, &second}) scheduler.remove(*sequence, false);
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

/// Steps until everybody has ended at twice its first length; how many steps that took.
int run_to_end(Scheduler& scheduler, std::list<Sequence>& sequences, int most_steps) {
  std::map<const Sequence*, int> ends;
  for (Sequence& sequence : sequences) {
    ends[&sequence] = sequence.length() + 30;
    sequence.max_length = sequence.length() + 30;
    scheduler.add(sequence);
  }
  int steps = 0;
  for (; scheduler.running() + scheduler.waiting() > 0 && steps < most_steps; steps++) {
    EXPECT_GT(scheduler.plan().rows(), 0) << "nobody advances";
    finish_step(scheduler);
    for (Sequence& sequence : sequences)
      if (sequence.length() >= ends[&sequence]) scheduler.remove(sequence, false);
  }
  return steps;
}

TEST(Scheduler, EverybodyEndsHoweverFewBlocksThereAre) {
  for (uint64_t seed = 0; seed < 200; seed++) {
    Random random(seed);
    BlockPool pool(6);
    Scheduler scheduler(pool, {.max_sequences = 1 + static_cast<int>(random.below(6)),
                               .max_batch_rows = 1 + static_cast<int>(random.below(20)),
                               .prefix_reuse = random.below(2) == 0});
    std::list<Sequence> sequences;  // at most 90 of 96 tokens at the end
    for (int i = 0; i < 12; i++)
      sequences.push_back(
          sequence_of(1 + static_cast<int>(random.below(60)), static_cast<TokenId>(random.below(2)) * 1000));
    // Each is computed at most once and again as often as it may be sent back, a row a step at worst.
    constexpr int kMost = 12 * 91 * (kPinnedAfter + 1);
    EXPECT_LT(run_to_end(scheduler, sequences, kMost), kMost) << seed;
    for (const Sequence& sequence : sequences) EXPECT_LE(sequence.preemptions, kPinnedAfter) << seed;
    EXPECT_EQ(pool.free_blocks(), 6) << seed;
  }
}

TEST(Scheduler, AShortPromptIsNotHeldUpByALongOne) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {.max_batch_rows = 32});
  Sequence longer = sequence_of(600), shorter = sequence_of(40, 1000);
  scheduler.add(longer);
  scheduler.plan();
  finish_step(scheduler);
  scheduler.add(shorter);
  for (int step = 0; step < 3; step++) {
    scheduler.plan();
    finish_step(scheduler);
  }
  EXPECT_EQ(shorter.length(), 41);  // 16 rows, 16 rows, 8 rows
  EXPECT_EQ(longer.cached, 32 + 16 + 16 + 24);
  for (Sequence* sequence : {&longer, &shorter}) scheduler.remove(*sequence, false);
}

TEST(Scheduler, PromptsGetNoMoreRowsThanGranted) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {.max_batch_rows = 64});
  Sequence decoding = sequence_of(1), prompt = sequence_of(300, 1000);
  scheduler.add(decoding);
  scheduler.plan(10);
  finish_step(scheduler);
  scheduler.add(prompt);
  scheduler.plan(5);
  EXPECT_EQ(decoding.planned, 1);
  EXPECT_EQ(prompt.planned, 5);
  for (Sequence* sequence : {&decoding, &prompt}) scheduler.remove(*sequence, false);
}

TEST(Scheduler, SiblingsWaitForAPrefixInsteadOfComputingItTwice) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {.max_batch_rows = 64});
  std::list<Sequence> siblings;
  for (int i = 0; i < 4; i++) scheduler.add(siblings.emplace_back(sequence_of(100)));
  Sequence stranger = sequence_of(10, 5000);
  stranger.owner = 1;
  scheduler.add(stranger);
  int rows = 0;
  while (siblings.back().length() == 100) {
    rows += scheduler.plan().rows();
    finish_step(scheduler);
    ASSERT_LT(rows, 1000);
  }
  EXPECT_EQ(siblings.back().reused, 96);
  EXPECT_LT(rows, 100 + 3 * 4 + 10 + 20);  // the prompt once, three ends of it, the stranger, a few tokens
  EXPECT_GT(stranger.length(), 10);
  for (Sequence& sibling : siblings) scheduler.remove(sibling, false);
  scheduler.remove(stranger, false);
}

TEST(Scheduler, AnotherSaltSharesNothing) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {});
  Sequence first = sequence_of(50), other = sequence_of(50), same = sequence_of(50);
  first.cache_salt = same.cache_salt = 7;
  for (Sequence* sequence : {&first, &other, &same}) {
    scheduler.add(*sequence);
    scheduler.plan();
    finish_step(scheduler);
    scheduler.remove(*sequence, false);
  }
  EXPECT_EQ(other.reused, 0);
  EXPECT_EQ(same.reused, 48);
}

/// Runs one at a time; the order in which the sequences were admitted, by their first token.
std::vector<TokenId> order_of_turns(std::list<Sequence>& sequences) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {.max_sequences = 1, .prefix_reuse = false});
  for (Sequence& sequence : sequences) scheduler.add(sequence);
  std::vector<TokenId> order;
  while (scheduler.waiting() > 0) {
    scheduler.plan();
    Sequence& sequence = *scheduler.planned().at(0);
    order.push_back(sequence.tokens[0]);
    scheduler.commit();
    scheduler.remove(sequence, false);
  }
  return order;
}

Sequence claim(int tokens, TokenId name, uint64_t owner, int priority = 0) {
  Sequence sequence = sequence_of(tokens, name);
  sequence.owner = owner;
  sequence.priority = priority;
  return sequence;
}

TEST(Scheduler, OwnersTakeTurnsByTokensNotByRequests) {
  std::list<Sequence> sequences;
  for (int i = 0; i < 4; i++) sequences.push_back(claim(10, 100 + i, 1));
  for (int i = 0; i < 2; i++) sequences.push_back(claim(20, 200 + i, 2));
  EXPECT_EQ(order_of_turns(sequences), (std::vector<TokenId>{100, 101, 200, 102, 103, 201}));
}

TEST(Scheduler, LowerPriorityValuesComeFirstButNobodyWaitsForEver) {
  std::list<Sequence> sequences;
  sequences.push_back(claim(5, 9000, 1, 1));
  for (int i = 0; i < 40; i++) sequences.push_back(claim(5, i, 1, 0));
  const std::vector<TokenId> order = order_of_turns(sequences);
  EXPECT_EQ(order[0], 0);
  EXPECT_EQ(std::find(order.begin(), order.end(), 9000) - order.begin(), FairQueue::kMostPassed);
}

TEST(Scheduler, TheYoungestOfTheWorstPriorityIsSentBack) {
  BlockPool pool(6);
  Scheduler scheduler(pool, {.prefix_reuse = false});
  Sequence worst = claim(30, 0, 1, 5), older = claim(30, 100, 1), younger = claim(30, 200, 1);
  for (Sequence* sequence : {&worst, &older, &younger}) scheduler.add(*sequence);
  while (scheduler.preemptions() == 0) {
    scheduler.plan();
    finish_step(scheduler);
  }
  EXPECT_EQ(worst.preemptions, 1);
  for (Sequence* sequence : {&worst, &older, &younger}) scheduler.remove(*sequence, false);
}

TEST(Scheduler, ScoresOfAPromptAreWantedOnceAndFewAtATime) {
  BlockPool pool(64);
  Scheduler scheduler(pool, {.max_batch_rows = 64, .max_scored_rows = 10});
  Sequence sequence = sequence_of(50);
  sequence.prompt = 50;
  sequence.wanted = WantedRows::all_logits;
  scheduler.add(sequence);
  size_t rows = 0;
  for (int step = 0; step < 5; step++) {
    const Batch batch = scheduler.plan();
    EXPECT_EQ(batch.logit_rows.size(), 10u);
    rows += batch.logit_rows.size();
    scheduler.commit();
    sequence.results = sequence.cached;
  }
  EXPECT_EQ(rows, 50u);
  EXPECT_EQ(sequence.owed(), 0);
  scheduler.remove(sequence, false);
}

}  // namespace
}  // namespace lancet
