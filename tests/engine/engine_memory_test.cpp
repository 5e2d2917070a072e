// Whichever allocation of a submit or a step fails, at most one request does, and everything else goes on.
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/failing_allocator.h"
#include "engine/grammar_world.h"
#include "engine/outcome.h"
#include "support/hash_model.h"

namespace lancet {
namespace {

using test::AllocationsAllowed;
using test::HashModel;
using test::kVocabulary;
using test::Outcome;
using test::random_tokens;
using test::run_alone;
using test::tokenizer;

/// The model's own lack of memory is a fault of the step; here it always has enough.
class RichModel : public HashModel {
 public:
  RichModel() : HashModel(kVocabulary) {}
  std::span<const float> forward(const Batch& batch) override {
    const AllocationsAllowed allowed;
    return HashModel::forward(batch);
  }
};

std::vector<GenerationRequest> requests() {
  Random random(12);
  std::vector<GenerationRequest> list;
  for (int i = 0; i < 5; i++) {
    list.push_back({.prompt = random_tokens(random, 30), .max_tokens = 24, .ignore_eos = true});
    list.back().sampling = {.temperature = 0.8, .seed = static_cast<uint64_t>(i), .top_logprobs = i};
    list.back().stop = {"a stop string that never comes but takes memory"};
  }
  list[1].prompt_scores = true;
  list[2].kind = GenerationKind::mean_state;
  list[3].prompt = list[0].prompt;
  // One that a grammar constrains, with tokens that it forces, and a stop string. The grammar is new each time: what
  // fails in it must not be seen by others.
  list.push_back(
      {.prompt = random_tokens(random, 30), .sampling = {.temperature = 2}, .stop = {"e"}, .max_tokens = 30});
  list.back().grammar = test::make_grammar(
      [](Rules& rules) {
        const RuleId words = rules.texts({"true", "the", "content"});
        return rules.repeat(rules.sequence({rules.literal("<"), words, rules.literal(">")}), 2, 9);
      },
      tokenizer());
  return list;
}

/// Runs all in an engine too small for them, so that they are sent back too. Which of them failed?
int failures_if_allocation_fails(long count, const std::vector<Outcome>& alone, bool& reached) {
  RichModel model;
  Engine engine(model, tokenizer(), {.blocks = 8, .max_batch_rows = 20, .max_waiting_tokens = 1000});
  std::vector<GenerationRequest> list = requests();
  std::vector<std::optional<Generation>> generations(list.size());
  int failures = 0;
  test::fail_allocation(count);
  for (size_t i = 0; i < list.size(); i++) {
    try {
      generations[i].emplace(engine.submit(std::move(list[i])));
    } catch (const std::bad_alloc&) {
      failures++;
    }
    engine.step();
  }
  while (engine.step()) {}
  reached = test::allocation_failed();
  test::fail_allocation(0);
  for (size_t i = 0; i < list.size(); i++) {
    if (!generations[i]) continue;
    Outcome outcome;
    outcome.drain(*generations[i]);
    EXPECT_EQ(outcome.final_events, 1) << "request " << i << ", allocation " << count;
    failures += outcome.failed.has_value();
    if (outcome.finished) {
      EXPECT_EQ(outcome.tokens, alone[i].tokens) << "request " << i << ", allocation " << count;
    }
  }
  EXPECT_EQ(engine.stats().free_blocks, 8) << "allocation " << count;
  Generation after = engine.submit(requests()[4]);
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(after);
  EXPECT_EQ(outcome.tokens, alone[4].tokens) << "after allocation " << count;
  return failures;
}

TEST(EngineMemory, WhicheverAllocationFailsAtMostOneRequestDoes) {
  std::vector<Outcome> alone;
  for (const GenerationRequest& request : requests()) alone.push_back(run_alone(request));
  bool reached = true;
  long count = 0;
  int hurt = 0;
  while (reached && !HasFailure()) {
    const int failures = failures_if_allocation_fails(++count, alone, reached);
    EXPECT_LE(failures, 1) << "allocation " << count;
    hurt += failures;
  }
  EXPECT_GT(count, 300);  // that many were tried
  EXPECT_GT(hurt, 50);
}

}  // namespace
}  // namespace lancet
