// What the engine's tests share: a tokenizer of bytes, everything that one request produced, a run without company.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/engine.h"
#include "support/hash_model.h"

namespace lancet::test {

inline constexpr int kVocabulary = 300;

inline const Tokenizer& tokenizer() {
  static const Tokenizer instance(byte_vocabulary(kVocabulary));
  return instance;
}

struct Outcome {
  std::string text;
  std::vector<TokenId> tokens;
  std::optional<Finished> finished;
  std::optional<Failed> failed;
  std::vector<TokenScore> prompt_scores;
  std::vector<float> state;
  int final_events = 0;
  void take(const GenerationEvent& event) {
    if (const auto* delta = std::get_if<TextDelta>(&event)) {
      EXPECT_EQ(final_events, 0) << "an event after the final one";
      text += delta->text;
      tokens.insert(tokens.end(), delta->tokens.begin(), delta->tokens.end());
      return;
    }
    if (const auto* scores = std::get_if<PromptScores>(&event)) {
      EXPECT_TRUE(final_events == 0 && tokens.empty() && prompt_scores.empty()) << "prompt scores come first, once";
      prompt_scores = scores->scores;
      return;
    }
    if (const auto* pooled = std::get_if<PooledState>(&event)) {
      EXPECT_EQ(final_events, 0) << "an event after the final one";
      state = pooled->values;
      return;
    }
    final_events++;
    if (const auto* f = std::get_if<Finished>(&event)) finished = *f;
    if (const auto* f = std::get_if<Failed>(&event)) failed = *f;
  }
  void drain(Generation& generation) {
    while (const auto event = generation.poll()) take(*event);
  }
};

inline std::vector<TokenId> random_tokens(Random& random, int count) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(256));
  return tokens;
}

/// Runs one request in an engine of its own.
inline Outcome run_alone(const GenerationRequest& request, EngineOptions options = {.blocks = 256}) {
  HashModel model(kVocabulary);
  Engine engine(model, tokenizer(), options);
  Generation generation = engine.submit(request);
  while (engine.step()) {}
  Outcome outcome;
  outcome.drain(generation);
  return outcome;
}

}  // namespace lancet::test
