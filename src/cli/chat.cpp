// chat: a conversation at a terminal; over a pipe all of stdin is one message, or with --lines what would be typed.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/chat_lines.h"
#include "cli/chat_session.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/line_history.h"
#include "cli/model_flags.h"
#include "cli/terminal_text.h"

namespace lancet {
namespace {

bool wants_colour() {
  const char *no_colour = std::getenv("NO_COLOR"), *kind = std::getenv("TERM");
  return !(no_colour && *no_colour) && kind && std::string_view(kind) != "dumb";
}

/// The next line of stdin without its end; nothing at the end of the input.
std::optional<std::string> next_line() {
  std::string line;
  int byte = 0;
  while ((byte = std::getc(stdin)) != EOF && byte != '\n') {
    if (line.size() == kMessageBytes)
      throw Error(Fault::too_large, fmt::format("a line of stdin has more than {} bytes", kMessageBytes));
    line += static_cast<char>(byte);
  }
  if (byte == EOF && line.empty()) return std::nullopt;
  return line;
}

class Chat : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.add("--connect", connect_, "talk to the server at this address instead, http://127.0.0.1:8111");
    flags.add("--api-key-file", key_file_, "file whose first line is the server's API key");
    flags.add("--system", system_, "the system prompt; an empty one: what the model's template says");
    flags.add("--ctx", context_, "longest conversation in tokens; 0: from free memory", 0, 1 << 20);
    flags.add("-n,--max-tokens", wish_.max_tokens, "at most so many new tokens; 0: until the context is full", 0,
              1 << 20);
    flags.add("--temperature", wish_.temperature, "0: always the likeliest token", 0.0, 2.0);
    flags.add("--top-p", wish_.top_p, "nucleus sampling", 0.0, 1.0);
    flags.add("--seed", wish_.seed, "the same seed gives the same text; 0: another one each time", 0, INT64_MAX);
    flags.add("--lines", lines_, "stdin that is no terminal has one message or command a line");
    flags.add("--no-history", no_history_, "what is typed is not kept for the next time");
    flags.example("lancet chat -m model.gguf", "a conversation; /help lists what else can be typed");
    flags.example("lancet chat --connect http://127.0.0.1:8111", "the same with the model of a running server");
    flags.example("git diff | lancet chat -m model.gguf --system 'Write a commit message.'",
                  "over a pipe: all of stdin is one message, the answer goes to stdout");
  }

  int run() override {
    const bool typed = ::isatty(STDIN_FILENO) && ::isatty(STDOUT_FILENO);
    if (lines_ && typed) throw Error(Fault::bad_request, "--lines is for stdin that is no terminal");
    const ChatScreen screen{.terminal = ::isatty(STDOUT_FILENO) == 1, .colour = typed && wants_colour()};
    const std::unique_ptr<ChatSource> source = make_source(typed);
    ChatSession session(*source, screen, system_);
    if (typed) return converse(session, screen, *source);
    if (lines_) return run_lines(session);
    std::string message = read_stdin(kMessageBytes);
    while (message.ends_with('\n')) message.pop_back();  // which echo and editors put there
    if (message.find_first_not_of(" \t\r\n") == message.npos) throw Error(Fault::bad_request, "stdin has no message");
    session.ask(std::move(message), [] { return false; });
    return 0;
  }

 private:
  std::unique_ptr<ChatSource> make_source(bool typed) {
    if (connect_.empty()) {
      if (!key_file_.empty()) throw Error(Fault::bad_request, "--api-key-file is of use only with --connect");
      model_.model = model_or_default(model_.model);
      if (typed) fmt::print("loading {} ...\n", terminal_text(model_.model)), std::fflush(stdout);
      return make_local_source(model_, context_, wish_);
    }
    if (model_ != ModelFlags() || context_ > 0)
      throw Error(Fault::bad_request,
                  "--connect talks to a server that has a model and a context: -m, --ctx and the "
                  "flags that say how to compute are nothing for it");
    std::string key;
    if (!key_file_.empty()) key = read_text_file(key_file_, 4096);
    return make_remote_source(connect_, key.substr(0, key.find_first_of("\r\n")), wish_);
  }

  int run_lines(ChatSession& session) {
    LineAssembly lines;
    int code = 0;
    const auto attempt = [&](const auto& what) {
      try {
        return what();
      } catch (const Error& error) {
        fmt::print(stderr, "lancet: {}\n", error.message());
        code = 1;
        return true;
      }
    };
    const auto ask = [&](std::string message) { session.ask(std::move(message), [] { return false; }); };
    while (const auto line = next_line())
      if (!attempt([&] { return take(session, lines, *line, ask); })) return code;
    if (auto rest = lines.finish()) attempt([&] { return ask(*rest), true; });
    return code;
  }

  /// One line, typed or not. False: the conversation is over.
  template <typename Ask>
  static bool take(ChatSession& session, LineAssembly& lines, std::string_view line, const Ask& ask) {
    if (!lines.open()) {
      if (const auto command = chat_command(line)) return session.run(*command);
      line = chat_message(line);
    }
    auto message = lines.add(line);
    if (message && message->find_first_not_of(" \t\r\n") != std::string::npos) ask(*std::move(message));
    return true;
  }

  int converse(ChatSession& session, const ChatScreen& screen, const ChatSource& source) const {
    screen.line(source.description() + ". /help lists commands, Ctrl-D ends.");
    watch_terminal_signals();
    LineEditor editor(no_history_ ? std::filesystem::path() : history_path());
    LineAssembly lines;
    const auto ask = [&](std::string message) {
      editor.remember((message.starts_with('/') ? "/" : "") + message);  // as it would be typed in one line
      take_interrupt();
      session.ask(std::move(message), take_interrupt);
    };
    for (bool warned = false; true;) {
      const LineEditor::Line line = editor.read(lines.open() ? ". " : "> ", screen.colour);
      if (line.end == LineEditor::End::end_of_input) break;
      if (line.end == LineEditor::End::interrupt) {
        const bool nothing = line.text.empty() && !lines.open();
        if (nothing && warned) break;
        if (nothing) screen.line("[Ctrl-C again or Ctrl-D ends]");
        warned = nothing;
        lines.clear();
        continue;
      }
      warned = false;
      try {
        if (!lines.open() && chat_command(line.text)) editor.remember(line.text);
        if (!take(session, lines, line.text, ask)) return 0;
      } catch (const Error& error) {
        screen.line("lancet: " + error.message());
      }
    }
    fmt::print("\n");
    return 0;
  }

  ModelFlags model_;
  ChatWish wish_;
  std::string connect_, key_file_, system_;
  int context_ = 0;
  bool lines_ = false, no_history_ = false;
};

}  // namespace

std::unique_ptr<Command> make_chat() { return std::make_unique<Chat>(); }

}  // namespace lancet
