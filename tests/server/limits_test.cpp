// Every row of the table of limits is tried at its limit and one past it, here or in the test that is named here.
#include "server/limits_table.h"

#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include "support/paths.h"
#include "world.h"

namespace lancet {
namespace {

using test::HttpClient;
using test::Reply;
using test::World;

std::string repeated(size_t count, std::string_view item) {
  std::string out;
  for (size_t i = 0; i < count; i++) out += (i ? "," : "") + std::string(item);
  return "[" + out + "]";
}

std::string chat(const std::string& messages, const std::string& more = "") {
  return HttpClient::post("/v1/chat/completions", R"({"max_tokens":1,"messages":)" + messages + more + "}");
}

std::string completion(const std::string& more) {
  return HttpClient::post("/v1/completions", R"({"max_tokens":1)" + more + "}");
}

/// A GET of /livez with a field that makes the header `bytes` long.
std::string get_with_header_of(size_t bytes) {
  const std::string head = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", end = "\r\n\r\n";
  return head + std::string(bytes - head.size() - end.size(), 'a') + end;
}

std::string get_with_lines(size_t lines) {
  std::string out = "GET /livez HTTP/1.1\r\nHost: localhost\r\n";
  for (size_t i = 1; i < lines; i++) out += "X: a\r\n";
  return out + "\r\n";
}

std::string tokenize_with_body_of(size_t bytes) {
  const std::string begin = R"({"content":")", end = "\"}";
  return HttpClient::post("/tokenize", begin + std::string(bytes - begin.size() - end.size(), 'a') + end);
}

/// The root is the first level.
std::string tokenize_with_depth(size_t depth) {
  return HttpClient::post("/tokenize",
                          R"({"content":"a","x":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}");
}

/// The root, two keys, the content, the array and its elements.
std::string tokenize_with_values(size_t values) {
  return HttpClient::post("/tokenize", R"({"content":"a","x":)" + repeated(values - 5, "1") + "}");
}

const std::string kMessage = R"({"role":"user","content":"hi"})";
const std::string kPrompt = R"(,"prompt":"hi")";

struct Try {
  std::string_view flag;
  int limit;                                   // small, so that the test is quick
  std::function<std::string(size_t)> request;  // that asks for this much
};

std::string biases(size_t count) {
  std::string out;
  for (size_t i = 0; i < count; i++) out += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
  return ",\"logit_bias\":{" + out + "}";
}

const Try kTries[] = {
    {"--limit-header-bytes", 1024, get_with_header_of},
    {"--limit-header-lines", 8, get_with_lines},
    {"--limit-target-bytes", 100, [](size_t n) { return HttpClient::get("/livez?" + std::string(n - 7, 'a')); }},
    {"--limit-body-bytes", 1024, tokenize_with_body_of},
    {"--limit-json-depth", 8, tokenize_with_depth},
    {"--limit-json-values", 100, tokenize_with_values},
    {"--limit-messages", 3, [](size_t n) { return chat(repeated(n, kMessage)); }},
    {"--limit-content-parts", 3,
     [](size_t n) {
       return chat(R"([{"role":"user","content":)" + repeated(n, R"({"type":"text","text":"a"})") + "}]");
     }},
    {"--limit-tools", 2,
     [](size_t n) {
       std::string tools;
       for (size_t i = 0; i < n; i++)
         tools += (i ? "," : "") + (R"({"type":"function","function":{"name":"f)" + std::to_string(i) + "\"}}");
       return chat("[" + kMessage + "]", ",\"tools\":[" + tools + "]");
     }},
    {"--limit-stop-strings", 3, [](size_t n) { return completion(kPrompt + ",\"stop\":" + repeated(n, "\"zz\"")); }},
    {"--limit-stop-string-bytes", 9,
     [](size_t n) { return completion(kPrompt + ",\"stop\":\"" + std::string(n, 'z') + "\""); }},
    {"--limit-logit-bias", 5, [](size_t n) { return completion(kPrompt + biases(n)); }},
    {"--limit-prompts", 3, [](size_t n) { return completion(",\"prompt\":" + repeated(n, "\"hi\"")); }},
    {"--limit-choices", 3, [](size_t n) { return completion(kPrompt + ",\"n\":" + std::to_string(n)); }},
    {"--limit-top-logprobs", 3, [](size_t n) { return completion(kPrompt + ",\"logprobs\":" + std::to_string(n)); }},
    {"--limit-grammar-bytes", 70,
     [](size_t n) { return completion(kPrompt + ",\"regex\":\"(?:" + std::string(n - 5, 'z') + ")?\""); }},
    {"--limit-grammar-choices", 3,
     [](size_t n) { return completion(kPrompt + ",\"choice\":" + repeated(n, "\"a\"")); }},
    {"--limit-stop-tokens", 3,
     [](size_t n) { return completion(kPrompt + ",\"stop_token_ids\":" + repeated(n, "7")); }},
    {"--limit-cache-salt-bytes", 9,
     [](size_t n) { return completion(kPrompt + ",\"cache_salt\":\"" + std::string(n, 'z') + "\""); }},
};

