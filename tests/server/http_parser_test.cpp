// The HTTP parser's verdicts on bytes, whole and one at a time: what two servers could read differently is refused.
#include "server/http_parser.h"

#include <gtest/gtest.h>

namespace lancet {
namespace {

struct Verdict {
  HttpParser::State state;
  int status = 0;
  HttpRequest request;
  std::string rest;
};

Verdict parse(std::string_view bytes, size_t piece, ServerLimits limits = {}) {
  HttpParser parser(limits);
  std::string buffer;
  while (!bytes.empty() && parser.state() != HttpParser::State::refused &&
         parser.state() != HttpParser::State::complete) {
    buffer += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    size_t before;
    do {
      before = buffer.size();
      parser.feed(buffer);
    } while (buffer.size() != before);
  }
  return {parser.state(), parser.refusal().status, parser.request(), buffer + std::string(bytes)};
}

struct Refused {
  std::string bytes;
  int status;
};

TEST(HttpParser, RefusesWhatTwoServersCouldReadDifferently) {
  const std::string post = "POST /tokenize HTTP/1.1\r\nHost: a\r\n";
  const Refused table[] = {
      {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
      {post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {post + "Content-Length: 3, 3\r\n\r\nabc", 400},
      {post + "Content-Length: +3\r\n\r\nabc", 400},
      {post + "Content-Length: -3\r\n\r\nabc", 400},
      {post + "Content-Length: 0x3\r\n\r\nabc", 400},
      {post + "Content-Length: 18446744073709551616\r\n\r\nabc", 400},
      {post + "Content-Length:\r\n\r\nabc", 400},
      {post + "Content-Length : 3\r\n\r\nabc", 400},
      {post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: identity\r\n\r\n", 400},
      {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n11111111111111111111\r\nab\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {std::string("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29), 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
      {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"GET /\r\n\r\n", 400},
      {"\x16\x03\x01\x02", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
  };
  for (const Refused& row : table)
    for (const size_t piece : {row.bytes.size(), size_t{1}}) {
      const Verdict verdict = parse(row.bytes, piece);
      EXPECT_EQ(verdict.state, HttpParser::State::refused) << row.bytes << " in pieces of " << piece;
      EXPECT_EQ(verdict.status, row.status) << row.bytes;
    }
}

TEST(HttpParser, TakesBodiesOfEitherFramingInAnyPieces) {
  const std::string next = "GET /next";
  const std::string plain = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world";
  const std::string chunked =
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\n"
      "Trailer: dropped\r\n\r\n";
  for (const std::string& message : {plain, chunked})
    for (size_t piece = 1; piece <= message.size() + next.size(); piece++) {
      const Verdict verdict = parse(message + next, piece);
      ASSERT_EQ(verdict.state, HttpParser::State::complete) << piece;
      EXPECT_EQ(verdict.request.body, "hello world");
      EXPECT_EQ(verdict.rest, next) << "the next request is left alone";
      EXPECT_FALSE(verdict.request.field("trailer"));
    }
}

TEST(HttpParser, LimitsHoldAtTheLimitAndBreakOnePast) {
  const ServerLimits limits{.header_bytes = 1000, .header_lines = 5, .target_bytes = 100, .body_bytes = 20};
  const auto status = [&](const std::string& bytes) {
    const Verdict verdict = parse(bytes, bytes.size(), limits);
    const Verdict slow = parse(bytes, 1, limits);
    EXPECT_EQ(verdict.status, slow.status);
    return verdict.state == HttpParser::State::refused ? verdict.status : 0;
  };
  const auto target = [](size_t size) { return "GET /" + std::string(size - 1, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"; };
  EXPECT_NE(status(target(100)), 414);
  EXPECT_EQ(status(target(101)), 414);
  EXPECT_EQ(status(target(5000)), 414);
  const auto lines = [](int count) {
    std::string out = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < count; i++) out += "X: y\r\n";
    return out + "\r\n";
  };
  EXPECT_EQ(status(lines(5)), 0);
  EXPECT_EQ(status(lines(6)), 431);
  const std::string frame = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  EXPECT_EQ(status(frame + std::string(1000 - frame.size() - 4, 'x') + "\r\n\r\n"), 0);
  EXPECT_EQ(status(frame + std::string(1001 - frame.size() - 4, 'x') + "\r\n\r\n"), 431);
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(status(post + "Content-Length: 20\r\n\r\n" + std::string(20, 'b')), 0);
  EXPECT_EQ(status(post + "Content-Length: 21\r\n\r\n"), 413);
  EXPECT_EQ(status(post + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nb\r\n01234567890\r\n0\r\n\r\n"), 413);
}

}  // namespace
}  // namespace lancet
