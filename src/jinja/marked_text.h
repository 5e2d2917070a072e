// Text that remembers who wrote it. Every byte is trusted (the template's own) or not (it came from a message, a tool,
// an argument). Marks ride along through every string operation, so that the tokenizer can refuse to read a control
// token out of anything a person typed. The idea is credited to llama.cpp's common/jinja ("input marking").
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"

namespace lancet {

/// A string as a list of runs of equal trust. Equality of texts ignores the marks: compare str().
class MarkedText {
 public:
  struct Run {
    size_t end;  // byte after the run; runs are not empty and neighbours differ in trust
    bool trusted;
  };

  MarkedText() = default;
  MarkedText(std::string_view text, bool trusted) { append(text, trusted); }

  const std::string& str() const { return text_; }
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }
  /// True for the empty text too.
  bool all_trusted() const { return runs_.empty() || (runs_.size() == 1 && runs_[0].trusted); }

  void append(std::string_view text, bool trusted);
  void append(const MarkedText& other) { append_slice(other, 0, other.size()); }
  /// Appends bytes [from, to) of other; from <= to <= other.size().
  void append_slice(const MarkedText& other, size_t from, size_t to);
  MarkedText slice(size_t from, size_t to) const;

  /// A text where every well-formed character c became change(c); marks and ill-formed bytes stay.
  template <typename Change>
  MarkedText map_characters(Change change) const {
    MarkedText result;
    size_t run = 0;
    for (size_t at = 0; at < text_.size();) {
      while (runs_[run].end <= at) run++;
      const Utf8Step step = utf8_next(std::string_view(text_).substr(at));
      std::string out;
      if (step.valid) {
        utf8_append(out, change(step.code_point));
      } else {
        out = text_.substr(at, step.length);
      }
      result.append(out, runs_[run].trusted);
      at += step.length;
    }
    return result;
  }

 private:
  std::string text_;
  std::vector<Run> runs_;
};

}  // namespace lancet
