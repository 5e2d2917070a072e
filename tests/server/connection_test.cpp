// The connection's promises on a real socket: limits, time, keep-alive, pipelining, hosts, vanishing clients, stopping.
#include "world.h"

namespace lancet {
namespace {

using test::HttpClient;
using test::Reply;
using test::World;

const std::string kLong = R"({"prompt":"tell me","max_tokens":500,"ignore_eos":true,"seed":1)";

TEST(Connection, SaysThatTheModelIsLoadingUntilItServes) {
  World world({.loaded = false});
  world.server->set_progress(0.43, "reading weights");
  HttpClient client(world.port());
  Reply reply = client.call(HttpClient::get("/health"));
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, R"({"status":"loading","progress":4.3E-1,"what":"reading weights"})");
  EXPECT_EQ(reply.fields["retry-after"], "1");
  reply = client.call(HttpClient::post("/v1/completions", "{}"));
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.error("code"), "model_loading");
  world.server->serve(world.service());
  EXPECT_EQ(client.call(HttpClient::get("/health")).json().at("status"), "ok");
}

TEST(Connection, ATakenPortIsOneClearSentence) {
  World world;
  try {
    Server second({.port = world.port()});
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("port " + std::to_string(world.port())), std::string::npos);
    EXPECT_NE(error.message().find("--port"), std::string::npos);
  }
}

