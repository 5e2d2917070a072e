// Calls that lead nowhere or were not the model's own idea: the same call again although its result was the same, a
// call that changes nothing, a call copied from a tool's result. Found by comparing with the conversation; not a
// defence against paraphrase.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/budget.h"
#include "text/chat.h"

namespace lancet {

struct GuardFinding {
  std::string code;     // "repeated_call", "no_op", "copied_call"
  std::string message;  // one sentence
};

/// Made of a conversation on a worker thread; then any thread.
class CallGuard {
 public:
  /// `fenced`: calls and results are texts of assistant and user, in Scalpel's form.
  CallGuard(const Conversation&, bool fenced, Budget&);

  /// What is wrong with a call; linear in its arguments and the results.
  std::vector<GuardFinding> check(std::string_view name, std::string_view arguments) const;

 private:
  struct Past {
    int count = 0;
    std::string result;       // of the last one
    bool same_result = true;  // all of them had it
  };
  void add_call(std::string_view name, std::string_view arguments, std::string_view result);
  void add_result(std::string_view text, Budget&);

  std::unordered_map<std::string, Past> past_;         // by canonical call
  std::string last_;                                   // canonical form of the latest call
  std::unordered_set<std::string> offered_;            // canonical calls that stand in results
  std::unordered_map<std::string, std::string> read_;  // path -> what the latest call with only a path gave
  std::string untrusted_;                              // all results, one after the other
  std::string trusted_;                                // what the user and the system said
};

/// The same for equal calls: members in order of name, no white space.
std::string canonical_call(std::string_view name, std::string_view arguments);

}  // namespace lancet
