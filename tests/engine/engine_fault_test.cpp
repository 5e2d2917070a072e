// What must hold when things go wrong or get tight: faults stay with the step that they hit, few blocks change nothing,
// and the comparisons that all this rests on do notice a mistake.
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

#include "engine/engine.h"
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

std::vector<GenerationRequest> requests_of(uint64_t seed, int count, int prompt, int max_tokens) {
  Random random(seed);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < count; i++)
    requests.push_back({.prompt = random_tokens(random, prompt),
                        .sampling = {.temperature = i % 2 ? 1.0 : 0.0, .seed = random.next()},
                        .max_tokens = max_tokens,
                        .ignore_eos = true});
  return requests;
}

std::vector<Outcome> run_together(Model& model, const std::vector<GenerationRequest>& requests, EngineOptions options,
                                  EngineStats* stats = nullptr) {
  Engine engine(model, tokenizer(), options);
  std::vector<Generation> generations;
  for (const GenerationRequest& request : requests) generations.push_back(engine.submit(request));
  while (engine.step()) {}
  std::vector<Outcome> outcomes(requests.size());
  for (size_t i = 0; i < requests.size(); i++) outcomes[i].drain(generations[i]);
  EXPECT_EQ(engine.stats().free_blocks, options.blocks);
  if (stats) *stats = engine.stats();
  return outcomes;
}

TEST(EngineFaults, RoomForTwoOfTwentyRequestsGivesTheSameTokens) {
  const auto requests = requests_of(1, 20, 40, 50);
  HashModel model(kVocabulary);
  EngineStats stats;
  const auto outcomes =
      run_together(model, requests, {.blocks = 12, .max_sequences = 20, .max_waiting_tokens = 1000}, &stats);
  for (size_t i = 0; i < requests.size(); i++) {
    EXPECT_EQ(outcomes[i].tokens, run_alone(requests[i]).tokens) << i;
    EXPECT_EQ(outcomes[i].final_events, 1);
  }
  EXPECT_GT(stats.preemptions, 5u);
}

TEST(EngineFaults, RandomFaultsHitOnlyTheRequestsOfTheirSteps) {
  int failures = 0, survivors = 0;
  for (uint64_t seed = 0; seed < 40; seed++) {
    const auto requests = requests_of(100 + seed, 10, 30, 12);
    HashModel model(kVocabulary);
    Random random(seed);
    int hit = 0;
    model.before_step = [&](int, const Batch& batch) {
      if (random.below(12) != 0) return;
      hit += static_cast<int>(batch.sequences.size());
      if (random.below(2)) throw std::bad_alloc();
      throw Error(Fault::internal, "planted");
    };
    const auto outcomes = run_together(model, requests, {.blocks = 14, .max_sequences = 4, .max_batch_rows = 24});
    int failed = 0;
    for (size_t i = 0; i < requests.size(); i++) {
      const auto alone = run_alone(requests[i]).tokens;
      EXPECT_EQ(outcomes[i].final_events, 1);
      if (outcomes[i].failed) {
        failed++;
        EXPECT_TRUE(std::equal(outcomes[i].tokens.begin(), outcomes[i].tokens.end(), alone.begin()));
      } else {
        EXPECT_EQ(outcomes[i].tokens, alone);
      }
    }
    EXPECT_EQ(failed, hit) << "seed " << seed;
    failures += failed;
    survivors += static_cast<int>(requests.size()) - failed;
  }
  EXPECT_GT(failures, 50);
  EXPECT_GT(survivors, 50);
}

/// Runs what a faulty scheduler might have built.
class Tampering : public HashModel {
 public:
  using Change = void (*)(Batch&);
  explicit Tampering(Change change) : HashModel(kVocabulary), change_(change) {}
  std::span<const float> forward(const Batch& batch) override {
    Batch changed = batch;
    if (steps == 6) change_(changed);
    return HashModel::forward(changed);
  }

 private:
  Change change_;
};