TEST(Connection, RoutesMethodsAndMediaTypesHaveTheirStatuses) {
  World world;
  struct Row {
    std::string bytes;
    int status;
    std::string code;
  };
  const Row rows[] = {
      {HttpClient::get("/nothing"), 404, "route_not_found"},
      {HttpClient::post("/health", "{}"), 405, "method_not_allowed"},
      {HttpClient::get("/v1/chat/completions"), 405, "method_not_allowed"},
      {"TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"},
      {"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "host_not_allowed"},
      {"GET /health HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403, "host_not_allowed"},
      {"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid_host"},
      {"GET /health HTTP/1.1\r\n\r\n", 400, "invalid_http"},
      {"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nContent-Length: 2\r\n\r\n{}", 403,
       "origin_not_allowed"},
      {"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nContent-Length: 2\r\n\r\n{}", 403,
       "origin_not_allowed"},
      {"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415,
       "unsupported_media_type"},
      {"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Type: "
       "application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\n{}",
       415, "unsupported_media_type"},
      {"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415,
       "unsupported_encoding"},
      {"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nExpect: magic\r\nContent-Length: 2\r\n\r\n{}", 417, "null"},
      {"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33554433\r\n\r\n", 413, "invalid_http"},
      {"GET /" + std::string(70'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "invalid_http"},
  };
  for (const Row& row : rows) {
    const Reply reply = world.call(row.bytes);
    ASSERT_EQ(reply.status, row.status) << row.bytes.substr(0, 200);
    EXPECT_EQ(reply.error("code"), row.code) << row.bytes.substr(0, 200);
    EXPECT_EQ(reply.json().at("error").as_object().size(), 4u);
    EXPECT_TRUE(reply.fields.contains("x-request-id"));
  }
  EXPECT_EQ(world.call(HttpClient::get("/v1/chat/completions")).fields["allow"], "POST, OPTIONS");
  for (const char* host : {"localhost", "localhost:80", "127.0.0.1:8111", "[::1]:1", "LOCALHOST"})
    EXPECT_EQ(world.call("GET /health HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n").status, 200) << host;
}

TEST(Connection, OptionsHeadAndOldClientsAreDefined) {
  World world;
  Reply reply = world.call("OPTIONS /tokenize HTTP/1.1\r\nHost: localhost\r\nOrigin: http://x.example\r\n\r\n");
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.fields["allow"], "POST, OPTIONS");
  EXPECT_FALSE(reply.fields.contains("access-control-allow-origin"));
  HttpClient client(world.port());
  client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  reply = client.read_reply(false);
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.fields["content-length"], "0");
  EXPECT_EQ(client.call(HttpClient::get("/health")).status, 200) << "HEAD sent no body";
  HttpClient old(world.port());
  EXPECT_EQ(old.call("GET /health HTTP/1.0\r\n\r\n").fields["connection"], "close");
  EXPECT_TRUE(old.at_end());
  HttpClient waiting(world.port());
  waiting.send("POST /tokenize HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n");
  ASSERT_TRUE(waiting.wait_for("HTTP/1.1 100 Continue\r\n\r\n"));
  EXPECT_EQ(waiting.call(R"({"content":"a"})").status, 200);
}

TEST(Connection, PipelinedRequestsAreAnsweredInOrder) {
  World world;
  HttpClient client(world.port());
  std::string all;
  for (int i = 0; i < 20; i++)
    all += HttpClient::post("/tokenize", R"({"content":")" + std::string(static_cast<size_t>(i), 'x') + "\"}");
  client.send(all + HttpClient::post("/v1/completions", kLong + "}") + HttpClient::get("/health"));
  for (int i = 0; i < 20; i++) EXPECT_EQ(client.read_reply().json().at("count").to_number<int>(), i);
  EXPECT_EQ(client.read_reply().json().at("object"), "text_completion");
  EXPECT_EQ(client.read_reply().json().at("status"), "ok");
}

TEST(Connection, SlowHeadersAndBodiesTimeOut) {
  ServerOptions options;
  options.limits.header_s = options.limits.body_s = 0.1;
  World world({.server = options});
  HttpClient header(world.port());
  EXPECT_EQ(header.call("GET /health HT").status, 408);
  HttpClient body(world.port());
  const Reply reply = body.call("POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
  EXPECT_EQ(reply.status, 408);
  EXPECT_EQ(reply.error("type"), "rate_limit_error");
  HttpClient silent(world.port());
  EXPECT_TRUE(silent.at_end());
  EXPECT_EQ(world.get("/health").status, 200);
}

enum class Way { fin, half_close, reset };
class VanishingClient : public testing::TestWithParam<std::tuple<bool, bool, Way, bool>> {};

TEST_P(VanishingClient, IsCancelledWithinOneStep) {
  const auto [stream, decoding, way, early_bytes] = GetParam();
  World world({.gated = true});
  HttpClient client(world.port());
  client.send(HttpClient::post("/v1/completions", kLong + (stream ? ",\"stream\":true}" : "}")));
  world.gate.wait_entered(1);
  if (decoding) {
    world.gate.pass(5);
    world.gate.wait_entered(6);
  }
  if (early_bytes) client.send("GET /hea");  // the beginning of a next request is not an end
  if (way == Way::fin) client.close();
  if (way == Way::half_close) client.half_close();
  if (way == Way::reset) client.reset();
  // A client that only closed its sending side sees the server give up, while the engine is still at the gate: then the
  // next step must find the request cancelled. The others cannot see it; each answered request gives the server's one
  // network thread another occasion to notice.
  if (way == Way::half_close) client.read_all();
  for (int i = 0; i < 100 && world.thread->stats().cancelled == 0; i++) {
    EXPECT_EQ(world.get("/health").status, 200);
    world.gate.pass(1);
  }
  world.gate.open();
  EXPECT_TRUE(world.until([](const EngineStats& stats) {
    return stats.cancelled == 1 && stats.running == 0 && stats.free_blocks == stats.total_blocks;
  }));
  if (way == Way::half_close) {
    EXPECT_LE(world.thread->stats().steps, decoding ? 7u : 2u);
  }
  EXPECT_EQ(world.thread->stats().finished, 0u);
}

INSTANTIATE_TEST_SUITE_P(AllPhases, VanishingClient,
                         testing::Combine(testing::Bool(), testing::Bool(),
                                          testing::Values(Way::fin, Way::half_close, Way::reset), testing::Bool()));

TEST(Connection, StoppingEndsStreamsWithAnErrorEvent) {
  World world({.gated = true});
  HttpClient stream(world.port()), whole(world.port());
  stream.send(HttpClient::post("/v1/completions", kLong + ",\"stream\":true}"));
  ASSERT_TRUE(stream.wait_for(": ping"));
  whole.send(HttpClient::post("/v1/completions", kLong + "}"));
  ASSERT_TRUE(world.until([](const EngineStats&) { return true; }));
  world.server->stop();
  const std::string rest = stream.read_all();
  EXPECT_NE(rest.find("data: {\"error\":{\"message\":\"the server is stopping\""), std::string::npos) << rest;
  EXPECT_EQ(rest.find("[DONE]"), std::string::npos);
}

TEST(Connection, ConnectionsBeyondTheLimitAreClosed) {
  ServerOptions options;
  options.limits.connections = 2;
  World world({.server = options});
  HttpClient first(world.port()), second(world.port());
  EXPECT_EQ(first.call(HttpClient::get("/health")).status, 200);
  EXPECT_EQ(second.call(HttpClient::get("/health")).status, 200);
  HttpClient third(world.port());
  EXPECT_TRUE(third.at_end());
}

}  // namespace
}  // namespace lancet
