// Load and lifecycle: draining, sleeping, full queues and buffers, clients that do not read, a stuck engine, no memory.
#include "world.h"

namespace lancet {
namespace {

using std::chrono::milliseconds;
using test::HttpClient;
using test::Reply;
using test::World;

const std::string kShort = R"({"prompt":"canary","max_tokens":8,"ignore_eos":true,"temperature":0)";
const std::string kLong = R"({"prompt":"tell me","max_tokens":500,"ignore_eos":true,"seed":1)";

bool all_free(const EngineStats& stats) {
  return stats.running == 0 && stats.waiting == 0 && stats.free_blocks == stats.total_blocks;
}

std::string text_of(const Reply& reply) { return std::string(reply.json().at("choices").at(0).at("text").as_string()); }

ServerOptions quick_pings() {
  ServerOptions options;
  options.keep_alive_comment_s = 0.05;
  return options;
}

TEST(Drain, RunningStreamsCompleteWhileNewRequestsAreRefused) {
  World world({.server = quick_pings(), .gated = true});
  HttpClient stream(world.port());
  stream.send(HttpClient::post("/v1/completions", kShort + ",\"stream\":true}"));
  ASSERT_TRUE(stream.wait_for(": ping"));
  HttpClient kept(world.port());
  EXPECT_EQ(kept.call(HttpClient::get("/readyz")).status, 200);
  world.server->drain();
  EXPECT_EQ(kept.call(HttpClient::get("/readyz")).status, 503);
  Reply refused = world.post("/v1/completions", kShort + "}");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.error("code"), "draining");
  EXPECT_EQ(refused.fields["connection"], "close");
  EXPECT_TRUE(refused.fields.contains("retry-after"));
  EXPECT_EQ(world.get("/livez").status, 200) << "connections are accepted while draining";
  EXPECT_FALSE(world.server->wait_for_answers(milliseconds(0)));
  world.gate.open();
  EXPECT_TRUE(stream.wait_for("data: [DONE]"));
  EXPECT_TRUE(world.server->wait_for_answers(milliseconds(10'000)));
}

TEST(Drain, EndingAnswersIsQuickAndGivesEachItsLastWord) {
  World world({.server = quick_pings(), .gated = true});
  std::vector<std::unique_ptr<HttpClient>> streams;
  for (int i = 0; i < 20; i++) {
    streams.push_back(std::make_unique<HttpClient>(world.port()));
    streams.back()->send(HttpClient::post("/v1/completions", kLong + ",\"stream\":true}"));
    ASSERT_TRUE(streams.back()->wait_for(": ping"));
  }
  world.server->drain();
  const auto began = std::chrono::steady_clock::now();
  world.server->end_answers(milliseconds(400));
  EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(1000));
  for (const auto& stream : streams) EXPECT_NE(stream->read_all().find("data: {\"error\""), std::string::npos);
}

TEST(Sleep, AnIdleModelIsUnloadedAndTheNextRequestLoadsItAgain) {
  ServerOptions options;
  options.sleep_after_s = 0.05;
  options.tick_s = 0.01;
  World world({.server = options, .loaded = false});
  const auto alive = std::make_shared<int>(0);
  std::atomic<int> loads = 0;
  std::atomic<bool> broken = false;
  const auto make = [&]() -> Service {
    if (broken) throw Error(Fault::bad_file, "the file has gone");
    loads++;
    Service service = world.service();
    service.owner = std::make_shared<std::shared_ptr<int>>(alive);
    return service;
  };
  world.server->serve(make());
  world.server->set_loader(make);
  const std::string text = text_of(world.post("/v1/completions", kShort + "}"));
  const std::string models = world.get("/v1/models").body;
  const auto sleeping = [&] {
    for (int i = 0; i < 10'000; i++) {
      const Reply reply = world.get("/health");
      if (reply.status != 200) return false;
      if (reply.json().at("status") == "sleeping" && alive.use_count() == 1) return true;
    }
    return false;
  };
  ASSERT_TRUE(sleeping());
  EXPECT_EQ(world.get("/readyz").status, 200);
  EXPECT_EQ(world.get("/v1/models").body, models) << "probes that look at the models do not wake it";
  EXPECT_EQ(loads, 1);
  broken = true;
  const Reply failed = world.post("/v1/completions", kShort + "}");
  EXPECT_EQ(failed.status, 503);
  EXPECT_EQ(failed.error("code"), "model_unavailable");
  broken = false;
  EXPECT_EQ(text_of(world.post("/v1/completions", kShort + "}")), text);
  EXPECT_EQ(loads, 2);
}

TEST(Queue, AFullQueueIs429WithTheTimeItWillTake) {
  World world({.engine = {.blocks = 256, .max_sequences = 1, .max_waiting = 1}, .gated = true});
  HttpClient running(world.port()), waiting(world.port());
  running.send(HttpClient::post("/v1/completions", kLong + "}"));
  world.gate.pass(1);  // after a step the engine's numbers say that the first one runs
  world.gate.wait_entered(2);
  waiting.send(HttpClient::post("/v1/completions", kLong + "}"));
  ASSERT_TRUE(world.until([](const EngineStats& stats) { return stats.waiting == 1; }));
  Reply reply = world.post("/v1/completions", kShort + "}");
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.error("code"), "queue_full");
  EXPECT_GE(std::stoi(reply.fields["retry-after"]), 1);
  EXPECT_LE(std::stoi(reply.fields["retry-after"]), 60);
  waiting.reset();  // in the queue, never begun
  running.reset();
  // Each answered request gives the server's one network thread another occasion to notice.
  for (int i = 0; i < 100 && world.thread->stats().cancelled < 2; i++) {
    EXPECT_EQ(world.get("/health").status, 200);
    world.gate.pass(1);
  }
  world.gate.open();
  EXPECT_TRUE(world.until([](const EngineStats& stats) { return stats.cancelled == 2 && all_free(stats); }))
      << world.thread->dump();
}

TEST(Queue, BodiesInMemoryAreBoundedTogether) {
  ServerOptions options;
  options.limits.buffered_bytes = 100'000;
  World world({.server = options});
  HttpClient holder(world.port());
  holder.send("POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n" + std::string(80'000, ' '));
  const std::string big = HttpClient::post("/tokenize", R"({"content":")" + std::string(30'000, 'x') + "\"}");
  Reply reply;
  for (int i = 0; i < 1000 && reply.status != 429; i++) reply = world.call(big);  // until the holder's have arrived
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.error("code"), "queue_full");
  EXPECT_EQ(reply.fields["connection"], "close");
  EXPECT_EQ(world.post("/tokenize", R"({"content":"a"})").status, 200) << "small ones still fit";
  holder.reset();
  for (int i = 0; i < 1000 && reply.status != 200; i++) reply = world.call(big);
  EXPECT_EQ(reply.status, 200) << "what was held is given back";
}

TEST(SlowClient, AStreamThatNobodyReadsIsBoundedAndCancelled) {
  ServerOptions options;
  options.limits.stream_buffer_bytes = 10'000;
  World world({.server = options, .engine = {.blocks = 4096}});
  HttpClient client(world.port(), 4096);
  // More than the kernel's buffers hold: they take some megabytes of a socket that is not read.
  client.send(HttpClient::post(
      "/v1/completions", R"({"prompt":"x","max_tokens":4000,"ignore_eos":true,"n":16,"logprobs":20,"stream":true})"));
  EXPECT_TRUE(world.until([](const EngineStats& stats) { return stats.cancelled > 0 && all_free(stats); }));
  EXPECT_EQ(world.post("/v1/completions", kShort + "}").status, 200);
}

TEST(Watchdog, AStuckStepFailsLivenessUntilItEnds) {
  ServerOptions options;
  options.tick_s = 0.01;
  options.step_dump_s = 0.02;
  options.step_stuck_s = 0.05;
  World world({.server = options, .gated = true});
  HttpClient client(world.port());
  client.send(HttpClient::post("/v1/completions", kShort + "}"));
  world.gate.wait_entered(1);
  const auto becomes = [&](int status) {
    for (int i = 0; i < 20'000; i++)
      if (world.get("/livez").status == status) return true;
    return false;
  };
  EXPECT_TRUE(becomes(503));
  EXPECT_EQ(world.get("/readyz").status, 503);
  world.gate.open();
  EXPECT_EQ(client.read_reply().status, 200);
  EXPECT_TRUE(becomes(200));
}

TEST(Connections, OneAddressGetsItsShareOnly) {
  ServerOptions options;
  options.limits.address_connections = 1;  // loopback: 16 times as many
  World world({.server = options});
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 16; i++) {
    clients.push_back(std::make_unique<HttpClient>(world.port()));
    EXPECT_EQ(clients.back()->call(HttpClient::get("/livez")).status, 200);
  }
  EXPECT_TRUE(HttpClient(world.port()).at_end());
  clients.pop_back();
  int status = 0;
  for (int i = 0; i < 1000 && status != 200; i++) status = world.get("/livez").status;
  EXPECT_EQ(status, 200);
}

}  // namespace
}  // namespace lancet
