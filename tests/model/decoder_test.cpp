// Promises of the decoder that hold for any weights: its results do not depend on company, and broken models are
// refused. Numbers against the reference are in reference_test.cpp.
#include <cmath>

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/runner.h"

namespace lancet::test {
namespace {

const BackendOptions kArithmetics[] = {
    {.threads = 2, .kernels = "", .exact = true},
    {.threads = 2, .kernels = "", .exact = false, .kv = KvFormat::f16},
    {.threads = 2, .kernels = "", .exact = false, .kv = KvFormat::f32},
    {.threads = 2, .kernels = "scalar", .exact = false, .kv = KvFormat::f16},
    {.threads = 2, .kernels = "", .exact = false, .kv = KvFormat::q8},
};

TEST(Decoder, ChunkedPromptGivesTheBitsOfTheWholePrompt) {
  const RandomCheckpoint checkpoint;
  const auto tokens = random_tokens(120, 200);
  for (const BackendOptions& options : kArithmetics) {
    Runner runner(checkpoint, options);
    const Logits whole = runner.logits(tokens);
    for (const int chunk : {1, 2, 13, 64}) EXPECT_TRUE(same_bits(runner.logits(tokens, chunk), whole)) << chunk;
  }
}

TEST(Decoder, ScatteredBlocksGiveTheSameBits) {
  const RandomCheckpoint checkpoint;
  const auto tokens = random_tokens(100, 200);
  for (const BackendOptions& options : kArithmetics) {
    Runner runner(checkpoint, options);
    const Logits in_order = runner.logits(tokens);
    EXPECT_TRUE(same_bits(runner.logits(tokens, 30, {63, 5, 17, 2, 40, 39, 38}), in_order));
  }
}

TEST(Decoder, ThreadCountDoesNotChangeABit) {
  const RandomCheckpoint checkpoint;
  const auto tokens = random_tokens(70, 200);
  for (BackendOptions options : kArithmetics) {
    options.threads = 1;
    const Logits one = Runner(checkpoint, options).logits(tokens);
    for (const int threads : {2, 3, 7}) {
      options.threads = threads;
      EXPECT_TRUE(same_bits(Runner(checkpoint, options).logits(tokens), one)) << threads;
    }
  }
}

TEST(Decoder, OtherSequencesInTheBatchDoNotChangeABit) {
  const RandomCheckpoint checkpoint;
  const auto tokens = random_tokens(60, 200), other = random_tokens(45, 200, 2);
  for (const BackendOptions& options : kArithmetics) {
    Runner runner(checkpoint, options);
    const Logits alone = runner.logits(tokens), other_alone = runner.logits(other);
    Sequence first{tokens, {0, 1, 2, 3}}, second{other, {10, 11, 12}};
    Sequence* const both[] = {&second, &first};
    std::map<const Sequence*, Logits> together;
    while (first.done < 60) {
      const std::map<const Sequence*, int> before = {{&first, first.done}, {&second, second.done}};
      auto step = runner.model().forward(next_rows(both, 7));
      for (const Sequence* sequence : both) {
        const auto count = static_cast<size_t>(sequence->done - before.at(sequence)) * 200;
        together[sequence].insert(together[sequence].end(), step.begin(), step.begin() + static_cast<long>(count));
        step = step.subspan(count);
      }
    }
    EXPECT_TRUE(same_bits(together[&first], alone));
    EXPECT_TRUE(same_bits(together[&second], other_alone));
  }
}

TEST(Decoder, OnlyTheWantedRowsCostLogits) {
  const RandomCheckpoint checkpoint;
  Runner runner(checkpoint, kArithmetics[0]);
  const auto tokens = random_tokens(20, 200);
  const Logits all = runner.logits(tokens);
  Sequence sequence{tokens, {0, 1}};
  Sequence* const only[] = {&sequence};
  Batch batch = next_rows(only, 20);
  batch.logit_rows = {4, 19};
  const auto two = runner.model().forward(batch);
  ASSERT_EQ(two.size(), 400u);
  EXPECT_TRUE(std::equal(two.begin(), two.begin() + 200, all.begin() + 4 * 200));
  EXPECT_TRUE(std::equal(two.begin() + 200, two.end(), all.begin() + 19 * 200));
}

TEST(Decoder, WantedTokensHaveTheBitsOfTheWholeHead) {
  const RandomCheckpoint checkpoint;
  const auto tokens = random_tokens(9, 200);
  const std::vector<std::vector<TokenId>> lists = {{0}, {199}, {3, 15, 16, 17, 31, 90, 198}, {64, 65, 127, 128}};
  for (const BackendOptions& options : kArithmetics) {
    Runner runner(checkpoint, options);
    const Logits whole = runner.logits(tokens);
    for (const auto& wanted : lists) {
      Sequence sequence{tokens, {0}};
      Sequence* const only[] = {&sequence};
      Batch batch = next_rows(only, 9);
      batch.wanted = wanted;
      const auto some = runner.model().forward(batch);
      ASSERT_EQ(some.size(), whole.size());
      for (size_t row = 0; row < 9; row++)
        for (const TokenId id : wanted)
          EXPECT_EQ(some[row * 200 + static_cast<size_t>(id)], whole[row * 200 + static_cast<size_t>(id)]) << id;
    }
  }
}

TEST(Decoder, StepWithoutWantedLogitsStillFillsTheCache) {
  const RandomCheckpoint checkpoint;
  Runner runner(checkpoint, kArithmetics[1]);
  const auto tokens = random_tokens(20, 200);
  const Logits all = runner.logits(tokens);
  Sequence sequence{tokens, {8, 9}};
  Sequence* const only[] = {&sequence};
  Batch first = next_rows(only, 19);
  first.logit_rows.clear();
  EXPECT_TRUE(runner.model().forward(first).empty());
  const Batch second = next_rows(only, 1);
  const auto last = runner.model().forward(second);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - 200));
}