TEST(EngineFaults, ComparingWithARunAloneNoticesEveryPlantedMistake) {
  const auto requests = requests_of(3, 3, 40, 20);
  const auto differences = [&](Tampering::Change change) {
    Tampering model(change);
    const auto outcomes = run_together(model, requests, {.blocks = 64, .max_batch_rows = 30});
    int count = 0;
    for (size_t i = 0; i < requests.size(); i++) count += outcomes[i].tokens != run_alone(requests[i]).tokens;
    return count;
  };
  EXPECT_EQ(differences([](Batch&) {}), 0);
  EXPECT_GT(differences([](Batch& batch) { batch.slots[0] += 1; }), 0);
  EXPECT_GT(differences([](Batch& batch) { batch.positions[0] -= 1; }), 0);
  EXPECT_GT(differences([](Batch& batch) { std::swap(batch.blocks[0], batch.blocks[1]); }), 0);
  EXPECT_GT(differences([](Batch& batch) { batch.blocks[0] = batch.blocks.back(); }), 0);
  EXPECT_GT(differences([](Batch& batch) { batch.sequences.back().first_block -= 1; }), 0);
  EXPECT_GT(differences([](Batch& batch) { batch.slots[0] = batch.slots[1]; }), 0);  // a row's own cell is stale
}

TEST(EngineFaults, BlocksBehindNonFiniteLogitsAreNotReused) {
  HashModel model(kVocabulary);
  auto requests = requests_of(5, 2, 70, 5);
  requests[0].prompt[20] = model.poison = 299;
  requests[1].prompt = requests[0].prompt;
  EngineStats stats;
  // Chunks publish the first blocks before the last one shows that they are bad.
  const auto outcomes = run_together(model, requests, {.blocks = 16, .max_sequences = 1, .max_batch_rows = 32}, &stats);
  for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome.failed);
  EXPECT_EQ(stats.cached_tokens, 0u);
  EXPECT_EQ(stats.failed, 2u);
}

TEST(EngineFaults, AModelThatThrowsAnythingOrSaysTooLittleFailsOnlyItsStep) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), {.blocks = 16, .max_sequences = 1});
  const auto requests = requests_of(6, 3, 20, 5);
  std::vector<Generation> generations;
  for (const GenerationRequest& request : requests) generations.push_back(engine.submit(request));
  model.before_step = [](int step, const Batch&) {
    if (step == 0) throw 7;
    if (step == 1) throw std::runtime_error("a backend's own words");
  };
  while (engine.step()) {}
  std::vector<Outcome> outcomes(3);
  for (size_t i = 0; i < 3; i++) outcomes[i].drain(generations[i]);
  ASSERT_TRUE(outcomes[0].failed && outcomes[1].failed);
  EXPECT_EQ(outcomes[1].failed->message, "a backend's own words");
  EXPECT_EQ(outcomes[2].tokens, run_alone(requests[2]).tokens);
}

TEST(EngineFaults, ACallerThatCannotBeWokenIsNobodyElsesProblem) {
  HashModel model(kVocabulary);
  auto requests = requests_of(7, 2, 20, 5);
  requests[0].on_event = [] { throw std::runtime_error("asleep"); };
  const auto outcomes = run_together(model, requests, {.blocks = 16});
  for (size_t i = 0; i < 2; i++) EXPECT_EQ(outcomes[i].tokens, run_alone(requests_of(7, 2, 20, 5)[i]).tokens);
}

TEST(EngineFaults, AnEngineThatDiesEndsEveryRequestAsUnavailable) {
  HashModel model(kVocabulary);
  std::vector<Generation> generations;
  {
    Engine engine(model, tokenizer(), {.blocks = 16, .max_sequences = 1});
    for (const GenerationRequest& request : requests_of(4, 3, 20, 20)) generations.push_back(engine.submit(request));
    engine.step();
  }
  for (Generation& generation : generations) {
    Outcome outcome;
    outcome.drain(generation);
    ASSERT_TRUE(outcome.failed);
    EXPECT_EQ(outcome.failed->fault, Fault::unavailable);
    EXPECT_EQ(outcome.final_events, 1);
  }
}

}  // namespace
}  // namespace lancet
