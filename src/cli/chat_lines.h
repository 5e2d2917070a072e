// What a person types in `lancet chat`: lines that are put together to messages, and commands.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lancet {

/// Puts lines together. A message goes on after a line that ends in a backslash (which goes), while a fence of ``` is
/// open, and between lines that begin and end with """ (which go).
class LineAssembly {
 public:
  /// A line without its end; it may have line breaks inside (pasted, Alt-Enter). The message if it is complete now.
  /// Throws Error{too_large} beyond kMessageBytes and forgets what there was.
  std::optional<std::string> add(std::string_view line);
  /// No more lines: what there is, if anything.
  std::optional<std::string> finish();
  /// A message has been begun.
  bool open() const { return open_; }
  void clear() { *this = LineAssembly(); }

 private:
  bool goes_on(std::string_view line);

  std::string text_;
  bool open_ = false, quoted_ = false, fenced_ = false;
};

/// As much as a server takes by default in a request, roughly.
inline constexpr size_t kMessageBytes = size_t{16} << 20;

/// "/name argument". Nothing if the line is a message.
struct ChatCommand {
  std::string_view name;      // without the slash
  std::string_view argument;  // without blanks around
};
std::optional<ChatCommand> chat_command(std::string_view line);

/// A message may begin with a slash if it is doubled: "//etc" says "/etc".
std::string_view chat_message(std::string_view line);

}  // namespace lancet
