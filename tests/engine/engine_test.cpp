// The engine's promises, on HashModel: a request's answer never depends on company, chunking, reuse or preemption;
// every request ends in exactly one final event; nothing leaks; a fault stays with those it hit.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "engine/engine_thread.h"
#include "engine/outcome.h"
#include "support/hash_model.h"

namespace lancet {
namespace {

using test::HashModel;
using test::kVocabulary;
using test::Outcome;
using test::random_tokens;
using test::run_alone;
using test::tokenizer;

GenerationRequest random_request(Random& random, const std::vector<TokenId>& shared) {
  GenerationRequest request;
  // Many prompts begin alike, so that there is something to reuse.
  if (random.below(2))
    request.prompt.assign(shared.begin(), shared.begin() + static_cast<ptrdiff_t>(random.below(shared.size())));
  const auto own = random_tokens(random, 1 + static_cast<int>(random.below(70)));
  request.prompt.insert(request.prompt.end(), own.begin(), own.end());
  request.max_tokens = 1 + static_cast<int>(random.below(40));
  if (random.below(2)) request.sampling.temperature = 0;
  request.sampling.seed = random.next();
  if (random.below(4) == 0) request.stop = {std::string(1, static_cast<char>('a' + random.below(26)))};
  return request;
}

struct Running {
  GenerationRequest request;
  std::optional<Generation> generation;
  Outcome outcome;
  bool cancelled = false;
};

/// A random workload with few blocks: arrivals, cancels, preemptions. Returns the engine's statistics at the end.
EngineStats run_workload(uint64_t seed) {
  Random random(seed);
  const std::vector<TokenId> shared = random_tokens(random, 120);
  HashModel model(kVocabulary);
  // The longest request (120 + 70 + 40 tokens) needs 15 blocks.
  Engine engine(model, tokenizer(),
                {.blocks = 15 + static_cast<int>(random.below(20)),
                 .max_sequences = 1 + static_cast<int>(random.below(8)),
                 .max_batch_rows = 1 + static_cast<int>(random.below(60)),
                 .max_waiting_tokens = 10'000,
                 .prefix_reuse = random.below(4) != 0});
  std::vector<Running> all;
  all.reserve(24);
  while (all.size() < 24 || engine.stats().running + engine.stats().waiting > 0) {
    if (all.size() < 24 && random.below(3) == 0) {
      Running& one = all.emplace_back(Running{.request = random_request(random, shared)});
      one.generation.emplace(engine.submit(one.request));
    }
    if (!all.empty() && random.below(40) == 0) {
      Running& victim = all[random.below(all.size())];
      if (victim.generation) victim.outcome.drain(*victim.generation);
      victim.cancelled = true;
      victim.generation.reset();
    }
    engine.step();
    for (Running& one : all)
      if (one.generation) one.outcome.drain(*one.generation);
  }
  engine.step();
  for (const Running& one : all) {
    const Outcome alone = run_alone(one.request);
    if (one.cancelled) {
      EXPECT_LE(one.outcome.tokens.size(), alone.tokens.size());
      continue;
    }
    EXPECT_EQ(one.outcome.final_events, 1);
    EXPECT_EQ(one.outcome.tokens, alone.tokens) << "seed " << seed;
    EXPECT_EQ(one.outcome.text, alone.text);
    EXPECT_TRUE(one.outcome.finished);
    if (one.outcome.finished) {
      EXPECT_EQ(one.outcome.finished->reason, alone.finished->reason);
    }
  }
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.free_blocks, stats.total_blocks) << "leaked blocks, seed " << seed;
  return stats;
}

TEST(Engine, AnswersAreTheSameInAnyCompany) {
  uint64_t preemptions = 0, reused = 0, cancelled = 0;
  for (uint64_t seed = 0; seed < 60; seed++) {
    const EngineStats stats = run_workload(seed);
    preemptions += stats.preemptions;
    reused += stats.cached_tokens;
    cancelled += stats.cancelled;
    if (HasFailure()) break;
  }
  // The workloads must have exercised what they are about.
  EXPECT_GT(preemptions, 50u);
  EXPECT_GT(reused, 5000u);
  EXPECT_GT(cancelled, 20u);
}

TEST(Engine, ChunkedPromptGivesSameTokensAsWholePrompt) {
  Random random(3);
  const GenerationRequest request{.prompt = random_tokens(random, 333), .max_tokens = 20};
  const Outcome whole = run_alone(request, {.blocks = 64, .max_batch_rows = 512});
  EXPECT_EQ(whole.tokens.size(), 20u);
  for (const int rows : {1, 7, 16, 17, 332})
    EXPECT_EQ(run_alone(request, {.blocks = 64, .max_batch_rows = rows}).tokens, whole.tokens) << rows;
}

TEST(Engine, ASecondTurnReusesTheFirst) {
  Random random(4);
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 64});
  GenerationRequest request{.prompt = random_tokens(random, 160), .max_tokens = 8};
  Outcome first, second;
  for (Outcome* outcome : {&first, &second}) {
    Generation generation = engine.submit(request);
    while (engine.step()) {}
    outcome->drain(generation);
  }
  EXPECT_EQ(first.tokens, second.tokens);
  EXPECT_EQ(first.finished->usage.cached_tokens, 0);
  EXPECT_EQ(second.finished->usage.cached_tokens, 144);  // 160 tokens end a block; the last must be left to run
}

