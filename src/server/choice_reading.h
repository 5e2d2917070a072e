// One choice of an answer, from the engine's deltas to what a client is told: content, calls with their ids, refusals,
// and a report of what was out of the ordinary.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "engine/generation.h"
#include "server/answer_plan.h"

namespace lancet {

struct AnswerPart {
  enum class Kind {
    content,
    call,       // a call begins
    arguments,  // more of its arguments
    refusal,    // instead of a call that the guard refused
  };
  Kind kind = Kind::content;
  std::string text;  // call: the function's name
  int call = 0;      // its number
  std::string id;    // call: nine letters and digits
};

class ChoiceReading {
 public:
  /// `name`: of the choice, unlike those of all others: ids of calls are made of it.
  ChoiceReading(std::shared_ptr<const AnswerPlan>, std::string name);
  ChoiceReading(const ChoiceReading&) = delete;  // its reader asks it

  std::vector<AnswerPart> take(const TextDelta&);
  std::vector<AnswerPart> finish(const Finished&);

  bool has_calls() const { return calls_ > 0; }
  /// The choice's "lancet" field; empty: there is nothing to say.
  boost::json::object report() const;

 private:
  void read(const AnswerEvents&, std::vector<AnswerPart>&);
  void read_refusing(const AnswerEvent&, std::vector<AnswerPart>&);
  void read_event(const AnswerEvent&, std::vector<AnswerPart>&);
  std::string refuse(std::string_view name, std::string_view arguments);
  void check(std::string_view name, std::string_view arguments);
  std::string call_id(int number) const;

  std::shared_ptr<const AnswerPlan> plan_;
  std::string name_;
  std::unique_ptr<AnswerReader> reader_;
  std::vector<AnswerEvent> waiting_;  // guards refuse: of a call that is not whole yet
  std::string function_, arguments_;  // of the call that is being read
  int calls_ = 0;
  std::vector<GuardFinding> findings_;
  int refused_ = 0;
  bool closed_early_ = false;
};

}  // namespace lancet
