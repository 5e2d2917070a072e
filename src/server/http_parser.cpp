// The one file that includes Beast (its parser and nothing else): it costs seconds of compile time.
#include "server/http_parser.h"

#include <algorithm>

#include <fmt/format.h>

#include "server/asio_config.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/error.h"

namespace lancet {
namespace http = boost::beast::http;

struct HttpParser::Beast {
  http::request_parser<http::string_body> parser;
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
  // A request line longer than the target may be says that it is not the fields that are too large.
  if (limit > limits_.target_bytes + 64 && buffer.substr(0, limits_.target_bytes + 64).find('\n') == buffer.npos)
    refuse(414, fmt::format("the request's target is longer than {} bytes", limits_.target_bytes));
  else if (buffer.size() > limits_.header_bytes || limit == limits_.header_bytes)
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
  return state_ = beast_->parser.is_done() ? State::complete : State::body;
}

HttpParser::State HttpParser::feed(std::string& buffer) {
  if (state_ == State::complete) return state_;
  auto& parser = beast_->parser;
  while (!buffer.empty() && (state_ == State::header || state_ == State::body)) {
    if (state_ == State::header && !header_is_whole(buffer)) return state_;
    boost::beast::error_code error;
    const size_t used = parser.put(boost::asio::buffer(buffer), error);
    if (error == http::error::body_limit)
      return refuse(413, fmt::format("the request's body is larger than {} bytes", limits_.body_bytes));
    if (error == http::error::bad_version) return refuse(505, "the request's HTTP version is not 1.0 or 1.1");
    if (error && error != http::error::need_more)
      return refuse(400, fmt::format("the request is not HTTP/1.1: {}", error.message()));
    buffer.erase(0, used);
    if (state_ == State::header) {
      if (!parser.is_header_done()) return refuse(400, "the request's header is not HTTP/1.1");
      if (on_header() == State::body) return state_;
    } else if (parser.is_done()) {
      state_ = State::complete;
    } else if (used == 0) {
      // What is left is the unfinished line of a chunk or of the trailer.
      if (buffer.size() > limits_.header_bytes)
        return refuse(400, fmt::format("the request has a chunk line longer than {} bytes", limits_.header_bytes));
      break;
    }
  }
  if (state_ == State::complete) request_.body = std::move(parser.get().body());
  return state_;
}

}  // namespace lancet
