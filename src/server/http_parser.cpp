// The one file that includes Beast (its header parser and nothing else): it costs seconds of compile time.
#include "server/http_parser.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "server/asio_config.h"

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/error.h"

namespace lancet {
namespace http = boost::beast::http;

struct HttpParser::Beast {
  http::request_parser<http::empty_body> parser;
};

HttpParser::HttpParser(const ServerLimits& limits) : limits_(limits), beast_(std::make_unique<Beast>()) {
  // header_is_whole() keeps the limit: Beast would count the request line and the fields apart.
  beast_->parser.header_limit(static_cast<std::uint32_t>(limits_.header_bytes + 4));
  beast_->parser.body_limit(limits_.body_bytes);
}

HttpParser::~HttpParser() = default;

HttpParser::State HttpParser::refuse(int status, std::string message) {
  refusal_ = {status, std::move(message)};
  return state_ = State::refused;
}

namespace {

size_t count_fields(const HttpFields& fields, std::string_view name) {
  return static_cast<size_t>(
      std::count_if(fields.begin(), fields.end(), [&](const auto& field) { return same_word(field.first, name); }));
}

}  // namespace

/// Beast gets the header in one piece, so that the verdict does not depend on how the bytes arrive.
bool HttpParser::header_is_whole(std::string_view buffer) {
  const char first = buffer[0];
  if (!((first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z'))) {
    refuse(400, "the request does not begin with a method");
    return false;
  }
  // A request line longer than the target may be says that it is not the fields that are too large.
  const size_t longest_line = limits_.target_bytes + 64;
  if (buffer.size() > longest_line && buffer.substr(0, longest_line).find('\n') == buffer.npos) {
    refuse(414, fmt::format("the request's target is longer than {} bytes", limits_.target_bytes));
    return false;
  }
  const size_t limit = std::min(buffer.size(), limits_.header_bytes);
  for (; scanned_bytes_ < limit; scanned_bytes_++) {
    if (buffer[scanned_bytes_] != '\n') continue;
    const std::string_view line = buffer.substr(0, scanned_bytes_ + 1);
    if (!line.ends_with("\r\n")) {
      refuse(400, "the request's header has a line that does not end with CR LF");
      return false;
    }
    if (line.ends_with("\r\n\r\n")) return true;
  }
  if (limit == limits_.header_bytes)
    refuse(431, fmt::format("the request's header is larger than {} bytes", limits_.header_bytes));
  return false;
}

HttpParser::State HttpParser::on_header() {
  const auto& message = beast_->parser.get();
  request_.method = std::string(message.method_string());
  request_.target = std::string(message.target());
  request_.http_1_0 = message.version() == 10;
  for (const auto& field : message)
    request_.fields.emplace_back(std::string(field.name_string()), std::string(field.value()));
  keep_alive_ = beast_->parser.keep_alive();
  const HttpFields& fields = request_.fields;

  if (request_.target.size() > limits_.target_bytes)
    return refuse(414, fmt::format("the request's target has {} bytes, allowed are {}", request_.target.size(),
                                   limits_.target_bytes));
  if (fields.size() > limits_.header_lines)
    return refuse(431,
                  fmt::format("the request has {} header lines, allowed are {}", fields.size(), limits_.header_lines));
  if (request_.target != "*" && !request_.target.starts_with('/'))
    return refuse(400,
                  fmt::format("the request's target is {}, wanted a path that begins with /", quoted(request_.target)));
  const size_t hosts = count_fields(fields, "host");
  if (hosts > 1 || (hosts == 0 && !request_.http_1_0))
    return refuse(400, fmt::format("the request has {} Host headers, wanted one", hosts));

  // Beast accepts a Content-Length repeated with the same value, a list of them, and any transfer coding it does not
  // know (as "no body"). A proxy before us may see another end of the message in each of these.
  const auto length = request_.field("content-length");
  const auto coding = request_.field("transfer-encoding");
  if (count_fields(fields, "content-length") > 1 || (length && length->find(',') != length->npos))
    return refuse(400, "the request has more than one Content-Length");
  if (coding && (count_fields(fields, "transfer-encoding") > 1 || !same_word(*coding, "chunked")))
    return refuse(400, fmt::format("the request's Transfer-Encoding is {}, wanted chunked", quoted(*coding)));
  if (coding && (length || request_.http_1_0))
    return refuse(400, "the request has Transfer-Encoding together with Content-Length or HTTP/1.0");
  if (coding) part_ = BodyPart::size_line;
  remaining_bytes_ = beast_->parser.content_length().value_or(0);
  return state_ = coding || remaining_bytes_ > 0 ? State::body : State::complete;
}

void HttpParser::take_body(std::string_view& bytes) {
  const size_t count = static_cast<size_t>(std::min<uint64_t>(remaining_bytes_, bytes.size()));
  request_.body += bytes.substr(0, count);
  bytes.remove_prefix(count);
  remaining_bytes_ -= count;
}

/// A line without its CR LF; nothing if it is not there yet or was refused.
std::optional<std::string_view> HttpParser::take_line(std::string_view& bytes) {
  const size_t end = bytes.substr(0, limits_.header_bytes).find('\n');
  if (end == std::string_view::npos) {
    if (bytes.size() >= limits_.header_bytes)
      refuse(400, fmt::format("the request has a chunk line longer than {} bytes", limits_.header_bytes));
    return std::nullopt;
  }
  const std::string_view line = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  if (!line.ends_with('\r') || std::any_of(line.begin(), line.end() - 1, is_control)) {
    refuse(400, "the request has a chunk line with control characters or without CR LF");
    return std::nullopt;
  }
  return line.substr(0, line.size() - 1);
}

/// chunk-size [ chunk-ext ] (RFC 9112, section 7.1), without the white space that it discourages.
void HttpParser::begin_chunk(std::string_view line) {
  constexpr std::string_view kDigits = "0123456789abcdefABCDEF";
  constexpr size_t kMostDigits = 15;
  const size_t digits = std::min(line.find_first_not_of(kDigits), line.size());
  if (digits == 0 || digits > kMostDigits || (digits < line.size() && line[digits] != ';')) {
    refuse(400, fmt::format("the request's chunk size is {}, wanted a hexadecimal number", quoted(line, 40)));
    return;
  }
  remaining_bytes_ = 0;
  std::from_chars(line.data(), line.data() + digits, remaining_bytes_, 16);
  if (remaining_bytes_ > limits_.body_bytes - request_.body.size())
    refuse(413, fmt::format("the request's body is larger than {} bytes", limits_.body_bytes));
  part_ = remaining_bytes_ ? BodyPart::data : BodyPart::trailer;
}

void HttpParser::feed_chunks(std::string_view& bytes) {
  while (state_ == State::body && !bytes.empty()) {
    if (part_ == BodyPart::data) {
      take_body(bytes);
      if (remaining_bytes_ == 0) part_ = BodyPart::data_end;
      continue;
    }
    if (part_ == BodyPart::data_end && !bytes.starts_with("\r\n")) {
      if (bytes != "\r") refuse(400, "the request has a chunk that is longer than its size");
      return;
    }
    const size_t before = bytes.size();
    const auto line = take_line(bytes);
    if (!line) return;
    if (part_ == BodyPart::data_end) {
      part_ = BodyPart::size_line;
    } else if (part_ == BodyPart::size_line) {
      begin_chunk(*line);
    } else if (line->empty()) {
      state_ = State::complete;
    } else if ((trailer_bytes_ += before - bytes.size()) > limits_.header_bytes) {
      refuse(431, fmt::format("the request's trailer is larger than {} bytes", limits_.header_bytes));
    }
  }
}

HttpParser::State HttpParser::feed(std::string& buffer) {
  if (buffer.empty()) return state_;
  if (state_ == State::body) {
    std::string_view bytes = buffer;
    if (part_ == BodyPart::fixed) {
      take_body(bytes);
      if (remaining_bytes_ == 0) state_ = State::complete;
    } else {
      feed_chunks(bytes);
    }
    buffer.erase(0, buffer.size() - bytes.size());
  } else if (state_ == State::header && header_is_whole(buffer)) {
    boost::beast::error_code error;
    const size_t size = scanned_bytes_ + 1;
    beast_->parser.put(boost::asio::buffer(buffer.data(), size), error);
    if (error == http::error::body_limit)
      return refuse(413, fmt::format("the request's body is larger than {} bytes", limits_.body_bytes));
    if (error == http::error::bad_version) return refuse(505, "the request's HTTP version is not 1.0 or 1.1");
    if (error) return refuse(400, fmt::format("the request is not HTTP/1.1: {}", error.message()));
    if (!beast_->parser.is_header_done()) return refuse(400, "the request's header is not HTTP/1.1");
    buffer.erase(0, size);
    return on_header();
  }
  return state_;
}

}  // namespace lancet
