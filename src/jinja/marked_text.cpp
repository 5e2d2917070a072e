// Runs of equal trust: appending and slicing. See marked_text.h.
#include "jinja/marked_text.h"

#include <algorithm>

namespace lancet {

void MarkedText::append(std::string_view text, bool trusted) {
  if (text.empty()) return;
  text_ += text;
  if (!runs_.empty() && runs_.back().trusted == trusted) {
    runs_.back().end = text_.size();
  } else {
    runs_.push_back({text_.size(), trusted});
  }
}

void MarkedText::append_slice(const MarkedText& other, size_t from, size_t to) {
  const std::string_view text = other.text_;
  size_t begin = 0;
  for (const Run& run : other.runs_) {
    const size_t low = std::max(begin, from), high = std::min(run.end, to);
    if (low < high) append(text.substr(low, high - low), run.trusted);
    if (run.end >= to) break;
    begin = run.end;
  }
}

MarkedText MarkedText::slice(size_t from, size_t to) const {
  MarkedText result;
  result.append_slice(*this, from, to);
  return result;
}

}  // namespace lancet
