// Final states, which embeddings are made of: as transformers has them, and as independent of company as logits are.
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/mapped_file.h"
#include "model/runner.h"
#include "support/paths.h"

namespace lancet::test {
namespace {

const BackendOptions kArithmetics[] = {
    {.threads = 2, .exact = true},
    {.threads = 2, .kv = KvFormat::f16},
    {.threads = 2, .kv = KvFormat::q8},
};

/// States of every position, [tokens, hidden], from steps of at most `chunk` rows that want no logits.
std::vector<float> states_of(Runner& runner, std::vector<TokenId> tokens, int chunk) {
  std::vector<int32_t> blocks(16);
  std::iota(blocks.begin(), blocks.end(), 0);
  Sequence sequence{std::move(tokens), blocks};
  Sequence* const only[] = {&sequence};
  std::vector<float> result;
  while (sequence.done < static_cast<int>(sequence.tokens.size())) {
    Batch batch = next_rows(only, chunk);
    std::swap(batch.state_rows, batch.logit_rows);
    EXPECT_TRUE(runner.model().forward(batch).empty());
    const auto states = runner.model().states();
    result.insert(result.end(), states.begin(), states.end());
  }
  return result;
}

TEST(States, AreTheSameForEveryChunk) {
  const RandomCheckpoint checkpoint;
  const auto tokens = random_tokens(120, 200);
  for (const BackendOptions& options : kArithmetics) {
    Runner runner(checkpoint, options);
    const auto whole = states_of(runner, tokens, 4096);
    ASSERT_EQ(whole.size(), 120u * 64);
    for (const int chunk : {1, 13, 64}) EXPECT_TRUE(same_bits(states_of(runner, tokens, chunk), whole)) << chunk;
  }
}

TEST(States, TimesTheHeadAreTheLogits) {
  RandomCheckpoint checkpoint;
  Runner runner(checkpoint, kArithmetics[0]);
  const auto tokens = random_tokens(30, 200);
  const Logits logits = runner.logits(tokens);
  const auto states = states_of(runner, tokens, 4096);
  const auto* head = reinterpret_cast<const float*>(checkpoint.tensor("text.embedding").bytes.data());
  for (size_t row = 0; row < 30; row++) {
    for (size_t token = 0; token < 200; token++) {
      double sum = 0;
      for (size_t i = 0; i < 64; i++) sum += double{states[row * 64 + i]} * double{head[token * 64 + i]};
      ASSERT_NEAR(logits[row * 200 + token], sum, 1e-4) << row << " " << token;
    }
  }
}

TEST(States, OfSomeRowsComeBesideTheLogitsOfOthers) {
  const RandomCheckpoint checkpoint;
  Runner runner(checkpoint, kArithmetics[1]);
  const auto tokens = random_tokens(20, 200);
  const Logits logits = runner.logits(tokens);
  const auto states = states_of(runner, tokens, 4096);
  Sequence sequence{tokens, {0, 1}};
  Sequence* const only[] = {&sequence};
  Batch batch = next_rows(only, 20);
  batch.logit_rows = {19};
  batch.state_rows = {3, 19};
  const auto last = runner.model().forward(batch);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), logits.end() - 200, logits.end()));
  const auto two = runner.model().states();
  ASSERT_EQ(two.size(), 128u);
  EXPECT_TRUE(std::equal(two.begin(), two.begin() + 64, states.begin() + 3 * 64));
  EXPECT_TRUE(std::equal(two.begin() + 64, two.end(), states.begin() + 19 * 64));
}

TEST(States, OfAStepThatWantsNoneAreEmpty) {
  const RandomCheckpoint checkpoint;
  Runner runner(checkpoint, kArithmetics[0]);
  states_of(runner, random_tokens(5, 200), 4096);
  runner.logits(random_tokens(5, 200));
  EXPECT_TRUE(runner.model().states().empty());
}

TEST(States, AreTheLastHiddenStatesOfTransformers) {
  const auto checkpoint = open_checkpoint(data_path("tiny/fp8"));
  Budget budget("reference");
  const auto facts =
      parse_json(read_text_file(data_path("reference/tiny.json"), 1 << 24), "reference", {.nodes = 10'000'000}, budget);
  std::vector<TokenId> prompt;
  for (const auto& id : facts.at("prompts").at("p150").as_array()) prompt.push_back(id.to_number<TokenId>());
  const MappedFile file(data_path("reference/states.f32"));
  std::vector<float> wanted(file.bytes().size() / sizeof(float));
  std::memcpy(wanted.data(), file.bytes().data(), wanted.size() * sizeof(float));
  Runner runner(*checkpoint, kArithmetics[0]);
  for (const int chunk : {4096, 40}) {
    EXPECT_LT(largest_difference(states_of(runner, prompt, chunk), wanted), 1e-3f) << chunk;
  }
  // 3.8 is the largest of them; 8-bit activations and an 8-bit cache move what comes after three layers.
  Runner fast(*checkpoint, kArithmetics[2]);
  EXPECT_LT(largest_difference(states_of(fast, prompt, 4096), wanted), 0.6f);
}

}  // namespace
}  // namespace lancet::test