struct Elsewhere {
  std::string_view flag;
  std::string_view suite, name;  // of a test of this program; empty: said why
  std::string_view why = "";
};

constexpr Elsewhere kElsewhere[] = {
    {"--limit-early-bytes", "Connection", "PipelinedRequestsAreAnsweredInOrder"},
    {"--limit-header-seconds", "Connection", "SlowHeadersAndBodiesTimeOut"},
    {"--limit-body-seconds", "Connection", "SlowHeadersAndBodiesTimeOut"},
    {"--limit-idle-seconds", "Limits", "TimeoutsAreKept"},
    {"--limit-slow-client-seconds", "SlowClient", "AStreamThatNobodyReadsIsBoundedAndCancelled"},
    {"--limit-linger-seconds", "Limits", "TimeoutsAreKept"},
    {"--limit-queue-seconds", "Limits", "TimeoutsAreKept"},
    {"--limit-prompt-seconds", "Limits", "TimeoutsAreKept"},
    {"--limit-grammar-seconds", "Structured", "ACompileThatTakesTooLongIsRefused"},
    {"--grammar-cache-bytes", "Grammars", "AreKeptWithinTheirBytes"},
    {"--drain-s", "", "", "tests/python/test_server_operations.py drains the program"},
    {"--limit-connections", "Connection", "ConnectionsBeyondTheLimitAreClosed"},
    {"--limit-address-connections", "Connections", "OneAddressGetsItsShareOnly"},
    {"--limit-waiting-requests", "Queue", "AFullQueueIs429WithTheTimeItWillTake"},
    {"--limit-waiting-tokens", "", "", "tests/engine/engine_contract_test.cpp submits up to it"},
    {"--limit-buffered-bytes", "Queue", "BodiesInMemoryAreBoundedTogether"},
    {"--limit-stream-buffer-bytes", "SlowClient", "AStreamThatNobodyReadsIsBoundedAndCancelled"},
    {"--limit-dry-breakers", "Fields", "ListsAreTakenUpToTheirBoundsAndNotBeyond"},
    {"--limit-dry-breaker-bytes", "Fields", "ListsAreTakenUpToTheirBoundsAndNotBeyond"},
    {"--limit-template-variables", "Fields", "ListsAreTakenUpToTheirBoundsAndNotBeyond"},
    {"--limit-repetition-pattern", "Fields", "ValuesThatTheTableCannotBoundAreRefusedByPlace"},
    {"--default-chat-tokens", "", "", "a default, not a bound"},
};

const LimitRow* row_of(std::string_view flag) {
  for (const LimitRow& row : limit_rows())
    if (row.flag == flag) return &row;
  return nullptr;
}

bool test_exists(std::string_view suite, std::string_view name) {
  const auto& program = *testing::UnitTest::GetInstance();
  for (int i = 0; i < program.total_test_suite_count(); i++) {
    const auto& one = *program.GetTestSuite(i);
    for (int j = 0; suite == one.name() && j < one.total_test_count(); j++)
      if (name == one.GetTestInfo(j)->name()) return true;
  }
  return false;
}

void set_limit(const LimitRow& row, ServerLimits& limits, double value) {
  std::visit(
      [&](auto member) { limits.*member = static_cast<std::remove_reference_t<decltype(limits.*member)>>(value); },
      row.member);
}

