// /metrics: its form, its meaning while requests run, its names; docs/metrics.md; the access record.
#include "server/metrics.h"

#include <chrono>
#include <fstream>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "server/access_log.h"
#include "support/paths.h"
#include "world.h"

namespace lancet {
namespace {

using test::HttpClient;
using test::Reply;
using test::World;

/// "name{labels}" -> value; checks that every line is HELP, TYPE or a sample of the metric announced last.
std::map<std::string, double> samples(const std::string& text) {
  std::map<std::string, double> out;
  std::set<std::string> announced;
  std::string name, line;
  std::istringstream lines(text);
  while (std::getline(lines, line)) {
    if (line.starts_with("# HELP ")) {
      name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(announced.insert(name).second) << name << " twice";
      EXPECT_GT(line.size(), name.size() + 8) << "no help";
    } else if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(line.starts_with("# TYPE " + name + " ")) << line;
      EXPECT_EQ(line.ends_with(" counter"), name.ends_with("_total")) << line;
    } else {
      EXPECT_TRUE(line.starts_with(name)) << line;
      const size_t space = line.rfind(' ');
      EXPECT_TRUE(out.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second) << line;
    }
  }
  EXPECT_TRUE(text.ends_with("\n"));
  return out;
}

TEST(Metrics, GaugesAndCountersFollowARequest) {
  World world({.gated = true});
  HttpClient client(world.port());
  client.send(
      HttpClient::post("/v1/completions", R"({"prompt":"0123456789abcdefXYZ","max_tokens":3,"ignore_eos":true})"));
  world.gate.wait_entered(1);
  world.gate.pass(1);
  world.gate.wait_entered(2);
  auto now = samples(world.get("/metrics").body);
  EXPECT_EQ(now.at("lancet_requests_running"), 1);
  EXPECT_EQ(now.at("lancet_requests_waiting"), 0);
  EXPECT_GT(now.at("lancet_kv_cache_usage_ratio"), 0);
  EXPECT_LT(now.at("lancet_kv_cache_usage_ratio"), 0.1);
  EXPECT_GT(now.at(R"(lancet_kv_cache_blocks{state="used"})"), 0);
  EXPECT_EQ(now.at("lancet_http_requests_in_flight"), 2);  // and the scrape itself
  EXPECT_EQ(now.at(R"(lancet_cache_config_info{block_size="16",num_blocks="256"})"), 1);
  world.gate.open();
  EXPECT_EQ(client.read_reply().status, 200);
  ASSERT_TRUE(world.until([](const EngineStats& stats) { return stats.running == 0 && stats.finished == 1; }));
  now = samples(world.get("/metrics").body);
  EXPECT_EQ(now.at("lancet_requests_running"), 0);
  EXPECT_EQ(now.at("lancet_kv_cache_usage_ratio"), 0);
  EXPECT_EQ(now.at("lancet_generation_tokens_total"), 3);
  EXPECT_EQ(now.at("lancet_prompt_tokens_total"), 19);
  EXPECT_EQ(now.at(R"(lancet_requests_finished_total{reason="length"})"), 1);
  EXPECT_EQ(now.at("lancet_time_to_first_token_seconds_count"), 1);
  EXPECT_EQ(now.at(R"(lancet_time_to_first_token_seconds_bucket{le="+Inf"})"), 1);
  EXPECT_EQ(now.at("lancet_inter_token_latency_seconds_count"), 2);
  EXPECT_EQ(now.at(R"(lancet_http_requests_total{route="/v1/completions",method="POST",status="200"})"), 1);
  EXPECT_GT(now.at("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(now.at("process_cpu_seconds_total"), 0);
  EXPECT_GT(now.at("process_open_fds"), 3);
  const auto unix_now = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(now.at("process_start_time_seconds"), unix_now, 3600);
}

TEST(Metrics, AreAnsweredBeforeTheModelIsLoaded) {
  World world({.loaded = false});
  const Reply reply = world.get("/metrics");
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.fields.at("content-type"), kMetricsContentType);
  EXPECT_EQ(samples(reply.body).at("lancet_model_load_seconds"), 0);
  EXPECT_EQ(world.post("/v1/completions", "{}").status, 503);
  world.server->serve(world.service());
  const auto now = samples(world.get("/metrics").body);
  EXPECT_GT(now.at("lancet_model_load_seconds"), 0);
  EXPECT_EQ(now.at(R"(lancet_requests_rejected_total{reason="model_loading"})"), 1);
}

TEST(Metrics, WhatClientsSendNeverBecomesALabel) {
  World world;
  for (int i = 0; i < 50; i++) {
    world.get("/nothing/" + std::to_string(i));
    world.call("FOO" + std::string(static_cast<size_t>(i), 'X') + " /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    world.get("/v1/models/" + std::to_string(i));
  }
  world.call("\x01\r\n\r\n");
  size_t series = 0;
  for (const auto& [key, value] : samples(world.get("/metrics").body)) {
    if (!key.starts_with("lancet_http_requests_total")) continue;
    series++;
    EXPECT_TRUE(key.find("nothing") == key.npos && key.find("FOO") == key.npos) << key;
  }
  EXPECT_LE(series, 6u);
}

TEST(Metrics, VllmsNamesComeWithTheOptionOnly) {
  World plain;
  EXPECT_EQ(plain.get("/metrics").body.find("vllm:"), std::string::npos);
  World world({.server = {.vllm_metrics = true}});
  const auto now = samples(world.get("/metrics").body);
  for (const char* name :
       {"num_requests_waiting", "num_requests_running", "kv_cache_usage_perc", "prompt_tokens_total"})
    EXPECT_EQ(now.at("vllm:" + std::string(name) + R"({model_name="test/hash-model"})"), 0);
  EXPECT_EQ(now.at(R"(vllm:cache_config_info{model_name="test/hash-model",block_size="16",num_gpu_blocks="256"})"), 1);
}

TEST(Metrics, CompiledConstraintsAreCounted) {
  World world;
  for (const char* choice : {"a", "b", "a"})
    ASSERT_EQ(
        world.post("/v1/completions", fmt::format(R"({{"prompt":"x","max_tokens":4,"regex":"{}"}})", choice)).status,
        200);
  const auto now = samples(world.get("/metrics").body);
  EXPECT_EQ(now.at("lancet_grammar_cache_misses_total"), 2);
  EXPECT_EQ(now.at("lancet_grammar_cache_hits_total"), 1);
  EXPECT_EQ(now.at("lancet_grammar_cache_entries"), 2);
  EXPECT_GT(now.at("lancet_grammar_cache_bytes"), 0);
}

TEST(Metrics, LabelValuesAreEscaped) {
  const ServerMetrics server;
  const std::string text =
      metrics_text({.engine = {}, .server = server, .version = "1", .kernels = "a\"b\\c\nd\xff", .model = ""});
  EXPECT_NE(text.find(R"(kernels="a\"b\\c\nd)"
                      "\xef\xbf\xbd\""),
            text.npos);
  samples(text);
}

TEST(Metrics, ReasonsAreBounded) {
  ServerMetrics metrics;
  for (int i = 0; i < 1000; i++) metrics.count_response("none", "GET", 503, "reason" + std::to_string(i));
  EXPECT_LE(metrics.rejections().size(), 33u);
}

TEST(Metrics, TheDocumentIsTheTable) {
  const auto file = test::data_path("../../docs/metrics.md");
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_EQ(text.str(), metrics_markdown()) << "run: lancet serve --print-metrics > docs/metrics.md";
}

TEST(Metrics, AScrapeTakesLessThanTenMilliseconds) {
  World world;
  HttpClient client(world.port());
  client.call(HttpClient::get("/metrics"));
  double best_ms = 1e9;
  for (int i = 0; i < 20; i++) {
    const auto began = std::chrono::steady_clock::now();
    client.call(HttpClient::get("/metrics"));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
    best_ms = std::min(best_ms, took.count());
  }
  EXPECT_LT(best_ms, 10);
}

TEST(AccessLog, TraceparentIsCheckedAndEchoed) {
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  EXPECT_EQ(valid_traceparent(good), good);
  EXPECT_EQ(valid_traceparent("cc" + good.substr(2) + "-what"), "cc" + good.substr(2));
  const std::string zeros(32, '0');
  for (const std::string& bad : std::vector<std::string>{
           std::string(), good.substr(1), good + "-", good + "0", "ff" + good.substr(2), "cc" + good.substr(2) + "x",
           "00-" + zeros + good.substr(35), good.substr(0, 36) + zeros.substr(0, 16) + "-01",
           "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", good.substr(0, 54) + "g"})
    EXPECT_FALSE(valid_traceparent(bad)) << bad;
  World world;
  const auto get = [&](const std::string& value) {
    return world.call("GET /v1/models HTTP/1.1\r\nHost: localhost\r\ntraceparent: " + value + "\r\n\r\n");
  };
  EXPECT_EQ(get(good).fields["traceparent"], good);
  EXPECT_FALSE(get("nonsense").fields.contains("traceparent"));
}

TEST(AccessLog, EveryRequestIsOneLine) {
  World world;
  testing::internal::CaptureStderr();
  Reply reply = world.post("/v1/completions", R"({"prompt":"hi","max_tokens":4,"ignore_eos":true})");
  ASSERT_EQ(reply.status, 200);
  const std::string id = reply.fields["x-request-id"];
  world.get("/no\x1b[2Jthing?key=secret");
  world.get("/nothing?key=secret");
  {
    HttpClient client(world.port());
    client.call(HttpClient::get("/v1/models"));
    client.call(HttpClient::get("/health"));
  }
  world.server->stop();  // waits for the connections, and with them for their lines
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find(" info request id=" + id + " method=POST route=/v1/completions status=200 ms="), log.npos) << log;
  EXPECT_NE(log.find(" prompt_tokens=2 cached_tokens=0 generated_tokens=4 reason=length\n"), log.npos) << log;
  EXPECT_NE(log.find(" route=none path=/nothing status=404 ms="), log.npos) << log;
  EXPECT_NE(log.find(" route=/v1/models status=200 ms="), log.npos) << log;
  EXPECT_EQ(log.find("route=/health"), log.npos) << "probes are debug";
  EXPECT_EQ(log.find("secret"), log.npos);
  EXPECT_EQ(log.find('\x1b'), log.npos);
}

TEST(AccessLog, AClientThatLeftIsCountedAs499) {
  World world({.gated = true});
  HttpClient client(world.port());
  client.send(HttpClient::post("/v1/completions", R"({"prompt":"hi","max_tokens":400,"ignore_eos":true})"));
  world.gate.wait_entered(1);
  client.close();
  // Each answered request gives the server's one network thread another occasion to notice.
  for (int i = 0; i < 300 && world.thread->stats().cancelled == 0; i++) {
    EXPECT_EQ(world.get("/health").status, 200);
    world.gate.pass(1);
  }
  world.gate.open();
  ASSERT_TRUE(world.until([](const EngineStats& stats) { return stats.cancelled == 1; }));
  const auto now = samples(world.get("/metrics").body);
  EXPECT_EQ(now.at(R"(lancet_http_requests_total{route="/v1/completions",method="POST",status="499"})"), 1);
  EXPECT_EQ(now.at("lancet_requests_cancelled_total"), 1);
}

}  // namespace
}  // namespace lancet
