// What headers of a hub say. Pure functions over untrusted text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace lancet {

struct HubResponse {
  int status = 0;
  std::string url;                             // that answered
  std::map<std::string, std::string> headers;  // names in lower case; the last of equal ones
  std::string commit, linked_etag;             // X-Repo-Commit and X-Linked-Etag, of any answer on the way
  bool is_html() const;
  /// The header, or an empty text.
  std::string_view header(const std::string& name) const;
};

/// Reads one line of a header block into the response. A status line begins a new block. Lines that are no header are
/// left out.
void read_header_line(std::string_view line, HubResponse& into);

/// X-Repo-Commit and X-Linked-Etag, which only the endpoint itself may set.
void read_hub_header(std::string_view line, HubResponse& into);

struct ContentRange {
  uint64_t first = 0, last = 0;
  std::optional<uint64_t> total;  // nothing for "*"
};
/// "bytes 5-9/10"; nothing for anything else.
std::optional<ContentRange> parse_content_range(std::string_view text);

/// Retry-After in seconds from `now` (seconds since 1970): a number or a date; nothing if it is neither.
std::optional<double> parse_retry_after(std::string_view text, int64_t now);

/// An entity tag without W/ and quotes.
std::string normalised_etag(std::string_view text);

}  // namespace lancet
