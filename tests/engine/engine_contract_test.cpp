// What a request may ask of the engine beyond tokens: scores of the prompt, embeddings, ends of its own, turns, bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/engine.h"
#include "engine/outcome.h"
#include "support/hash_model.h"

namespace lancet {
namespace {

using std::chrono::milliseconds;
using test::HashModel;
using test::kVocabulary;
using test::Outcome;
using test::random_tokens;
using test::run_alone;
using test::tokenizer;

/// The whole answer, greedy and without end tokens, so that tests can pick what occurs in it.
GenerationRequest plain(uint64_t seed, int prompt = 30, int max_tokens = 40) {
  Random random(seed);
  return {.prompt = random_tokens(random, prompt),
          .sampling = {.temperature = 0},
          .max_tokens = max_tokens,
          .ignore_eos = true};
}

std::string refusal(Engine& engine, GenerationRequest request) {
  try {
    Generation ignored = engine.submit(std::move(request));
  } catch (const Error& error) {
    return std::string(fault_name(error.fault())) + ": " + error.message();
  }
  return "accepted";
}

/// A token that occurs in the answer for the first time at `at` or later, and where.
size_t first_of_its_kind(const std::vector<TokenId>& tokens, size_t at) {
  while (std::find(tokens.begin(), tokens.end(), tokens[at]) - tokens.begin() != static_cast<ptrdiff_t>(at)) at++;
  return at;
}

TEST(EngineContract, AStopTokenEndsTheAnswerAlsoWhenEndsAreIgnored) {
  GenerationRequest request = plain(1);
  const Outcome whole = run_alone(request);
  const size_t at = first_of_its_kind(whole.tokens, 5);
  request.stop_tokens = {whole.tokens[at]};
  const Outcome outcome = run_alone(request);
  EXPECT_EQ(outcome.tokens.size(), at + 1);
  EXPECT_EQ(outcome.finished->reason, FinishReason::stop);
  EXPECT_EQ(outcome.finished->stop_token, whole.tokens[at]);
  // Counted but not shown, as the model's own end tokens are.
  EXPECT_EQ(outcome.text, tokenizer().decode(std::span(whole.tokens).first(at), false));
}

TEST(EngineContract, NothingEndsAnAnswerBeforeMinTokens) {
  GenerationRequest request = plain(2);
  const Outcome whole = run_alone(request);
  request.stop_tokens = {whole.tokens[3]};
  request.min_tokens = 10;
  const Outcome outcome = run_alone(request);
  ASSERT_GE(outcome.tokens.size(), 10u);
  for (size_t i = 0; i < 10; i++) EXPECT_NE(outcome.tokens[i], whole.tokens[3]);
}

TEST(EngineContract, AStopStringCountsOnlyBehindMinTokens) {
  GenerationRequest request = plain(3);
  const Outcome whole = run_alone(request);
  size_t at = 4;
  while (whole.tokens[at] >= 128 || whole.tokens[at] < 32) at++;
  request.stop = {std::string(1, static_cast<char>(whole.tokens[at]))};
  EXPECT_LE(run_alone(request).tokens.size(), at + 1);
  request.min_tokens = static_cast<int>(at) + 1;
  const Outcome outcome = run_alone(request);
  EXPECT_GT(outcome.tokens.size(), at + 1);
  EXPECT_EQ(outcome.text.substr(0, 20), whole.text.substr(0, 20));
  request.min_tokens = request.max_tokens;
  EXPECT_EQ(run_alone(request).text, whole.text);  // also characters that were cut by tokens
}

TEST(EngineContract, KeepStopLeavesTheStopStringInTheText) {
  GenerationRequest request = plain(4);
  const Outcome whole = run_alone(request);
  size_t at = 6;
  while (whole.text[at] < 32) at++;
  request.stop = {whole.text.substr(at, 1)};
  const Outcome cut = run_alone(request);
  request.keep_stop = true;
  EXPECT_EQ(run_alone(request).text, cut.text + request.stop[0]);
}

TEST(EngineContract, AnAnswerThatGoesInCirclesEnds) {
  /// Says 1 2 3 1 2 3 ...
  class Circle : public HashModel {
   public:
    Circle() : HashModel(kVocabulary) {}
    std::span<const float> forward(const Batch& batch) override {
      logits_.assign(batch.logit_rows.size() * kVocabulary, 0);
      for (size_t i = 0; i < batch.logit_rows.size(); i++)
        logits_[i * kVocabulary +
                static_cast<size_t>(batch.positions[static_cast<size_t>(batch.logit_rows[i])] % 3 + 1)] = 9;
      return logits_;
    }

   private:
    std::vector<float> logits_;
  } model;
  Engine engine(model, tokenizer(), {.blocks = 64});
  GenerationRequest request = plain(5, 30, 200);
  request.repetition = {.min_pattern = 2, .max_pattern = 8, .count = 4};
  Generation generation = engine.submit(request);
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(generation);
  EXPECT_EQ(outcome.tokens.size(), 12u);
  EXPECT_EQ(outcome.finished->reason, FinishReason::repetition);
  EXPECT_EQ(engine.stats().finished_repetition, 1u);
}

TEST(EngineContract, PromptScoresDoNotDependOnChunksCompanyOrBlocks) {
  GenerationRequest request = plain(6, 70, 3);
  request.prompt_scores = true;
  request.sampling.top_logprobs = 2;
  const Outcome whole = run_alone(request);
  ASSERT_EQ(whole.prompt_scores.size(), 70u);
  EXPECT_EQ(whole.tokens.size(), 3u);
  EXPECT_TRUE(std::isnan(whole.prompt_scores[0].logprob));
  for (size_t i = 1; i < 70; i++) {
    EXPECT_EQ(whole.prompt_scores[i].token, request.prompt[i]);
    EXPECT_EQ(whole.prompt_scores[i].top.size(), 2u);
    EXPECT_LE(whole.prompt_scores[i].logprob, whole.prompt_scores[i].top[0].second);
  }
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 9, .max_batch_rows = 13, .max_waiting_tokens = 1000});
  std::vector<Generation> generations;
  for (int i = 0; i < 4; i++) generations.push_back(engine.submit(i == 2 ? request : plain(50, 40, 60)));
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(generations[2]);
  ASSERT_EQ(outcome.prompt_scores.size(), 70u);
  EXPECT_EQ(outcome.tokens, whole.tokens);
  for (size_t i = 1; i < 70; i++) EXPECT_EQ(outcome.prompt_scores[i].logprob, whole.prompt_scores[i].logprob) << i;
}