TEST(Decoder, KeysAndValuesOfEveryPositionMatter) {
  const RandomCheckpoint checkpoint;
  Runner runner(checkpoint, kArithmetics[0]);
  auto tokens = random_tokens(50, 200);
  const Logits before = runner.last_logits(tokens);
  for (const size_t position : {0u, 15u, 16u, 31u, 48u}) {
    auto changed = tokens;
    changed[position] = (changed[position] + 1) % 200;
    EXPECT_GT(largest_difference(runner.last_logits(changed), before), 1e-4f) << position;
  }
}

TEST(Decoder, LimitsSayWhatTheConfigurationSays) {
  const RandomCheckpoint checkpoint;
  Runner exact(checkpoint, kArithmetics[0]), half(checkpoint, kArithmetics[1]);
  EXPECT_EQ(exact.model().limits().vocabulary, 200);
  EXPECT_EQ(exact.model().limits().context, 4096);
  EXPECT_EQ(exact.model().limits().cache_bytes_per_block, 2u * 2 * 16 * 64 * 4);
  EXPECT_EQ(half.model().limits().cache_bytes_per_block, 2u * 2 * 16 * 2 * (32 * 2 + 4));
}

std::string refusal(RandomCheckpoint& checkpoint) {
  try {
    Runner(checkpoint, kArithmetics[0]);
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

TEST(Decoder, RefusesATensorOfAnotherShapeByName) {
  RandomCheckpoint checkpoint;
  StoredTensor& tensor = checkpoint.tensor("text.1.attention.k");
  tensor.rows /= 2;
  tensor.bytes = tensor.bytes.first(tensor.bytes.size() / 2);
  EXPECT_NE(refusal(checkpoint).find("text.1.attention.k"), std::string::npos);
}

TEST(Decoder, RefusesHeadsThatDoNotDivide) {
  RandomCheckpoint checkpoint;
  checkpoint.mutable_config().text.kv_heads = 4;
  EXPECT_NE(refusal(checkpoint).find("6 attention heads"), std::string::npos);
}

TEST(Decoder, RefusesAnUnknownArchitectureAndSaysWhichThereAre) {
  RandomCheckpoint checkpoint;
  checkpoint.mutable_config().architecture = "mamba";
  const std::string message = refusal(checkpoint);
  EXPECT_NE(message.find("\"mamba\""), std::string::npos);
  EXPECT_NE(message.find("ministral3, llama"), std::string::npos);
}

TEST(Decoder, RefusesATokenOutsideTheVocabulary) {
  const RandomCheckpoint checkpoint;
  Runner runner(checkpoint, kArithmetics[0]);
  for (const TokenId token : {-1, 200}) EXPECT_THROW(runner.logits({1, token}), Error);
}

}  // namespace
}  // namespace lancet::test
