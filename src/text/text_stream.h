// Tokens -> text that can be shown: whole UTF-8 characters only, and nothing that may turn out to be a stop string.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lancet {

/// Feeds on token bytes, gives out displayable text. One request's; one thread.
class TextStream {
 public:
  /// Stop strings: non-empty, well-formed UTF-8. The match that is complete first (of several, the one that began
  /// first) ends the text just before it, however the bytes are cut into tokens.
  /// `may_stop`, if given, says whether the text may end so many bytes from its beginning; a stop string elsewhere is
  /// text like any other, and so is one behind a byte that had to be replaced by U+FFFD.
  explicit TextStream(std::vector<std::string> stop = {}, std::function<bool(size_t)> may_stop = {});

  /// Takes one token's bytes and returns the text that is now certain. Empty after a stop string was met.
  std::string push(std::string_view token_bytes);
  /// A control token stands here: what was held back is certain now, with an unfinished character replaced by U+FFFD.
  std::string flush();
  /// No more tokens: the rest, with an unfinished character replaced by U+FFFD.
  std::string finish();
  /// The stop string that was met, if any.
  const std::optional<std::string>& stopped_by() const { return stopped_by_; }
  /// Bytes of text that were returned: no stop string can begin before them any more.
  size_t given() const { return given_; }

 private:
  std::string take_certain(size_t complete);
  bool cut_at_stop();
  size_t held_back() const;  // bytes of pending_ that may be the beginning of a stop string

  /// Where the stop string begins in pending_ for the first time that it may; npos: nowhere.
  size_t find_stop(const std::string& text) const;

  std::vector<std::string> stop_;
  std::function<bool(size_t)> may_stop_;
  size_t given_ = 0;       // bytes given out
  bool replaced_ = false;  // some were not what came in
  std::string raw_;        // bytes that may still be part of an unfinished character
  std::string pending_;    // well-formed text that may be the beginning of a stop string
  std::optional<std::string> stopped_by_;
};

}  // namespace lancet
