#include "text/json_fence_reader.h"

#include <algorithm>

namespace lancet {

using Kind = AnswerEvent::Kind;

void JsonFenceReader::text(std::string_view text, AnswerEvents& events) {
  if (at_ == At::plain) return add_event(events, Kind::content, text);
  held_ += text;
  if (at_ == At::start) {
    if (kOpen.starts_with(held_) && held_.size() < kOpen.size()) return;
    at_ = held_.starts_with(kOpen) ? At::fenced : At::plain;
    if (at_ == At::fenced) held_.erase(0, kOpen.size());
  }
  // Only the end of the text can be the closing fence: JSON has no line break in front of backticks.
  size_t certain = held_.size();
  if (at_ == At::fenced)
    for (size_t size = std::min(kClose.size(), held_.size()); size > 0 && certain == held_.size(); size--)
      if (held_.ends_with(kClose.substr(0, size))) certain = held_.size() - size;
  add_event(events, Kind::content, std::string_view(held_).substr(0, certain));
  held_.erase(0, certain);
}

void JsonFenceReader::finish(bool, AnswerEvents& events) {
  const bool closing = at_ == At::fenced && kClose.starts_with(held_);
  if (!closing) add_event(events, Kind::content, held_);
}

}  // namespace lancet
