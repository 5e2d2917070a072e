#include "cli/chat_lines.h"

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {

constexpr std::string_view kQuotes = "\"\"\"", kFence = "```", kBlanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Whether a fence is open after these lines.
bool fenced_after(std::string_view lines, bool fenced) {
  while (true) {
    const size_t end = lines.find('\n');
    if (trimmed(lines.substr(0, end)).starts_with(kFence)) fenced = !fenced;
    if (end == lines.npos) return fenced;
    lines.remove_prefix(end + 1);
  }
}

}  // namespace

bool LineAssembly::goes_on(std::string_view line) {
  if (!open_ && line.starts_with(kQuotes)) {
    quoted_ = true;
    line.remove_prefix(kQuotes.size());
    if (line.empty()) return true;  // the text begins in the next line
  }
  if (quoted_) {
    const bool closed = line.ends_with(kQuotes);
    if (closed) line.remove_suffix(kQuotes.size());
    text_ += line;
    if (closed && line.empty() && text_.ends_with('\n')) text_.pop_back();  // """ had a line of its own
    if (!closed) text_ += '\n';
    return !closed;
  }
  fenced_ = fenced_after(line, fenced_);
  const bool continued = !fenced_ && line.ends_with('\\');
  if (continued) line.remove_suffix(1);
  text_ += line;
  if (fenced_ || continued) text_ += '\n';
  return fenced_ || continued;
}

std::optional<std::string> LineAssembly::add(std::string_view line) {
  if (text_.size() + line.size() > kMessageBytes) {
    clear();
    throw Error(Fault::too_large, fmt::format("the message has more than {} bytes", kMessageBytes));
  }
  open_ = goes_on(line);
  if (open_) return std::nullopt;
  std::string message = std::move(text_);
  clear();
  return message;
}

std::optional<std::string> LineAssembly::finish() {
  if (!open_) return std::nullopt;
  std::string message = std::move(text_);
  clear();
  return message;
}

std::optional<ChatCommand> chat_command(std::string_view line) {
  if (!line.starts_with('/') || line.starts_with("//")) return std::nullopt;
  line.remove_prefix(1);
  const size_t end = line.find_first_of(kBlanks);
  return ChatCommand{line.substr(0, end), end == line.npos ? std::string_view() : trimmed(line.substr(end))};
}

std::string_view chat_message(std::string_view line) { return line.starts_with("//") ? line.substr(1) : line; }

}  // namespace lancet
