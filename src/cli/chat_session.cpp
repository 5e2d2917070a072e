#include "cli/chat_session.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/terminal_text.h"

namespace lancet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

std::string file_argument(std::string_view path, std::string_view command) {
  if (path.empty()) throw Error(Fault::bad_request, fmt::format("/{} wants the name of a file", command));
  return std::string(path);
}

}  // namespace

void ChatScreen::answer(std::string_view text) const {
  const std::string shown = terminal ? terminal_text(text) : std::string(text);
  const bool complete = std::fwrite(shown.data(), 1, shown.size(), stdout) == shown.size();
  if (!complete || std::fflush(stdout) != 0)
    throw Error(Fault::io, fmt::format("stdout cannot be written: {}", std::strerror(errno)));
}

void ChatScreen::line(std::string_view text) const {
  const std::string shown = terminal_text(text);
  fmt::print(terminal ? stdout : stderr, "{}{}{}\n", colour ? "\033[2m" : "", shown, colour ? "\033[0m" : "");
  std::fflush(stdout);
}

const ChatSession::Row ChatSession::kRows[] = {
    {"help", "", "this list", &ChatSession::help},
    {"system", "[TEXT]", "the system prompt from now on; no TEXT: shows it", &ChatSession::system},
    {"save", "FILE", "writes the conversation; an existing file is left alone", &ChatSession::save},
    {"save!", "FILE", "the same, and replaces an existing file", &ChatSession::save_over},
    {"load", "FILE", "goes on with a saved conversation", &ChatSession::load},
    {"image", "FILE", "not in this build: it does not see images", &ChatSession::image},
    {"stats", "", "tokens, cached tokens, time to the first token, tokens a second", &ChatSession::stats},
    {"reset", "", "forgets the conversation; the system prompt stays", &ChatSession::reset},
    {"quit", "", "ends; Ctrl-D does as well", &ChatSession::quit},
};

ChatSession::ChatSession(ChatSource& source, ChatScreen screen, std::string system) : source_(source), screen_(screen) {
  if (!system.empty()) set_system(system);
}

void ChatSession::ask(std::string message, const std::function<bool()>& interrupted) {
  turns_.push_back({"user", std::move(message)});
  std::string text;
  const auto began = Clock::now();
  auto first = began;
  Answered answered;
  try {
    answered = source_.answer(
        turns_,
        [&](std::string_view piece) {
          if (text.size() + piece.size() > kMessageBytes)
            throw Error(Fault::too_large, fmt::format("the answer has more than {} bytes", kMessageBytes));
          if (text.empty()) first = Clock::now();
          text += piece;
          screen_.answer(piece);
        },
        interrupted);
  } catch (const Error&) {
    if (!text.empty()) screen_.answer("\n");
    turns_.pop_back();
    throw;
  }
  if (!text.ends_with('\n')) screen_.answer("\n");
  if (text.empty()) {
    turns_.pop_back();  // a turn without an answer is something that templates refuse
  } else {
    turns_.push_back({"assistant", std::move(text)});
  }
  last_ = {answered.usage, answered.interrupted, 1000 * seconds(first - began), seconds(Clock::now() - first)};
  report(answered);
}

void ChatSession::report(const Answered& answered) {
  answers_++;
  prompt_tokens_ += answered.usage.prompt_tokens;
  cached_tokens_ += answered.usage.cached_tokens;
  completion_tokens_ += answered.usage.completion_tokens;
  for (const std::string& note : answered.notes)
    if (told_.insert(note).second) screen_.line("[" + note + "]");
  const bool kept = turns_.size() > 0 && turns_.back().role == "assistant";
  if (answered.interrupted)
    screen_.line(kept ? "[interrupted; what was said stays in the conversation]"
                      : "[interrupted before the first word; the message has not been said]");
  else if (!kept)
    screen_.line("[the answer is empty; the message has not been said]");
  else if (answered.reason == FinishReason::length)
    screen_.line("[cut: the answer reached --max-tokens or the end of the context]");
}

bool ChatSession::run(const ChatCommand& command) {
  for (const Row& row : kRows) {
    if (row.name != command.name) continue;
    if (row.argument.empty() && !command.argument.empty())
      throw Error(Fault::bad_request, fmt::format("/{} takes nothing, and got {}", row.name, quoted(command.argument)));
    return (this->*row.run)(command.argument);
  }
  throw Error(Fault::bad_request, fmt::format("there is no command {}; /help lists them, and a message that begins "
                                              "with / is written with //",
                                              quoted("/" + std::string(command.name))));
}

bool ChatSession::help(std::string_view) {
  for (const Row& row : kRows)
    screen_.line(fmt::format("  {:<16} {}", fmt::format("/{} {}", row.name, row.argument), row.does));
  screen_.line("  A message goes on after a line that ends in \\, between lines that begin and");
  screen_.line("  end with \"\"\", and while a fence of ``` is open. Alt-Enter breaks the line.");
  screen_.line("  Ctrl-C interrupts an answer; what begins with / is written with //.");
  return true;
}

bool ChatSession::system(std::string_view text) {
  if (text.empty()) {
    screen_.line(has_system() ? turns_.front().text : "[no system prompt]");
    return true;
  }
  set_system(text);
  return true;
}

void ChatSession::set_system(std::string_view text) {
  if (has_system()) turns_.erase(turns_.begin());
  turns_.insert(turns_.begin(), ChatTurn{"system", std::string(text)});
}

bool ChatSession::save(std::string_view path) {
  save_transcript(file_argument(path, "save"), turns_, false);
  screen_.line(fmt::format("[{} messages saved]", turns_.size()));
  return true;
}

bool ChatSession::save_over(std::string_view path) {
  save_transcript(file_argument(path, "save!"), turns_, true);
  screen_.line(fmt::format("[{} messages saved]", turns_.size()));
  return true;
}

bool ChatSession::load(std::string_view path) {
  const std::string file = file_argument(path, "load");
  turns_ = read_transcript(read_text_file(file, kTranscriptBytes), file);
  screen_.line(fmt::format("[{} messages loaded]", turns_.size()));
  return true;
}

bool ChatSession::image(std::string_view) {
  throw Error(Fault::unsupported, "this build of Lancet does not see images; describe in words what is in it");
}

bool ChatSession::stats(std::string_view) {
  if (answers_ == 0) {
    screen_.line("[nothing has been answered yet]");
    return true;
  }
  const Usage& usage = last_.usage;
  if (last_.interrupted)
    screen_.line(fmt::format("  last answer      interrupted after {} tokens", usage.completion_tokens));
  else
    screen_.line(fmt::format("  last answer      {} prompt tokens, {} of them cached, {} generated",
                             usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens));
  std::string speed = fmt::format("  first text       {:.0f} ms", last_.first_ms);
  if (usage.completion_tokens > 1 && last_.rest_s > 0)
    speed += fmt::format(", then {:.1f} tokens/s", (usage.completion_tokens - 1) / last_.rest_s);
  screen_.line(speed);
  screen_.line(fmt::format("  all {:<4} answers {} prompt tokens, {} of them cached, {} generated", answers_,
                           prompt_tokens_, cached_tokens_, completion_tokens_));
  return true;
}

bool ChatSession::reset(std::string_view) {
  turns_.erase(turns_.begin() + (has_system() ? 1 : 0), turns_.end());
  screen_.line("[forgotten]");
  return true;
}

}  // namespace lancet
