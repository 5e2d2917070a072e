// HTTP messages as plain data. Parsing is http_parser.h's, sockets are session.h's; handlers see only this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lancet {

using HttpFields = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // as sent: "GET"
  std::string target;  // as sent, beginning with '/' (or "*")
  bool http_1_0 = false;
  HttpFields fields;  // in order, names as sent
  std::string body;

  /// The first field of that name, any case.
  std::optional<std::string_view> field(std::string_view name) const;
  /// The target without its query.
  std::string_view path() const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpFields fields;  // besides content-type, content-length, connection
  std::string body;
  std::string log_reason = {};  // an error's code, for logs and metrics
};

/// How the message's end is told.
enum class Framing { length, chunked, until_close };

struct HeadOptions {
  Framing framing = Framing::length;
  bool keep_alive = true;
};

/// Status line and fields, with the empty line. Field values are cut at the first control character, so that nothing
/// can add a line.
std::string response_head(const HttpResponse&, const HeadOptions&);

std::string_view reason_phrase(int status);

/// Equal without regard to ASCII case.
bool same_word(std::string_view a, std::string_view b);

/// The host of "host", "host:port", "[v6]:port", lower-case and without brackets; nothing if it is none of these.
std::optional<std::string> host_of_authority(std::string_view authority);

/// True for localhost, 127.0.0.0/8 and ::1.
bool is_loopback_host(std::string_view host);

/// Percent-decoding; nothing for a broken escape.
std::optional<std::string> percent_decoded(std::string_view);
/// Everything but letters, digits and -._/ becomes %XX: safe in a header, readable where it matters.
std::string percent_encoded(std::string_view);
/// Text for a header's value: what is not printable ASCII (and %) becomes %XX; cut at 1 KiB.
std::string header_text(std::string_view);

}  // namespace lancet
