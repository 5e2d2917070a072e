// From chosen tokens to text and the final event: ends, lengths, control tokens, stop strings, scores, numbers.
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/outcome.h"

namespace lancet {
namespace {

using test::Outcome;
using test::tokenizer;

constexpr TokenId kBos = 256, kEos = 257, kPlainEnd = 258;

/// Says the given tokens whatever the prompt, then zeros.
class Script : public Model {
 public:
  Script(size_t prompt, std::vector<TokenId> says) : prompt_(prompt), says_(std::move(says)) {}
  ModelLimits limits() const override { return {.vocabulary = 300, .context = 4096, .cache_bytes_per_block = 1}; }
  void allocate_cache(int) override {}
  std::span<const float> states() const override { return {}; }
  std::span<const float> forward(const Batch& batch) override {
    logits_.assign(batch.logit_rows.size() * 300, 0.0f);
    for (size_t i = 0; i < batch.logit_rows.size(); i++) {
      const auto row = static_cast<size_t>(batch.logit_rows[i]);
      const size_t next = static_cast<size_t>(batch.positions[row]) + 1 - prompt_;
      logits_[i * 300 + static_cast<size_t>(next < says_.size() ? says_[next] : 0)] = 9.0f;
    }
    return logits_;
  }

 private:
  size_t prompt_;
  std::vector<TokenId> says_;
  std::vector<float> logits_;
};

Outcome run(GenerationRequest request, std::vector<TokenId> says, const Tokenizer& tokens = tokenizer()) {
  request.prompt = {1, 2, 3};
  request.sampling.temperature = 0;
  Script model(3, std::move(says));
  Engine engine(model, tokens, {.blocks = 16});
  Generation generation = engine.submit(std::move(request));
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(generation);
  return outcome;
}

TEST(EngineText, AnEndTokenEndsTheAnswerAndIsCountedButNotShown) {
  const Outcome outcome = run({.max_tokens = 9}, {'h', 'i', kEos, 'x'});
  EXPECT_EQ(outcome.text, "hi");
  EXPECT_EQ(outcome.tokens, (std::vector<TokenId>{'h', 'i', kEos}));
  EXPECT_EQ(outcome.finished->reason, FinishReason::stop);
  EXPECT_EQ(outcome.finished->stop_string, "");
  EXPECT_EQ(outcome.finished->usage.prompt_tokens, 3);
  EXPECT_EQ(outcome.finished->usage.completion_tokens, 3);
}

TEST(EngineText, AnEndTokenThatIsNotAControlTokenIsNotShownEither) {
  Vocabulary vocabulary = test::byte_vocabulary();
  vocabulary.tokens[kPlainEnd] = {"<|end|>", Token::Kind::added};
  vocabulary.end_of_generation.push_back(kPlainEnd);
  const Tokenizer tokens(std::move(vocabulary));
  EXPECT_EQ(run({.max_tokens = 9}, {'h', 'i', kPlainEnd}, tokens).text, "hi");
  EXPECT_EQ(run({.max_tokens = 4, .ignore_eos = true}, {'h', 'i', kPlainEnd, '!'}, tokens).text, "hi<|end|>!");
}

TEST(EngineText, IgnoreEosRunsToTheLengthAndControlTokensHaveNoText) {
  const Outcome outcome = run({.max_tokens = 4, .ignore_eos = true}, {'a', kEos, kBos, 'b', 'c'});
  EXPECT_EQ(outcome.text, "ab");
  EXPECT_EQ(outcome.finished->reason, FinishReason::length);
  EXPECT_EQ(outcome.finished->usage.completion_tokens, 4);
}

TEST(EngineText, AnEndTokenAtTheLastPermittedPlaceIsAStop) {
  EXPECT_EQ(run({.max_tokens = 2}, {'a', kEos}).finished->reason, FinishReason::stop);
}

TEST(EngineText, AStopStringAcrossTokensIsFoundAndNeverShown) {
  const Outcome outcome = run({.stop = {"END", "zz"}, .max_tokens = 20}, {'o', 'k', 'E', 'N', 'E', 'N', 'D', 'x'});
  EXPECT_EQ(outcome.text, "okEN");
  EXPECT_EQ(outcome.finished->stop_string, "END");
  EXPECT_EQ(outcome.finished->reason, FinishReason::stop);
  EXPECT_EQ(outcome.finished->usage.completion_tokens, 7);
}

TEST(EngineText, TextHeldBackForAStopStringComesAtTheEnd) {
  const Outcome outcome = run({.stop = {"END"}, .max_tokens = 4}, {'o', 'k', 'E', 'N', 'D'});
  EXPECT_EQ(outcome.text, "okEN");
  EXPECT_EQ(outcome.finished->reason, FinishReason::length);
}

TEST(EngineText, AnUnfinishedCharacterAtTheEndIsReplaced) {
  EXPECT_EQ(run({.max_tokens = 3}, {'a', 0xE2, 0x82}).text, "a\xEF\xBF\xBD");
}

TEST(EngineText, EveryTokenHasItsScoreWhenScoresAreWanted) {
  Script model(2, {'a', kBos, 'b'});
  Engine engine(model, tokenizer(), {.blocks = 16});
  Generation generation =
      engine.submit({.prompt = {1, 2}, .sampling = {.temperature = 0, .top_logprobs = 2}, .max_tokens = 3});
  while (engine.step()) {}
  int scores = 0;
  while (const auto event = generation.poll())
    if (const auto* delta = std::get_if<TextDelta>(&*event)) {
      ASSERT_EQ(delta->scores.size(), delta->tokens.size());
      for (size_t i = 0; i < delta->scores.size(); i++) {
        EXPECT_EQ(delta->scores[i].token, delta->tokens[i]);
        EXPECT_EQ(delta->scores[i].top.at(0).first, delta->tokens[i]);
        scores++;
      }
    }
  EXPECT_EQ(scores, 3);
}

TEST(EngineText, StatisticsCountPromptAndGeneratedTokensApart) {
  Script model(5, {'a', 'b', 'c', 'd'});
  Engine engine(model, tokenizer(), {.blocks = 16, .max_batch_rows = 2});
  Generation generation = engine.submit({.prompt = {1, 2, 3, 4, 5}, .sampling = {.temperature = 0}, .max_tokens = 4});
  while (engine.step()) {}
  EXPECT_EQ(engine.stats().prompt_tokens, 5u);
  EXPECT_EQ(engine.stats().generated_tokens, 4u);
  EXPECT_EQ(engine.stats().finished, 1u);
}

}  // namespace
}  // namespace lancet
