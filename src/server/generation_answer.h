// One answer made of one or more generations: collects their events and turns them into a response or a stream.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "server/answer.h"
#include "server/responses.h"

namespace lancet {

class GenerationAnswer : public RunningAnswer {
 public:
  struct Options {
    AnswerIdentity identity;
    bool stream = false;
    int choices_per_prompt = 1;
    HttpFields fields;  // of the head
  };

  GenerationAnswer(Options options, std::vector<Generation> generations);

  Output poll() override;
  Output keep_alive() override;
  Output abort(const Error&) override;

 private:
  struct Choice {
    std::optional<Generation> generation;  // until its final event
    ChoiceResult result;
    size_t text_bytes = 0;
    bool has_role = false;
    bool done = false;
  };

  void take(int index, const TextDelta&, Output&);
  void finish(int index, const Finished&, Output&);
  void fail(const Error&, Output&);
  void begin(Output&);
  void complete(Output&);
  Usage total() const;

  Options options_;
  std::vector<Choice> choices_;
  bool begun_ = false;  // the stream's head is out
};

}  // namespace lancet