TEST(EngineContract, ScoresAloneNeedNoToken) {
  GenerationRequest request = plain(7, 64, 0);
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 4});
  EXPECT_EQ(refusal(engine, request), "bad_request: max_tokens must be at least 1");
  request.prompt_scores = true;
  const Outcome outcome = run_alone(request, {.blocks = 4});  // the prompt fills the context
  EXPECT_EQ(outcome.prompt_scores.size(), 64u);
  EXPECT_TRUE(outcome.tokens.empty());
  EXPECT_EQ(outcome.finished->reason, FinishReason::length);
  EXPECT_EQ(outcome.finished->usage.completion_tokens, 0);
}

TEST(EngineContract, EmbeddingsAreTheMeanOrTheLastOfTheStatesHoweverThePromptIsCut) {
  GenerationRequest request = plain(8, 100);
  double sum = 0;
  for (const TokenId token : request.prompt) sum += token;  // HashModel's state of a row is its token
  for (const int rows : {1, 7, 64, 256}) {
    request.kind = GenerationKind::mean_state;
    const Outcome mean = run_alone(request, {.blocks = 16, .max_batch_rows = rows});
    EXPECT_EQ(mean.state, (std::vector<float>{static_cast<float>(sum / 100)})) << rows;
    EXPECT_TRUE(mean.finished && mean.tokens.empty());
    request.kind = GenerationKind::last_state;
    EXPECT_EQ(run_alone(request, {.blocks = 16, .max_batch_rows = rows}).state,
              (std::vector<float>{static_cast<float>(request.prompt.back())}));
  }
}

TEST(EngineContract, AnEmbeddingReadsEveryRowAlsoWhenItsPromptIsCached) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 32});
  GenerationRequest request = plain(9, 100, 2);
  Generation text = engine.submit(request);
  while (engine.step()) {}
  request.kind = GenerationKind::mean_state;
  Generation embedding = engine.submit(request);
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(embedding);
  EXPECT_EQ(outcome.state, run_alone(request).state);
  EXPECT_EQ(outcome.finished->usage.cached_tokens, 0);
}

TEST(EngineContract, WhoDidNotBeginInTimeFailsAndOthersGoOn) {
  std::chrono::steady_clock::time_point time{};
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 32, .max_sequences = 1, .now = [&] { return time; }});
  GenerationRequest late = plain(10);
  late.begin_before = time + milliseconds(100);
  Generation first = engine.submit(late), second = engine.submit(late);
  while (engine.step()) time += milliseconds(10);
  Outcome served, missed;
  served.drain(first);
  missed.drain(second);
  EXPECT_TRUE(served.finished);  // it had begun
  ASSERT_TRUE(missed.failed);
  EXPECT_EQ(missed.failed->fault, Fault::timeout);
  EXPECT_EQ(engine.stats().timed_out, 1u);
}

