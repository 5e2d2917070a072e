// What a request's answer must be and how it is read: the compiled constraint, the reader of calls, the guard. Made on
// a worker thread, shared by all choices of the answer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grammar/grammar.h"
#include "server/answer.h"
#include "server/constraint_fields.h"
#include "server/guards.h"
#include "text/answer_reader.h"
#include "text/dialect.h"
#include "text/tool_syntax.h"

namespace lancet {

struct AnswerPlan {
  enum class Reading {
    plain,   // the text is the content
    json,    // ... without a fence around it
    calls,   // the model's own calls
    fenced,  // calls in the text, for a client that finds them there
  };
  Reading reading = Reading::plain;
  std::shared_ptr<Grammar> grammar;  // null: anything goes
  ToolSyntax syntax;                 // calls, fenced
  std::vector<std::string> tools;    // names
  bool required = false, old_names = false;
  std::string dialect;    // "scalpel", or empty
  bool inferred = false;  // the dialect, from the system prompt
  Guards guards = Guards::off;
  std::shared_ptr<const CallGuard> guard;
  std::vector<std::string> notes;  // what is worth saying in the head

  bool makes_calls() const { return reading == Reading::calls; }
  std::unique_ptr<AnswerReader> reader() const;
  std::vector<TokenId> show_tokens() const;
};

/// Throws Error{bad_request} with the field and a JSON pointer behind it as param for what cannot be compiled.
/// `conversation` is null for a completion.
AnswerPlan plan_answer(const RequestContext&, const ConstraintFields&, const Conversation* conversation, Budget&);

}  // namespace lancet
