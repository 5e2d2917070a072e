// Bytes become text in two stages, each holding back only what may still change: raw_ waits for the rest of a
// character, pending_ for the rest of a stop string. What comes out does not depend on how the bytes were cut.
#include "text/text_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"

namespace lancet {

TextStream::TextStream(std::vector<std::string> stop, std::function<bool(size_t)> may_stop)
    : stop_(std::move(stop)), may_stop_(std::move(may_stop)) {
  for (const std::string& text : stop_) CHECK(!text.empty());
}

std::string TextStream::push(std::string_view token_bytes) {
  if (stopped_by_) return {};
  raw_ += token_bytes;
  return take_certain(utf8_complete_prefix(raw_));
}

std::string TextStream::finish() { return flush(); }

std::string TextStream::flush() {
  if (stopped_by_) return {};
  std::string out = take_certain(raw_.size());
  if (stopped_by_) return out;
  given_ += pending_.size();
  return out + std::exchange(pending_, {});
}

std::string TextStream::take_certain(size_t complete) {
  const std::string text = utf8_lossy(std::string_view(raw_).substr(0, complete));
  replaced_ |= text != std::string_view(raw_).substr(0, complete);
  pending_ += text;
  raw_.erase(0, complete);
  if (cut_at_stop()) {
    raw_.clear();
    return std::exchange(pending_, {});
  }
  std::string out = pending_.substr(0, pending_.size() - held_back());
  pending_.erase(0, out.size());
  given_ += out.size();
  return out;
}

size_t TextStream::find_stop(const std::string& text) const {
  size_t begin = pending_.find(text);
  if (!may_stop_) return begin;
  while (begin != std::string::npos && (replaced_ || !may_stop_(given_ + begin)))
    begin = pending_.find(text, begin + 1);
  return begin;
}

bool TextStream::cut_at_stop() {
  size_t best_begin = std::string::npos, best_end = std::string::npos;
  for (const std::string& text : stop_) {
    const size_t begin = find_stop(text);
    if (begin == std::string::npos) continue;
    const size_t end = begin + text.size();
    if (end > best_end || (end == best_end && begin >= best_begin)) continue;
    best_begin = begin;
    best_end = end;
    stopped_by_ = text;
  }
  if (stopped_by_) pending_.resize(best_begin);
  return stopped_by_.has_value();
}

size_t TextStream::held_back() const {
  size_t longest = 0;
  for (const std::string& text : stop_) {
    for (size_t size = std::min(text.size() - 1, pending_.size()); size > longest; size--) {
      if (pending_.compare(pending_.size() - size, size, text, 0, size) == 0) longest = size;
    }
  }
  return longest;
}

}  // namespace lancet
