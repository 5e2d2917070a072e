// One answer made of one or more generations: collects their events and turns them into a response or a stream.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "server/answer.h"
#include "server/choice_reading.h"
#include "server/responses.h"

namespace lancet {

/// A prompt that is shown before its continuation.
struct Echo {
  std::string text;
  size_t hidden_tokens = 0;  // at the start of the prompt, that the client did not send: bos
};

class GenerationAnswer : public RunningAnswer {
 public:
  struct Options {
    AnswerIdentity identity;
    bool stream = false;
    int choices_per_prompt = 1;
    std::vector<Echo> echo;          // a prompt each, or empty: prompts are not shown
    std::vector<int> prompt_tokens;  // a prompt each
    std::shared_ptr<const AnswerPlan> plan;
    HttpFields fields;  // of the head
  };

  GenerationAnswer(Options options, std::vector<Generation> generations);

  Output poll() override;
  Output keep_alive() override;
  Output abort(const Error&) override;

 private:
  struct Choice {
    std::optional<Generation> generation;  // until its final event
    std::unique_ptr<ChoiceReading> reading;
    ChoiceResult result;
    size_t characters = 0;  // of text that was sent
    int tokens = 0;         // generated so far
    bool begun = false;     // role or echo are out
    bool done = false;
  };

  void take(int index, const TextDelta&, Output&);
  void take(int index, const PromptScores&, Output&);
  void show(int index, const std::vector<AnswerPart>&, const std::vector<TokenScore>&, Output&);
  void open(int index, const PromptScores&, bool call_first, Output&);
  ChunkContext place(int index) const;
  void finish(int index, const Finished&, Output&);
  void fail(const Error&, Output&);
  void begin(Output&);
  void complete(Output&);
  Usage total() const;
  AnswerFacts facts() const;

  Options options_;
  std::vector<Choice> choices_;
  bool begun_ = false;  // the stream's head is out
};

}  // namespace lancet
