// The engine's promises about constrained answers, on HashModel: they are texts of their grammar within max_tokens
// whatever the model wants, the same in any company, and cost less where the grammar leaves no choice.
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "engine/grammar_world.h"

namespace lancet {
namespace {

using test::any_value;
using test::call;
using test::constrained;
using test::ConstrainedRun;
using test::digits;
using test::FrugalModel;
using test::is_text_of;
using test::make_grammar;
using test::Outcome;
using test::random_rule;
using test::run_constrained;
using test::word_tokenizer;

void expect_valid(const ConstrainedRun& run, const GenerationRequest& request) {
  ASSERT_TRUE(run.outcome.finished) << (run.outcome.failed ? run.outcome.failed->message : "no end");
  EXPECT_TRUE(is_text_of(request.grammar, run.outcome.text)) << run.outcome.text;
  EXPECT_LE(run.outcome.tokens.size(), static_cast<size_t>(request.max_tokens));
  EXPECT_EQ(run.outcome.finished->usage.completion_tokens, static_cast<int>(run.outcome.tokens.size()));
  EXPECT_EQ(run.outcome.text, word_tokenizer().decode(run.outcome.tokens, false));
}

TEST(EngineGrammar, EveryAnswerIsATextOfItsGrammarWithinMaxTokens) {
  int closed = 0, stopped = 0, restricted = 0;
  uint64_t forced = 0;
  for (uint64_t seed = 0; seed < 600; seed++) {
    Random random(seed);
    const auto grammar = make_grammar([&](Rules& rules) { return random_rule(rules, random, 3); });
    const auto shortest = static_cast<int>(grammar->shortest_tokens());
    GenerationRequest request =
        constrained(grammar, std::max(1, shortest + static_cast<int>(random.below(random.below(2) ? 4 : 60))), seed);
    request.sampling.temperature = random.below(3) ? 2 : 0;
    if (random.below(3) == 0) request.sampling.top_p = 0.9;
    if (random.below(3) == 0) request.sampling.frequency_penalty = 1;
    if (random.below(4) == 0) request.ignore_eos = true;
    if (random.below(4) == 0)
      request.min_tokens = static_cast<int>(random.below(static_cast<uint64_t>(request.max_tokens)));
    if (random.below(4) == 0) request.repetition = {.min_pattern = 1, .max_pattern = 4, .count = 3};
    if (random.below(4) == 0) request.stop = {"e", "\"", ", "};
    const ConstrainedRun run = run_constrained(request);
    expect_valid(run, request);
    if (HasFatalFailure() || HasFailure()) FAIL() << "seed " << seed;
    closed += run.outcome.finished->closed_early;
    stopped += run.outcome.finished->reason == FinishReason::stop;
    restricted += run.restricted_steps;
    forced += run.stats.forced_tokens;
    if (run.outcome.finished->closed_early) {
      EXPECT_NE(run.outcome.finished->reason, FinishReason::stop);
    }
  }
  // The runs must have exercised what they are about.
  EXPECT_GT(closed, 50);
  EXPECT_GT(stopped, 100);
  EXPECT_GT(restricted, 300);
  EXPECT_GT(forced, 300u);
}

GenerationRequest random_request(Random& random, const std::vector<std::shared_ptr<Grammar>>& grammars) {
  const auto grammar = grammars[random.below(grammars.size())];
  const int shortest = grammar ? static_cast<int>(grammar->shortest_tokens()) : 1;
  GenerationRequest request =
      constrained(grammar, std::max(1, shortest) + static_cast<int>(random.below(40)), random.next());
  const auto more = test::random_tokens(random, static_cast<int>(random.below(60)));
  request.prompt.insert(request.prompt.end(), more.begin(), more.end());
  if (random.below(3) == 0) request.sampling.temperature = 0;
  if (random.below(4) == 0) request.sampling.top_logprobs = 1;
  if (random.below(4) == 0) request.stop = {"a", "tr"};
  return request;
}

TEST(EngineGrammar, AnswersAreTheSameInAnyCompany) {
  std::vector<std::shared_ptr<Grammar>> grammars = {nullptr};
  for (uint64_t seed = 0; seed < 6; seed++) {
    Random random(seed);
    grammars.push_back(make_grammar([&](Rules& rules) { return random_rule(rules, random, 3); }));
  }
  grammars.push_back(make_grammar([](Rules& rules) { return call(rules); }));
  uint64_t preemptions = 0, forced = 0, restricted = 0;
  for (uint64_t seed = 0; seed < 40; seed++) {
    Random random(seed);
    FrugalModel model;
    Engine engine(model, word_tokenizer(),
                  {.blocks = 16 + static_cast<int>(random.below(12)),
                   .max_sequences = 1 + static_cast<int>(random.below(8)),
                   .max_batch_rows = 1 + static_cast<int>(random.below(50)),
                   .max_waiting_tokens = 10'000,
                   .prefix_reuse = random.below(4) != 0});
    std::vector<GenerationRequest> requests;
    std::vector<Generation> generations;
    for (int i = 0; i < 12; i++) {
      requests.push_back(random_request(random, grammars));
      generations.push_back(engine.submit(requests.back()));
      for (uint64_t steps = random.below(4); steps > 0; steps--) engine.step();
    }
    while (engine.step()) {}
    for (size_t i = 0; i < requests.size(); i++) {
      Outcome outcome;
      outcome.drain(generations[i]);
      const Outcome alone = run_constrained(requests[i]).outcome;
      ASSERT_TRUE(outcome.finished && alone.finished) << "seed " << seed;
      EXPECT_EQ(outcome.tokens, alone.tokens) << "seed " << seed;
      EXPECT_EQ(outcome.text, alone.text);
      EXPECT_EQ(outcome.finished->reason, alone.finished->reason);
      EXPECT_EQ(outcome.finished->closed_early, alone.finished->closed_early);
    }
    const EngineStats stats = engine.stats();
    EXPECT_EQ(stats.free_blocks, stats.total_blocks) << "leaked blocks, seed " << seed;
    preemptions += stats.preemptions;
    forced += stats.forced_tokens;
    restricted += static_cast<uint64_t>(model.restricted_steps);
    if (HasFailure()) break;
  }
  EXPECT_GT(preemptions, 20u);
  EXPECT_GT(forced, 500u);
  EXPECT_GT(restricted, 50u);
}

TEST(EngineGrammar, ForcedTokensAreTheSameOneByOneAndCostFewerSteps) {
  const auto grammar = make_grammar([](Rules& rules) { return call(rules); });
  for (uint64_t seed = 0; seed < 30; seed++) {
    const GenerationRequest request = constrained(grammar, 60, seed);
    const ConstrainedRun jumped = run_constrained(request);
    const ConstrainedRun walked = run_constrained(request, {.blocks = 256, .jump = false});
    EXPECT_EQ(jumped.outcome.tokens, walked.outcome.tokens);
    EXPECT_EQ(jumped.outcome.text, walked.outcome.text);
    EXPECT_EQ(walked.stats.forced_tokens, 0u);
    EXPECT_EQ(walked.stats.steps, walked.outcome.tokens.size());
    EXPECT_GE(jumped.stats.forced_tokens, 10u);
    EXPECT_LE(jumped.stats.steps + jumped.stats.forced_tokens, walked.stats.steps + 1);
  }
}

TEST(EngineGrammar, ForcedTextIsCutAsTheTokenizerWouldCutIt) {
  const auto grammar = make_grammar([](Rules& rules) { return call(rules); });
  const Outcome outcome = run_constrained(constrained(grammar, 60)).outcome;
  // Before the first choice: {"name":"  and its last quote may belong to a longer token.
  Budget budget("a test");
  const auto expected = word_tokenizer().encode("{\"name\":", false, budget).ids;
  ASSERT_GE(outcome.tokens.size(), expected.size());
  EXPECT_EQ(
      std::vector<TokenId>(outcome.tokens.begin(), outcome.tokens.begin() + static_cast<ptrdiff_t>(expected.size())),
      expected);
}

TEST(EngineGrammar, AnAnswerWithoutAnyChoiceIsGivenAsItIs) {
  const auto grammar = make_grammar([](Rules& rules) { return rules.literal("prefix the content"); });
  GenerationRequest request = constrained(grammar, 40);
  for (const bool ignore : {false, true}) {
    request.ignore_eos = ignore;
    request.min_tokens = ignore ? 40 : 0;
    const ConstrainedRun run = run_constrained(request);
    EXPECT_EQ(run.outcome.text, "prefix the content");
    EXPECT_EQ(run.outcome.finished->reason, FinishReason::stop);
    EXPECT_FALSE(run.outcome.finished->closed_early);
    EXPECT_EQ(run.stats.steps, 1u);  // the prompt
    EXPECT_EQ(run.stats.forced_tokens, run.outcome.tokens.size());
  }
}

TEST(EngineGrammar, ScoresAreThereForForcedTokensToo) {
  const auto grammar = make_grammar([](Rules& rules) { return call(rules); });
  GenerationRequest request = constrained(grammar, 60, 3);
  const Outcome without = run_constrained(request).outcome;
  request.sampling.top_logprobs = 2;
  FrugalModel model;
  Engine engine(model, word_tokenizer(), {.blocks = 64});
  Generation generation = engine.submit(request);
  while (engine.step()) {}
  std::vector<TokenId> tokens;
  while (const auto event = generation.poll())
    if (const auto* delta = std::get_if<TextDelta>(&*event)) {
      ASSERT_EQ(delta->tokens.size(), delta->scores.size());
      for (size_t i = 0; i < delta->tokens.size(); i++) {
        EXPECT_EQ(delta->scores[i].token, delta->tokens[i]);
        EXPECT_EQ(delta->scores[i].top.size(), 2u);
        EXPECT_LE(delta->scores[i].logprob, delta->scores[i].top[0].second);
      }
      tokens.insert(tokens.end(), delta->tokens.begin(), delta->tokens.end());
    }
  EXPECT_EQ(tokens, without.tokens);
}

std::string refusal(const GenerationRequest& request) {
  FrugalModel model;
  Engine engine(model, word_tokenizer(), {.blocks = 64});
  try {
    Generation ignored = engine.submit(request);
  } catch (const Error& error) {
    return error.param() + ": " + error.message();
  }
  return "accepted";
}

TEST(EngineGrammar, MaxTokensBelowTheShortestAnswerIsRefusedWithNumbers) {
  const auto grammar = make_grammar([](Rules& rules) { return call(rules); });
  const auto shortest = static_cast<int>(grammar->shortest_tokens());
  EXPECT_EQ(refusal(constrained(grammar, shortest - 1)),
            "max_tokens: max_tokens is " + std::to_string(shortest - 1) +
                ", but the shortest answer that the grammar allows takes up to " + std::to_string(shortest) +
                " tokens");
  for (uint64_t seed = 0; seed < 20; seed++) {
    const GenerationRequest request = constrained(grammar, shortest, seed);
    expect_valid(run_constrained(request), request);
  }
}

TEST(EngineGrammar, AStopStringCountsOnlyWhereTheAnswerMayEnd) {
  const auto object = make_grammar([](Rules& rules) { return call(rules); });
  GenerationRequest request = constrained(object, 60);
  const Outcome whole = run_constrained(request).outcome;
  request.stop = {"\"", "write", "e"};
  const Outcome same = run_constrained(request).outcome;
  EXPECT_EQ(same.text, whole.text);
  EXPECT_EQ(same.finished->stop_string, "");

  const auto words = make_grammar([](Rules& rules) {
    return rules.repeat(rules.texts({"prefix;", "content;"}), 1, std::nullopt);
  });
  request = constrained(words, 40);
  request.ignore_eos = true;
  const std::string text = run_constrained(request).outcome.text;
  request.stop = {"fix", "pre"};  // the first is always in the middle of a word
  const Outcome cut = run_constrained(request).outcome;
  EXPECT_EQ(cut.finished->stop_string, "pre");
  EXPECT_EQ(cut.text, text.substr(0, text.find("pre", 1)));
  EXPECT_TRUE(is_text_of(words, cut.text));
}

TEST(EngineGrammar, AStopTokenCountsOnlyWhereTheAnswerMayEnd) {
  const auto words = make_grammar([](Rules& rules) {
    return rules.repeat(rules.texts({"12;", "true;"}), 1, std::nullopt);
  });
  for (uint64_t seed = 0; seed < 20; seed++) {
    GenerationRequest request = constrained(words, 20, seed);
    request.stop_tokens = {'t'};
    const Outcome outcome = run_constrained(request).outcome;
    ASSERT_TRUE(outcome.finished);
    EXPECT_TRUE(is_text_of(words, outcome.text)) << outcome.text;
    request.stop_tokens = {';'};  // no text of the grammar can do without
    const Outcome impossible = run_constrained(request).outcome;
    ASSERT_TRUE(impossible.failed);
    EXPECT_EQ(impossible.failed->fault, Fault::bad_request);
    EXPECT_NE(impossible.failed->message.find("the grammar allows no token of this vocabulary after"),
              std::string::npos)
        << impossible.failed->message;
  }
}

TEST(EngineGrammar, AnAnswerThatFailsLeavesTheOthersAlone) {
  const auto words = make_grammar([](Rules& rules) { return rules.sequence({digits(rules), rules.literal(";")}); });
  FrugalModel model;
  Engine engine(model, word_tokenizer(), {.blocks = 64});
  GenerationRequest bad = constrained(words, 20, 1), good = constrained(words, 20, 2);
  bad.stop_tokens = {';'};
  Generation first = engine.submit(bad), second = engine.submit(good);
  while (engine.step()) {}
  Outcome failed, fine;
  failed.drain(first);
  fine.drain(second);
  ASSERT_TRUE(failed.failed);
  EXPECT_TRUE(fine.finished);
  EXPECT_EQ(fine.tokens, run_constrained(good).outcome.tokens);
  EXPECT_EQ(engine.stats().failed, 1u);
}

TEST(EngineGrammar, ARepetitionIsClosedValidly) {
  /// Says the same letter for ever.
  class Stubborn : public FrugalModel {
   public:
    std::span<const float> forward(const Batch& batch) override {
      const auto all = FrugalModel::forward(batch);
      logits_.assign(all.begin(), all.end());
      const auto vocabulary = static_cast<size_t>(word_tokenizer().size());
      for (size_t row = 0; row < batch.logit_rows.size(); row++) logits_[row * vocabulary + 'x'] = 50;
      return logits_;
    }

   private:
    std::vector<float> logits_;
  } model;
  const auto grammar = make_grammar([](Rules& rules) { return call(rules); });
  GenerationRequest request = constrained(grammar, 300);
  request.sampling.temperature = 0;
  request.repetition = {.min_pattern = 1, .max_pattern = 4, .count = 10};
  Engine engine(model, word_tokenizer(), {.blocks = 64});
  Generation generation = engine.submit(request);
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(generation);
  ASSERT_TRUE(outcome.finished);
  EXPECT_TRUE(is_text_of(grammar, outcome.text)) << outcome.text;
  EXPECT_EQ(outcome.finished->reason, FinishReason::repetition);
  EXPECT_TRUE(outcome.finished->closed_early);
  EXPECT_LT(outcome.tokens.size(), 60u);
}

TokenId token_of(std::string_view bytes) {
  TokenId id = 0;
  while (word_tokenizer().bytes(id) != bytes) id++;
  return id;
}

/// Writes lines of `line` letters, as a JSON string has them, for ever.
class Writer : public FrugalModel {
 public:
  explicit Writer(int line) : line_(line) {}
  std::span<const float> forward(const Batch& batch) override {
    const auto all = FrugalModel::forward(batch);
    logits_.assign(all.begin(), all.end());
    const TokenId line_end = token_of("\\n");
    const auto vocabulary = static_cast<size_t>(word_tokenizer().size());
    for (size_t row = 0; row < batch.logit_rows.size(); row++) {
      const int position = batch.positions[static_cast<size_t>(batch.logit_rows[row])];
      logits_[row * vocabulary + static_cast<size_t>(line_ > 0 && position % line_ == 0 ? line_end : 'x')] = 50;
    }
    return logits_;
  }

