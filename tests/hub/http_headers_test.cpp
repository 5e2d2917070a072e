// What is read of a hub's headers.
#include "hub/http_headers.h"

#include <gtest/gtest.h>

#include "hub/http.h"

namespace lancet {
namespace {

TEST(HttpHeaders, TheLastBlockCounts) {
  HubResponse response;
  for (const char* line : {"HTTP/1.1 302 Found\r\n", "ETag: \"a\"\r\n", "\r\n", "HTTP/2 206 \r\n",
                           "Content-TYPE:text/html; x\r\n", "no header\r\n", ": nameless\r\n"})
    read_header_line(line, response);
  EXPECT_EQ(response.status, 206);
  EXPECT_EQ(response.header("etag"), "");
  EXPECT_TRUE(response.is_html());
  EXPECT_EQ(response.headers.size(), 1u);
}

TEST(HttpHeaders, HubHeadersAreKept) {
  HubResponse response;
  for (const char* line : {"x-linked-etag: W/\"abc\"\r\n", "X-Repo-Commit:  123 \r\n", "Location: /\r\n"})
    read_hub_header(line, response);
  EXPECT_EQ(response.linked_etag, "abc");
  EXPECT_EQ(response.commit, "123");
}

TEST(HttpHeaders, Ranges) {
  const auto range = parse_content_range(" bytes 5-9/10 ");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->last, 9u);
  EXPECT_EQ(range->total, 10u);
  EXPECT_EQ(parse_content_range("bytes 0-0/*")->total, std::nullopt);
  for (const char* text :
       {"", "bytes", "bytes 5-4/10", "bytes 5-10/10", "bytes -5/10", "bytes 5-/10", "bytes 5-9", "bytes */10",
        "items 5-9/10", "bytes 5-9/1x", "bytes 5-99999999999999999999/*", "bytes 5/9-10"})
    EXPECT_FALSE(parse_content_range(text)) << text;
}

TEST(HttpHeaders, RetryAfterIsANumberOrADate) {
  EXPECT_EQ(parse_retry_after("120", 0), 120.0);
  EXPECT_EQ(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412470), 10.0);
  EXPECT_EQ(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1500000000), 0.0);
  for (const char* text : {"", "soon", "-5", "1.5"}) EXPECT_FALSE(parse_retry_after(text, 0)) << text;
}

TEST(HttpHeaders, TokensStayWithTheEndpoint) {
  const auto shown = [](const std::string& endpoint, const std::string& url) {
    return may_have_token(url, HubSettings{.endpoint = endpoint, .token = {}, .token_source = {}, .ca_file = {}});
  };
  EXPECT_TRUE(shown("https://hub.example/mirror", "https://HUB.example:443/api"));
  EXPECT_TRUE(shown("http://127.0.0.1:8080", "http://127.0.0.1:8080/api"));
  EXPECT_TRUE(shown("http://[::1]:80", "http://[::1]/"));
  for (const char* url : {"http://hub.example/", "https://hub.example:444/", "https://hub.example.evil/",
                          "https://evil/hub.example", "https://cdn.hub.example/", "https://hub.example@evil/"})
    EXPECT_FALSE(shown("https://hub.example", url)) << url;
  EXPECT_FALSE(shown("http://hub.example", "http://hub.example/"));
  EXPECT_FALSE(shown("http://127.0.0.1.evil", "http://127.0.0.1.evil/"));
}

TEST(HttpHeaders, AddressesHaveOrigins) {
  EXPECT_EQ(origin_of("https://Hub.Example/a/b?c"), "https://hub.example:443");
  EXPECT_EQ(origin_of("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
  EXPECT_NE(origin_of("https://hub.example.evil"), origin_of("https://hub.example"));
  EXPECT_EQ(origin_of("https://hub.example@evil/"), "https://evil:443");
  for (const char* text : {"", "hub.example", "ftp://x", "file:///x", "http://"})
    EXPECT_EQ(origin_of(text), "") << text;
  EXPECT_EQ(url_escaped("a b/c%é", true), "a%20b/c%25%C3%A9");
  EXPECT_EQ(url_escaped("refs/pr/1", false), "refs%2Fpr%2F1");
}

}  // namespace
}  // namespace lancet