TEST(Engine, AStepNeverRunsMoreRowsThanAllowed) {
  Random random(5);
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 256, .max_batch_rows = 32});
  std::vector<Generation> generations;
  for (int i = 0; i < 6; i++)
    generations.push_back(engine.submit({.prompt = random_tokens(random, 200), .max_tokens = 10}));
  while (engine.step()) {}
  EXPECT_EQ(model.most_rows, 32);
}

TEST(Engine, ARunningStreamAdvancesWhileALongPromptIsRead) {
  Random random(6);
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 256, .max_batch_rows = 16});
  Generation stream = engine.submit({.prompt = random_tokens(random, 4), .max_tokens = 40, .ignore_eos = true});
  engine.step();
  Generation prompt = engine.submit({.prompt = random_tokens(random, 600), .max_tokens = 1});
  Outcome outcome;
  outcome.drain(stream);
  for (int step = 0; step < 20; step++) {
    const size_t before = outcome.tokens.size();
    engine.step();
    outcome.drain(stream);
    EXPECT_EQ(outcome.tokens.size(), before + 1);
  }
}

TEST(Engine, AFaultFailsOnlyTheRequestsOfItsStep) {
  Random random(7);
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 64, .max_sequences = 1});
  GenerationRequest request{.prompt = random_tokens(random, 40), .max_tokens = 5};
  Generation hit = engine.submit(request), spared = engine.submit(request);
  model.before_step = [](int step, const Batch&) {
    if (step == 2) throw std::bad_alloc();
  };
  while (engine.step()) {}
  Outcome failed, finished;
  failed.drain(hit);
  finished.drain(spared);
  ASSERT_TRUE(failed.failed);
  EXPECT_EQ(failed.failed->fault, Fault::internal);
  EXPECT_EQ(failed.final_events, 1);
  EXPECT_EQ(finished.tokens, run_alone(request).tokens);
  EXPECT_EQ(finished.finished->usage.cached_tokens, 0);  // what the failed step may have spoiled is not used again
  EXPECT_EQ(engine.stats().free_blocks, 64);
}

TEST(Engine, NonFiniteLogitsEndThatRequestAndAreNeverCached) {
  Random random(8);
  HashModel model(kVocabulary);
  model.poison = 299;
  Engine engine(model, tokenizer(), {.blocks = 64});
  std::vector<TokenId> prompt = random_tokens(random, 50);
  GenerationRequest good{.prompt = prompt, .max_tokens = 5};
  prompt[20] = 299;
  Generation bad = engine.submit({.prompt = prompt, .max_tokens = 5}), other = engine.submit(good);
  while (engine.step()) {}
  Outcome failed, finished;
  failed.drain(bad);
  finished.drain(other);
  ASSERT_TRUE(failed.failed);
  EXPECT_NE(failed.failed->message.find("non-finite"), std::string::npos);
  EXPECT_EQ(finished.tokens, run_alone(good).tokens);
  EXPECT_EQ(engine.stats().free_blocks, 64);
}