TEST(Limits, EachHoldsAtTheLimitAndBreaksOnePast) {
  for (const Try& one : kTries) {
    SCOPED_TRACE(one.flag);
    const LimitRow* row = row_of(one.flag);
    ASSERT_TRUE(row);
    ServerOptions options;
    set_limit(*row, options.limits, one.limit);
    World world({.server = options});
    const Reply fine = world.call(one.request(static_cast<size_t>(one.limit)));
    EXPECT_EQ(fine.status, 200) << fine.body;
    const Reply refused = world.call(one.request(static_cast<size_t>(one.limit) + 1));
    ASSERT_EQ(refused.status, row->status) << refused.body;
    EXPECT_EQ(refused.error("code"), row->code);
  }
}

TEST(Limits, EveryRowIsTried) {
  std::set<std::string_view> tried;
  for (const Try& one : kTries) EXPECT_TRUE(tried.insert(one.flag).second) << one.flag;
  for (const Elsewhere& one : kElsewhere) {
    EXPECT_TRUE(tried.insert(one.flag).second) << one.flag;
    EXPECT_TRUE(!one.why.empty() || test_exists(one.suite, one.name)) << one.suite << "." << one.name;
  }
  for (const LimitRow& row : limit_rows()) EXPECT_EQ(tried.erase(row.flag), 1u) << row.flag << " is not tried";
  EXPECT_TRUE(tried.empty()) << *tried.begin() << " is no row";
}

TEST(Limits, TheTableIsSane) {
  const ServerLimits defaults;
  std::set<std::string_view> flags;
  for (const LimitRow& row : limit_rows()) {
    EXPECT_TRUE(flags.insert(row.flag).second) << row.flag;
    EXPECT_TRUE(row.flag.starts_with("--")) << row.flag;
    const double value = std::visit([&](auto member) { return static_cast<double>(defaults.*member); }, row.member);
    EXPECT_LE(row.low, value) << row.flag;
    EXPECT_GE(row.high, value) << row.flag;
  }
}

TEST(Limits, TheDocumentIsTheTable) {
  const auto file = test::data_path("../../docs/limits.md");
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_EQ(text.str(), limits_markdown()) << "run: lancet serve --print-limits > docs/limits.md";
}

TEST(Limits, TimeoutsAreKept) {
  {  // idle: the connection ends
    ServerOptions options;
    options.limits.idle_s = 0.05;
    World world({.server = options});
    HttpClient client(world.port());
    EXPECT_EQ(client.call(HttpClient::get("/livez")).status, 200);
    EXPECT_TRUE(client.at_end());
  }
  {  // linger: a client that goes on sending after its refusal
    ServerOptions options;
    options.limits.linger_s = 0.05;
    World world({.server = options});
    HttpClient client(world.port());
    client.send(
        "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n");
    EXPECT_EQ(client.read_reply().status, 415);
    EXPECT_TRUE(client.at_end());
  }
  {  // queue
    ServerOptions options;
    options.limits.queue_s = 0.05;
    World world({.server = options, .engine = {.blocks = 256, .max_sequences = 1}, .gated = true});
    HttpClient first(world.port()), second(world.port());
    first.send(HttpClient::post("/v1/completions", R"({"prompt":"hi","max_tokens":400,"ignore_eos":true})"));
    world.gate.wait_entered(1);
    const auto began = std::chrono::steady_clock::now();
    second.send(HttpClient::post("/v1/completions", R"({"prompt":"hi","max_tokens":4})"));
    // The numbers are as of the last step, before which the first one counted as waiting too.
    ASSERT_TRUE(world.until([](const EngineStats& stats) { return stats.waiting >= 1; }));
    while (std::chrono::steady_clock::now() - began < std::chrono::milliseconds(200)) std::this_thread::yield();
    world.gate.pass(2);  // the engine looks at its queue between steps
    const Reply reply = second.read_reply();
    EXPECT_EQ(reply.status, 503) << reply.body;
    EXPECT_EQ(reply.error("code"), "queue_timeout");
    EXPECT_TRUE(reply.fields.contains("retry-after"));
    world.gate.open();
    EXPECT_EQ(first.read_reply().status, 200);
  }
  {  // prompt
    ServerOptions options;
    options.limits.prompt_s = 1e-9;
    World world({.server = options});
    const Reply reply = world.post("/tokenize", R"({"content":")" + std::string(1'000'000, 'a') + "\"}");
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(reply.error("code"), "budget_exceeded");
  }
}

}  // namespace
}  // namespace lancet
