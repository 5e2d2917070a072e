// One line at a time from a person at a terminal: editing and history by libedit (whose own files, ~/.editrc, count),
// and what it does not have: pasted text is one piece, Alt-Enter breaks the line, Ctrl-C gives the line up.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace lancet {

/// Made after watch_terminal_signals(); stdin and stdout are a terminal. One at a time.
class LineEditor {
 public:
  /// `history` is read now and written by remember(); empty: none is kept.
  explicit LineEditor(std::filesystem::path history);
  ~LineEditor();

  enum class End { line, interrupt, end_of_input };
  struct Line {
    End end = End::line;
    std::string text;  // what was typed, without the line end; with `interrupt` what is given up
  };
  /// `prompt` is plain text, shown in bold if `bold`.
  Line read(const std::string& prompt, bool bold);
  void remember(const std::string& entry);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lancet
