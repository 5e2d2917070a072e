// Tokens -> text that can be shown: whole UTF-8 characters only, and nothing that may turn out to be a stop string.
#pragma once

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
  explicit TextStream(std::vector<std::string> stop = {});

  /// Takes one token's bytes and returns the text that is now certain. Empty after a stop string was met.
  std::string push(std::string_view token_bytes);
  /// No more tokens: the rest, with an unfinished character replaced by U+FFFD.
  std::string finish();
  /// The stop string that was met, if any.
  const std::optional<std::string>& stopped_by() const { return stopped_by_; }

 private:
  std::string take_certain(size_t complete);
  bool cut_at_stop();
  size_t held_back() const;  // bytes of pending_ that may be the beginning of a stop string

  std::vector<std::string> stop_;
  std::string raw_;      // bytes that may still be part of an unfinished character
  std::string pending_;  // well-formed text that may be the beginning of a stop string
  std::optional<std::string> stopped_by_;
};

}  // namespace lancet
