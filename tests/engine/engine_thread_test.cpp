// The engine on its own thread: bounds that hold while a step runs, and callers that come, watch and leave.
#include "engine/engine_thread.h"

#include <gtest/gtest.h>

#include <time.h>

#include <atomic>
#include <semaphore>
#include <thread>

#include "engine/channel.h"
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

/// Processor time of the whole program so far.
std::chrono::nanoseconds cpu_time() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

TEST(EngineThread, WithoutRequestsItUsesNoProcessor) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 64});
  EngineThread thread(engine);
  Generation generation = thread.submit({.prompt = {1, 2, 3}, .max_tokens = 2});
  Outcome outcome;
  while (outcome.final_events == 0)
    if (const auto event = generation.next(std::chrono::seconds(60))) outcome.take(*event);
  const auto before = cpu_time();
  Generation nothing(std::make_shared<Channel>(nullptr));
  nothing.next(std::chrono::milliseconds(300));  // a wait that nobody ends
  EXPECT_LT(cpu_time() - before, std::chrono::milliseconds(100));
}

TEST(EngineThread, AWatchdogSeesHowOldAStepIsAndWhatIsInIt) {
  HashModel model(kVocabulary);
  std::binary_semaphore entered(0), go(0);
  model.before_step = [&](int step, const Batch&) {
    if (step > 0) return;
    entered.release();
    go.acquire();
  };
  Engine engine(model, tokenizer(), {.blocks = 64, .max_sequences = 1});
  EngineThread thread(engine);
  Generation hanging = thread.submit({.prompt = {1, 2, 3}, .max_tokens = 2});
  entered.acquire();
  while (thread.step_age() < std::chrono::milliseconds(2)) std::this_thread::yield();
  EXPECT_NE(thread.dump().find("request 1: runs, priority 0, 3 tokens, 0 cached, 3 rows now"), std::string::npos)
      << thread.dump();
  go.release();
  Outcome outcome;
  while (outcome.final_events == 0)
    if (const auto event = hanging.next(std::chrono::seconds(60))) outcome.take(*event);
  EXPECT_TRUE(outcome.finished);
}

TEST(EngineThread, WhoWaitsBehindALongAnswerIsToldInTimeAndACancelledOneLeaves) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 4096, .max_sequences = 1});
  EngineThread thread(engine);
  Generation long_answer = thread.submit({.prompt = {1, 2, 3}, .max_tokens = 60'000, .ignore_eos = true});
  GenerationRequest late{.prompt = {4, 5}, .max_tokens = 2};
  late.begin_before = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
  GenerationRequest flagged{.prompt = {6, 7}, .max_tokens = 2};
  const auto flag = std::make_shared<CancelFlag>();
  flagged.cancel = flag;
  Generation waits = thread.submit(late), leaves = thread.submit(flagged);
  flag->raise();
  for (auto [generation, fault] : {std::pair(&leaves, Fault::cancelled), std::pair(&waits, Fault::timeout)}) {
    Outcome outcome;
    while (outcome.final_events == 0)
      if (const auto event = generation->next(std::chrono::seconds(60))) outcome.take(*event);
    ASSERT_TRUE(outcome.failed);
    EXPECT_EQ(outcome.failed->fault, fault);
  }
}

}  // namespace
}  // namespace lancet
