// The engine on its own thread: bounds that hold while a step runs, and callers that come, watch and leave.
#include "engine/engine_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>
#include <thread>

#include "engine/outcome.h"
#include "support/hash_model.h"

namespace lancet {
namespace {

using test::HashModel;
using test::kVocabulary;
using test::Outcome;
using test::run_alone;
using test::tokenizer;

bool accepts(EngineThread& thread, std::vector<Generation>& accepted) {
  try {
    accepted.push_back(thread.submit({.prompt = {1, 2, 3}, .max_tokens = 50, .ignore_eos = true}));
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::busy);
    return false;
  }
}

TEST(EngineThread, TheQueueBoundHoldsWhateverTheEngineIsDoing) {
  constexpr int kBlockedSteps = 4, kMaxWaiting = 3;
  HashModel model(kVocabulary);
  std::counting_semaphore<> entered(0), go(0);
  model.before_step = [&](int step, const Batch&) {
    if (step >= kBlockedSteps) return;
    entered.release();
    go.acquire();
  };
  Engine engine(model, tokenizer(), {.blocks = 64, .max_sequences = 1, .max_waiting = kMaxWaiting});
  std::vector<Generation> accepted;
  EngineThread thread(engine);
  ASSERT_TRUE(accepts(thread, accepted));
  for (int step = 0; step < kBlockedSteps; step++) {
    entered.acquire();  // the engine is inside a step and cannot take anything
    while (accepted.size() < 50 && accepts(thread, accepted)) {}
    go.release();
  }
  EXPECT_EQ(accepted.size(), 1u + kMaxWaiting);  // one runs all the time
  for (Generation& generation : accepted) {
    Outcome outcome;
    while (outcome.final_events == 0)
      if (const auto event = generation.next(std::chrono::seconds(60))) outcome.take(*event);
    EXPECT_TRUE(outcome.finished);
  }
}

TEST(EngineThread, CallersThatComeWatchAndLeaveDisturbNobody) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 24, .max_sequences = 4, .max_batch_rows = 16, .max_waiting = 4});
  std::atomic<int> finished = 0, left = 0, wakes = 0, wrong = 0;
  {
    EngineThread thread(engine);
    std::vector<std::jthread> callers;
    for (uint64_t caller = 0; caller < 6; caller++)
      callers.emplace_back([&, caller] {
        Random random(caller);
        for (int i = 0; i < 15; i++) {
          GenerationRequest request{.prompt = test::random_tokens(random, 60), .max_tokens = 20};
          request.on_event = [&wakes] { wakes++; };
          try {
            Generation generation = thread.submit(request);
            if (random.below(3) == 0) {
              generation.next(std::chrono::milliseconds(random.below(3)));
              left++;
              continue;
            }
            Outcome outcome;
            while (outcome.final_events == 0)
              if (const auto event = generation.next(std::chrono::seconds(60))) outcome.take(*event);
            finished++;
            wrong += outcome.tokens != run_alone(request).tokens;
          } catch (const Error& error) {
            wrong += error.fault() != Fault::busy;
            std::this_thread::yield();
          }
          wrong += thread.stats().waiting < 0;
        }
      });
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(finished, 5);
  EXPECT_GT(left, 0);
  EXPECT_GT(wakes, finished);
  engine.step();  // drops what was left at the very end
  EXPECT_EQ(engine.stats().free_blocks, 24);
}

}  // namespace
}  // namespace lancet