TEST(EngineContract, TheQueueIsBoundedInTokensToo) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 32, .max_waiting_tokens = 100});
  Generation waiting = engine.submit(plain(11, 80, 10));
  EXPECT_EQ(refusal(engine, plain(11, 21, 10)),
            "busy: 1 requests with 80 prompt tokens are waiting already; 21 more would pass the limit of 100");
  EXPECT_EQ(refusal(engine, plain(11, 20, 10)), "accepted");
  EXPECT_EQ(engine.stats().waiting_tokens, 100);
}

TEST(EngineContract, OptionsThatNothingCouldRunWithAreRefused) {
  HashModel model(kVocabulary);
  for (const EngineOptions& options :
       {EngineOptions{.blocks = 0}, EngineOptions{.blocks = 4, .max_sequences = 0},
        EngineOptions{.blocks = 4, .max_batch_rows = 0}, EngineOptions{.blocks = 4, .step_stretch = 0.5}})
    EXPECT_THROW(Engine(model, tokenizer(), options), Error);
}

TEST(EngineContract, AStreamsStepsAreStretchedByPromptsOnlyAsFarAsAllowed) {
  std::chrono::steady_clock::time_point time{};
  HashModel model(kVocabulary);
  milliseconds longest{0};
  bool measured = false;
  // 50 ms for the weights and one for each row: 2.5 times a decode-only step are 127 ms.
  model.before_step = [&](int, const Batch& batch) {
    const milliseconds took(50 + batch.rows());
    time += took;
    if (measured) longest = std::max(longest, took);
  };
  Engine engine(model, tokenizer(), {.blocks = 512, .max_batch_rows = 256, .now = [&] { return time; }});
  Generation stream = engine.submit(plain(12, 100, 200));
  for (int step = 0; step < 5; step++) engine.step();
  Generation prompt = engine.submit(plain(13, 4000, 1));
  engine.step();  // the first step with both is small and shows what rows cost
  measured = true;
  const uint64_t before = engine.stats().prompt_tokens;
  for (int step = 0; step < 40; step++) engine.step();
  EXPECT_LE(longest, milliseconds(128));
  EXPECT_GT(engine.stats().prompt_tokens - before, 40u * 60);  // and the time is used
}

TEST(EngineContract, StatisticsAndTheDumpSayWhatHappened) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 32, .max_sequences = 2});
  std::vector<Generation> generations;
  for (uint64_t i = 0; i < 3; i++) generations.push_back(engine.submit(plain(14, 40, 10)));
  engine.step();
  EXPECT_NE(engine.dump().find("request 1: runs, priority 0, 40 tokens"), std::string::npos) << engine.dump();
  EXPECT_NE(engine.dump().find("request 3: waits"), std::string::npos) << engine.dump();
  while (engine.step()) {}
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.finished, 3u);
  EXPECT_EQ(stats.finished_length, 3u);
  EXPECT_EQ(stats.queried_tokens, 120u);
  EXPECT_EQ(stats.cached_tokens, 64u);  // the second and the third found two blocks
  EXPECT_GT(stats.cached_blocks, 0);
  EXPECT_GT(stats.prompt_tokens_s, 0);
  const auto count = [](const Histogram& h) {
    return std::accumulate(h.counts().begin(), h.counts().end(), uint64_t{0});
  };
  for (const Histogram* each :
       {&stats.queue_time, &stats.prefill_time, &stats.decode_time, &stats.request_time, &stats.first_token_time})
    EXPECT_EQ(count(*each), 3u);
  EXPECT_EQ(count(stats.inter_token_time), 27u);
}

TEST(EngineContract, AThousandRunningSequencesEndAlike) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(),
                {.blocks = 4096, .max_sequences = 1000, .max_waiting = 1000, .max_waiting_tokens = 100'000});
  std::vector<Generation> generations;
  for (int i = 0; i < 1000; i++) {
    GenerationRequest request = plain(static_cast<uint64_t>(i), 20, 8);
    request.owner = static_cast<uint64_t>(i % 7);
    generations.push_back(engine.submit(std::move(request)));
  }
  while (engine.step()) {}
  for (size_t i = 0; i < 1000; i++) {
    Outcome outcome;
    outcome.drain(generations[i]);
    ASSERT_EQ(outcome.tokens.size(), 8u);
    if (i % 100 == 0) {
      EXPECT_EQ(outcome.tokens, run_alone(plain(i, 20, 8)).tokens);
    }
  }
  EXPECT_EQ(engine.stats().free_blocks, 4096);
}

}  // namespace
}  // namespace lancet
