// Probes and other routes that say what the server is: what they answer before, during and after serving.
#include "world.h"

namespace lancet {
namespace {

using test::HttpClient;
using test::Reply;
using test::World;

TEST(Info, ProbesTellLoadingFromReady) {
  World world({.loaded = false});
  EXPECT_EQ(world.get("/livez").status, 200);
  EXPECT_EQ(world.get("/version").status, 200);
  for (const char* path : {"/readyz", "/health", "/v1/models", "/props"}) {
    Reply reply = world.get(path);
    EXPECT_EQ(reply.status, 503) << path;
    EXPECT_EQ(reply.fields["retry-after"], "1") << path;
  }
  EXPECT_EQ(world.get("/readyz").json().at("status"), "loading");
  world.server->serve(world.service());
  for (const char* path : {"/livez", "/readyz", "/health", "/v1/models", "/props", "/version"})
    EXPECT_EQ(world.get(path).status, 200) << path;
  EXPECT_EQ(world.get("/readyz").json().at("status"), "ok");
}

TEST(Info, ProbesAreAnsweredWhileTheEngineIsBusyAndTheQueueFull) {
  World world({.engine = {.blocks = 256, .max_sequences = 1, .max_waiting = 1}, .gated = true});
  HttpClient first(world.port()), second(world.port());
  first.send(HttpClient::post("/v1/completions", R"({"prompt":"hi","max_tokens":4,"ignore_eos":true})"));
  world.gate.wait_entered(1);
  world.gate.pass(1);
  world.gate.wait_entered(2);
  ASSERT_TRUE(world.until([](const EngineStats& stats) { return stats.running == 1 && stats.waiting == 0; }));
  second.send(HttpClient::post("/v1/completions", R"({"prompt":"hi","max_tokens":4})"));
  ASSERT_TRUE(world.until([](const EngineStats& stats) { return stats.waiting == 1; }));
  for (const char* path : {"/livez", "/readyz", "/health", "/metrics", "/version"})
    EXPECT_EQ(world.get(path).status, 200) << path;
  const auto health = world.get("/health").json();
  EXPECT_EQ(health.at("waiting").to_number<int>(), 1);
  world.gate.open();
  EXPECT_EQ(first.read_reply().status, 200);
  EXPECT_EQ(second.read_reply().status, 200);
}

TEST(Info, ADrainingServerLivesAndIsNotReady) {
  World world;
  HttpClient client(world.port());
  EXPECT_EQ(client.call(HttpClient::get("/readyz")).status, 200);
  world.server->drain();
  const Reply ready = world.get("/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.json().at("status"), "draining");
  EXPECT_TRUE(ready.fields.contains("retry-after"));
  EXPECT_EQ(world.get("/livez").status, 200);
  EXPECT_EQ(world.get("/health").status, 503);
  EXPECT_EQ(world.get("/v1/models").status, 503);
}

TEST(Info, PropsHasWhatLlamaServersClientsRead) {
  World world({.engine = {.blocks = 256, .context = 512, .max_sequences = 3}});
  const auto props = world.get("/props").json();
  EXPECT_EQ(props.at("total_slots"), 3);
  EXPECT_EQ(props.at("default_generation_settings").at("n_ctx"), 512);
  EXPECT_EQ(props.at("modalities").at("vision"), false);
  EXPECT_EQ(props.at("model_path"), "test/hash-model");
  for (const char* key : {"chat_template", "bos_token", "eos_token", "build_info"})
    EXPECT_TRUE(props.at(key).is_string()) << key;
}

TEST(Info, VersionNamesTheBuild) {
  World world({.server = {.version = "1.2.3"}});
  const auto version = world.get("/version").json().as_object();
  EXPECT_EQ(version.at("version"), "1.2.3");
  EXPECT_FALSE(version.contains("commit"));
  EXPECT_TRUE(version.contains("kernels"));
}

TEST(Info, HeadIsGetWithoutABody) {
  World world;
  for (const char* path : {"/livez", "/readyz", "/metrics"}) {
    HttpClient client(world.port());
    client.send("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const Reply reply = client.read_reply(false);
    EXPECT_EQ(reply.status, 200);
    EXPECT_TRUE(client.at_end());
  }
}

}  // namespace
}  // namespace lancet
