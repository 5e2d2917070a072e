// Who may ask: keys, names, pages, shares.
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "server/access.h"
#include "server/routes.h"
#include "world.h"

namespace lancet {
namespace {

using test::HttpClient;
using test::Reply;
using test::World;

World::Options with(AccessOptions access) {
  ServerOptions server;
  server.access = std::move(access);
  return {.server = server};
}

class KeyFile {
 public:
  explicit KeyFile(const std::string& text) : path_(testing::TempDir() + "lancet_keys_" + std::to_string(::getpid())) {
    std::ofstream(path_) << text;
    ::chmod(path_.c_str(), 0600);
  }
  ~KeyFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Access, EveryRouteButTheProbesWantsAKey) {
  World world(with({.api_keys = {"first-key", "second"}}));
  for (const Route& route : routes()) {
    std::string path(route.path);
    if (path.ends_with('*')) path.back() = 'x';
    const bool get = route.method == "GET";
    const auto ask = [&](const std::string& field) {
      return world.call(get ? "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + field + "\r\n"
                            : HttpClient::post(path, "{}", field));
    };
    const bool open = path == "/health" || path == "/livez" || path == "/readyz";
    for (const std::string field :
         {"", "Authorization: Bearer \r\n", "Authorization: Bearer second1\r\n", "Authorization: Bearer secon\r\n",
          "Authorization: Basic second\r\n", "x-api-key: \r\n", "x-api-key: first-key second\r\n"}) {
      Reply reply = ask(field);
      ASSERT_EQ(reply.status, open ? 200 : 401) << path << " " << field;
      if (open) continue;
      EXPECT_EQ(reply.error("type"), "authentication_error");
      EXPECT_EQ(reply.error("code"), "invalid_api_key");
      EXPECT_EQ(reply.fields["www-authenticate"], "Bearer");
      EXPECT_EQ(reply.body.find("second1"), std::string::npos) << "keys are not repeated";
    }
    for (const std::string field :
         {"Authorization: Bearer first-key\r\n", "authorization: bearer second\r\n", "X-API-Key: first-key\r\n"})
      EXPECT_NE(ask(field).status, 401) << path << " " << field;
  }
  const std::string longest = "Authorization: Bearer " + std::string(9000, 'k') + "\r\n";
  EXPECT_EQ(world.call(HttpClient::post("/tokenize", "{}", longest)).status, 401);
  EXPECT_EQ(world.call(HttpClient::get("/nothing")).status, 401) << "not even whether a route exists";
  EXPECT_EQ(world.call("OPTIONS /tokenize HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 204);
}

TEST(Access, KeysAreReadFromAFileAndShownInNoMessage) {
  EXPECT_EQ(read_api_keys(KeyFile("# ours\n\n  one \r\ntwo\n").path()), (std::vector<std::string>{"one", "two"}));
  for (const std::string& text : {std::string(), std::string("# only\n\n"), std::string("a b\n"),
                                  std::string("secret\x01\n"), std::string(513, 'k')}) {
    const KeyFile file(text);
    try {
      read_api_keys(file.path());
      ADD_FAILURE() << quoted(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.message().find("secret"), std::string::npos);
    }
  }
  EXPECT_THROW(read_api_keys("/nonexistent/keys"), Error);
  EXPECT_EQ(read_api_keys(KeyFile(std::string(512, 'k')).path()).front().size(), 512u);
}

TEST(Access, SharesAreByKeyElseByAddress) {
  const auto asks = [](std::string key) {
    return HttpRequest{.method = "POST", .target = "/tokenize", .fields = {{"Authorization", "Bearer " + key}}};
  };
  const Access keyed({.api_keys = {"a", "b"}}, "0.0.0.0");
  EXPECT_NE(keyed.owner(asks("a"), 7), keyed.owner(asks("b"), 7));
  EXPECT_EQ(keyed.owner(asks("a"), 7), keyed.owner(asks("a"), 8));
  const Access open({}, "127.0.0.1");
  EXPECT_EQ(open.owner(asks("a"), 7), 7u) << "without keys a client could choose its share by inventing some";
}

TEST(Access, NamesAndPagesAreAllowedOneByOne) {
  World world(with({.allow_hosts = {"box.example"}, .allow_origins = {"https://app.example"}}));
  const auto status = [&](const std::string& host, const std::string& origin) {
    return world
        .call("POST /tokenize HTTP/1.1\r\nHost: " + host + (origin.empty() ? "" : "\r\nOrigin: " + origin) +
              "\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"content\":\"a\"}")
        .status;
  };
  EXPECT_EQ(status("localhost", ""), 200);
  EXPECT_EQ(status("Box.Example:99", ""), 200);
  EXPECT_EQ(status("evil.example", ""), 403);
  EXPECT_EQ(status("localhost", "https://app.example"), 200);
  EXPECT_EQ(status("localhost", "https://app.example.evil"), 403);
  EXPECT_EQ(status("localhost", "http://app.example"), 403);
  Reply reply = world.call(
      "OPTIONS /tokenize HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n");
  EXPECT_EQ(reply.fields["access-control-allow-origin"], "https://app.example");
  EXPECT_NE(reply.fields["access-control-allow-headers"].find("authorization"), std::string::npos);
  EXPECT_EQ(reply.fields["vary"], "Origin");
  reply = world.call("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_FALSE(reply.fields.contains("access-control-allow-origin"));
}

TEST(Access, OnAPublicAddressAPageMayOnlyPostToItsOwnHost) {
  const Access access({}, "0.0.0.0");
  const auto post = [](std::string host, std::string origin) {
    return HttpRequest{.method = "POST", .target = "/tokenize", .fields = {{"Host", host}, {"Origin", origin}}};
  };
  EXPECT_NO_THROW(access.check_host(post("10.1.2.3:8111", "http://10.1.2.3:8111")));
  EXPECT_THROW(access.check_host(post("10.1.2.3:8111", "https://evil.example")), Error);
  EXPECT_THROW(access.check_host(post("10.1.2.3:8111", "null")), Error);
}

}  // namespace
}  // namespace lancet