TEST(Engine, ADroppedGenerationIsGoneWithinOneStep) {
  Random random(9);
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 64, .max_batch_rows = 16});
  std::optional<Generation> prefilling(engine.submit({.prompt = random_tokens(random, 200), .max_tokens = 5}));
  engine.step();
  engine.step();
  prefilling.reset();
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(engine.stats().cancelled, 1u);
  EXPECT_EQ(engine.stats().free_blocks, 64);
}

TEST(Engine, RefusesWhatCanNeverRunWithTheNumbers) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 4, .max_waiting = 2});
  const auto fault = [&](GenerationRequest request) {
    try {
      engine.submit(std::move(request));
    } catch (const Error& error) {
      return std::string(fault_name(error.fault())) + ": " + error.message();
    }
    return std::string("accepted");
  };
  const std::vector<TokenId> sixty(60, 1);
  EXPECT_EQ(fault({.prompt = sixty, .max_tokens = 5}),
            "context_overflow: the prompt has 60 tokens and 5 more are asked for, the context is 64 tokens");
  EXPECT_EQ(fault({.prompt = {}, .max_tokens = 5}), "bad_request: the prompt has no tokens");
  EXPECT_EQ(fault({.prompt = {1, 300}, .max_tokens = 5}),
            "bad_request: token id 300 is not in the vocabulary of 300 tokens");
  EXPECT_EQ(fault({.prompt = {-1}, .max_tokens = 5}),
            "bad_request: token id -1 is not in the vocabulary of 300 tokens");
  EXPECT_EQ(fault({.prompt = {1}, .max_tokens = INT32_MAX}).substr(0, 16), "context_overflow");
  Generation a = engine.submit({.prompt = sixty, .max_tokens = 4}), b = engine.submit({.prompt = {1}, .max_tokens = 4});
  EXPECT_EQ(fault({.prompt = {1}, .max_tokens = 4}), "busy: 2 requests are waiting already");
}

TEST(Engine, StopStringEndsTheTextJustBeforeIt) {
  Random random(10);
  const GenerationRequest request{.prompt = random_tokens(random, 30), .max_tokens = 60, .ignore_eos = true};
  const Outcome whole = run_alone(request);
  size_t at = 10;  // some character of the answer that did not occur before
  while (whole.text.find(whole.text[at]) != at || (whole.text[at] & 0x80)) at++;
  GenerationRequest stopped = request;
  stopped.stop = {std::string(1, whole.text[at])};
  const Outcome outcome = run_alone(stopped);
  EXPECT_EQ(outcome.text, whole.text.substr(0, at));
  EXPECT_EQ(outcome.finished->reason, FinishReason::stop);
  EXPECT_EQ(outcome.finished->stop_string, stopped.stop[0]);
}

TEST(EngineThread, ServesManyThreadsWithTheSameAnswers) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 64, .max_sequences = 4});
  Random random(11);
  std::vector<GenerationRequest> requests;
  std::vector<Outcome> outcomes(12);
  for (size_t i = 0; i < outcomes.size(); i++)
    requests.push_back({.prompt = random_tokens(random, 90), .max_tokens = 20});
  {
    EngineThread thread(engine);
    std::vector<std::jthread> clients;
    for (size_t i = 0; i < outcomes.size(); i++)
      clients.emplace_back([&, i] {
        Generation generation = thread.submit(requests[i]);
        while (outcomes[i].final_events == 0)
          if (const auto event = generation.next(std::chrono::seconds(10))) outcomes[i].take(*event);
      });
  }
  for (size_t i = 0; i < outcomes.size(); i++) EXPECT_EQ(outcomes[i].tokens, run_alone(requests[i]).tokens);
}

TEST(EngineThread, StoppingEndsEveryRequestWithOneFinalEvent) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 1024, .max_sequences = 2});
  std::vector<Generation> generations;
  {
    EngineThread thread(engine);
    for (int i = 0; i < 8; i++)
      generations.push_back(thread.submit({.prompt = {1, 2, 3}, .max_tokens = 4000, .ignore_eos = true}));
    generations[0].next(std::chrono::seconds(10));
  }
  for (Generation& generation : generations) {
    Outcome outcome;
    outcome.drain(generation);
    EXPECT_EQ(outcome.final_events, 1);
  }
}

}  // namespace
}  // namespace lancet