 private:
  int line_;
  std::vector<float> logits_;
};

Outcome write(int line, const GenerationRequest& request) {
  Writer model(line);
  Engine engine(model, word_tokenizer(), {.blocks = 256});
  Generation generation = engine.submit(request);
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(generation);
  EXPECT_TRUE(outcome.finished);
  EXPECT_TRUE(is_text_of(request.grammar, outcome.text)) << outcome.text;
  EXPECT_LE(outcome.tokens.size(), static_cast<size_t>(request.max_tokens));
  return outcome;
}

TEST(EngineGrammar, ALongStringIsCutAtALineEnd) {
  const auto grammar = make_grammar([](Rules& rules) { return call(rules); });
  GenerationRequest request = constrained(grammar, 400);
  request.sampling.temperature = 0;
  for (const int line : {7, 20, 30, 60}) {
    const Outcome outcome = write(line, request);
    EXPECT_NE(outcome.text.find("xx\\n\",\"fixed\":"), std::string::npos) << outcome.text;
    EXPECT_EQ(outcome.text.find("truncated"), std::string::npos);
    EXPECT_EQ(outcome.finished->reason, FinishReason::length);
    EXPECT_TRUE(outcome.finished->closed_early);
    EXPECT_GT(outcome.tokens.size(), 320u) << line;  // not long before it had to be
  }
}

TEST(EngineGrammar, ALongStringWithoutLinesSaysThatItWasCut) {
  const auto grammar = make_grammar([](Rules& rules) { return call(rules); });
  GenerationRequest request = constrained(grammar, 400);
  request.sampling.temperature = 0;
  const Outcome outcome = write(0, request);
  EXPECT_NE(outcome.text.find("xx…[truncated by max_tokens]\",\"fixed\":"), std::string::npos) << outcome.text;
  EXPECT_EQ(outcome.finished->reason, FinishReason::length);
  EXPECT_TRUE(outcome.finished->closed_early);
  EXPECT_GT(outcome.tokens.size(), 390u);
  // A marker would leave no room for an answer; then the string is closed without.
  request.max_tokens = 60;
  const Outcome shorter = write(0, request);
  EXPECT_NE(shorter.text.find("xxx\",\"fixed\":"), std::string::npos) << shorter.text;
  EXPECT_TRUE(shorter.finished->closed_early);
}

TEST(EngineGrammar, AnAnswerThatEndsByItselfIsNotCalledCut) {
  const auto grammar = make_grammar([](Rules& rules) { return rules.texts({"true", "false"}); });
  for (uint64_t seed = 0; seed < 20; seed++) {
    const Outcome outcome = run_constrained(constrained(grammar, 5, seed)).outcome;
    EXPECT_EQ(outcome.finished->reason, FinishReason::stop);
    EXPECT_FALSE(outcome.finished->closed_early);
  }
}

TEST(EngineGrammar, AVocabularyThatCannotSpellTheAnswerIsSaidSo) {
  // The model has logits for the first 100 tokens only: no letters.
  test::HashModel model(100);
  Engine engine(model, word_tokenizer(), {.blocks = 64});
  const auto grammar = make_grammar([](Rules& rules) {
    return rules.sequence({digits(rules), rules.literal("name")});
  });
  GenerationRequest request = constrained(grammar, 20);
  request.prompt = {1, 2, 3};
  Generation generation = engine.submit(request);
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(generation);
  ASSERT_TRUE(outcome.failed);
  EXPECT_EQ(outcome.failed->fault, Fault::bad_request);
}

}  // namespace
}  // namespace lancet
