// What tests of constrained answers share: a vocabulary with merged tokens, grammars, a model that punishes whoever
// reads a logit that was not asked for, and a judge of texts.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/outcome.h"
#include "grammar/grammar.h"
#include "support/json_rules.h"

namespace lancet::test {

/// byte_vocabulary() with words in it, each with all of its beginnings, so that merging reaches it.
inline Vocabulary word_vocabulary() {
  Vocabulary vocabulary = byte_vocabulary(258);
  std::vector<std::string> known;
  for (const std::string word :
       {"{\"",          "\":",  "\": ",    "\": \"",     "\",",  "\"}", "},",  "content", "name",   "true",
        "false",        "null", "\\n",     "\\\"",       "  ",   "12",  "fix", "fixed",   "prefix", "…",
        "truncated by", " max", "_tokens", "write_file", " the", "}}",  "[]",  "]}"}) {
    for (size_t size = 2; size <= word.size(); size++) {
      const std::string part = word.substr(0, size);
      if (std::find(known.begin(), known.end(), part) != known.end()) continue;
      known.push_back(part);
      vocabulary.tokens.push_back({part, Token::Kind::normal});
    }
  }
  vocabulary.merge_by_rank = true;
  return vocabulary;
}

inline const Tokenizer& word_tokenizer() {
  static const Tokenizer instance(word_vocabulary());
  return instance;
}

/// HashModel whose logits of tokens that the batch does not want are NaN.
class FrugalModel : public HashModel {
 public:
  FrugalModel() : HashModel(word_tokenizer().size()) {}
  std::span<const float> forward(const Batch& batch) override {
    const auto all = HashModel::forward(batch);
    if (batch.wanted.empty()) return all;
    restricted_steps++;
    const auto vocabulary = static_cast<size_t>(word_tokenizer().size());
    logits_.assign(all.size(), std::numeric_limits<float>::quiet_NaN());
    for (size_t row = 0; row < batch.logit_rows.size(); row++)
      for (const TokenId id : batch.wanted) {
        const size_t at = row * vocabulary + static_cast<size_t>(id);
        logits_[at] = all[at];
      }
    return logits_;
  }
  int restricted_steps = 0;

 private:
  std::vector<float> logits_;
};

/// Builds a grammar over word_vocabulary() (or another tokenizer's).
template <typename Build>
std::shared_ptr<Grammar> make_grammar(Build build, const Tokenizer& tokenizer = word_tokenizer()) {
  Rules rules;
  const RuleId start = build(rules);
  Budget budget("a test");
  return Grammar::make(std::move(rules), start, std::make_shared<const TokenTrie>(tokenizer), budget);
}

inline RuleId digits(Rules& rules) {
  return rules.text(rules.terms().repeat(rules.terms().chars(CharSet({{'0', '9'}})), 1, 4), Encoding::utf8);
}

/// {"name": "write_file", "content": ..., "fixed": true or false}, the second and third members in this order.
inline RuleId call(Rules& rules, Spacing spacing = Spacing::compact) {
  ObjectRule object;
  object.members = {{"name", {{rules.texts({"\"write_file\"", "\"fix\""}), 0}}, true, {}},
                    {"content", {{any_string(rules), 0}}, true, {}},
                    {"fixed", {{rules.texts({"true", "false"}), 0}}, true, {}}};
  return rules.object(object, spacing);
}

inline RuleId any_value(Rules& rules, Spacing spacing) { return any_value(rules, spacing, digits(rules)); }

/// Rules at random: sequences, alternatives, repetitions, objects, arrays, strings, words.
inline RuleId random_rule(Rules& rules, Random& random, int depth) {
  const auto next = [&] { return random_rule(rules, random, depth - 1); };
  const Spacing spacing = random.below(2) ? Spacing::compact : Spacing::flexible;
  switch (random.below(depth > 0 ? 9 : 4)) {
    case 0: return any_string(rules);
    case 1: return digits(rules);
    case 2: return rules.texts({"true", "false", "prefix", "pre", "…"});
    case 3: return rules.literal("content: ");
    case 4: return rules.sequence({next(), rules.literal(", "), next()});
    case 5: return rules.either({next(), rules.sequence({rules.literal("the "), next()})});
    case 6: {
      const uint64_t most = 1 + random.below(4);
      return rules.repeat(rules.sequence({rules.literal(";"), next()}), random.below(2),
                          random.below(3) ? std::optional(most) : std::nullopt);
    }
    case 7: {
      ObjectRule object;
      object.members = {{"name", {{next(), 0}}, random.below(2) == 0, {}}, {"content", {{next(), 0}}, true, {}}};
      return rules.object(object, spacing);
    }
    default: {
      ArrayRule array;
      array.rest = {{next(), 0}};
      array.min_items = random.below(3);
      return rules.array(array, spacing);
    }
  }
}

inline bool is_text_of(const std::shared_ptr<Grammar>& grammar, std::string_view text) {
  Budget budget("a test");
  GrammarState state(grammar);
  return state.accept_bytes(text, budget) && state.may_end();
}

/// A request for a text of the grammar after a short prompt.
inline GenerationRequest constrained(std::shared_ptr<Grammar> grammar, int max_tokens, uint64_t seed = 1) {
  Random random(seed);
  return {.prompt = random_tokens(random, 20),
          .sampling = {.temperature = 2, .seed = seed},
          .max_tokens = max_tokens,
          .grammar = std::move(grammar)};
}

struct ConstrainedRun {
  Outcome outcome;
  EngineStats stats;
  int restricted_steps = 0;
};

/// Runs a request in an engine of its own.
inline ConstrainedRun run_constrained(const GenerationRequest& request, EngineOptions options = {.blocks = 256}) {
  FrugalModel model;
  Engine engine(model, word_tokenizer(), options);
  Generation generation = engine.submit(request);
  while (engine.step()) {}
  ConstrainedRun run{.stats = engine.stats(), .restricted_steps = model.restricted_steps};
  run.outcome.drain(generation);
  EXPECT_EQ(run.outcome.final_events, 1);
  EXPECT_EQ(run.stats.free_blocks, run.stats.total_blocks);
  return run;
}

}  // namespace lancet::test
