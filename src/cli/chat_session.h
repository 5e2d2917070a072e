// A conversation in progress: what was said, what the commands do with it, what it cost. Knows who answers and where
// text goes, and not who types.
#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chat_lines.h"
#include "cli/chat_source.h"

namespace lancet {

/// Where text goes. Answers to stdout; all else to the terminal, or to stderr if there is none.
struct ChatScreen {
  bool terminal = false;  // stdout is one: text is made safe to show
  bool colour = false;

  void answer(std::string_view text) const;  // Error{io} if nobody reads it any more
  void line(std::string_view text) const;    // dimmed; made safe
};

class ChatSession {
 public:
  ChatSession(ChatSource& source, ChatScreen screen, std::string system);

  /// One message and its answer, which is shown as it comes; `interrupted` ends it early. Throws Error, and then the
  /// message has not been said.
  void ask(std::string message, const std::function<bool()>& interrupted);

  /// Does what a command says. False: the conversation is over. Throws Error.
  bool run(const ChatCommand& command);

 private:
  struct Row {
    std::string_view name, argument, does;
    bool (ChatSession::*run)(std::string_view argument);
  };
  static const Row kRows[];

  bool help(std::string_view);
  bool system(std::string_view text);
  bool save(std::string_view path);
  bool save_over(std::string_view path);
  bool load(std::string_view path);
  bool image(std::string_view);
  bool stats(std::string_view);
  bool reset(std::string_view);
  bool quit(std::string_view) { return false; }

  void set_system(std::string_view text);
  bool has_system() const { return !turns_.empty() && turns_.front().role == "system"; }
  void report(const Answered& answered);

  struct Measured {
    Usage usage;
    bool interrupted = false;         // then usage has what was counted until then
    double first_ms = 0, rest_s = 0;  // to the first text; from there to the end
  };

  ChatSource& source_;
  ChatScreen screen_;
  std::vector<ChatTurn> turns_;
  std::set<std::string> told_;  // notes that were shown
  Measured last_;
  int answers_ = 0;
  int64_t prompt_tokens_ = 0, cached_tokens_ = 0, completion_tokens_ = 0;
};

}  // namespace lancet
