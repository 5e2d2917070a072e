// A compile that nobody waits for any more ends at once, wherever it is, its memory included.
#include <time.h>

#include <functional>
#include <future>
#include <optional>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/text_grammars.h"
#include "grammar/vocabularies.h"

namespace lancet {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

nanoseconds thread_time() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

#ifdef __SANITIZE_ADDRESS__
constexpr auto kLongest = milliseconds(250);  // giving memory back costs more there
#else
constexpr auto kLongest = milliseconds(50);
#endif

struct Work {
  std::string name;
  std::function<RuleId(Rules&, Budget&)> build;
};

std::string joined(int count, const std::function<std::string(int)>& part) {
  std::string out;
  for (int i = 0; i < count; ++i) out += (i ? "," : "") + part(i);
  return out;
}

Work schema(std::string name, std::string text) {
  return {std::move(name), [text = std::move(text)](Rules& rules, Budget& budget) {
            const boost::json::value value = parse_json(text, "a test", {.depth = 64}, budget);
            return add_json_schema(rules, value, {}, budget);
          }};
}

std::vector<Work> heavy() {
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 20000; ++i) chain += fmt::format("r{} ::= \"a\" r{} | \"b\"\n", i, i + 1);
  chain += "r20000 ::= \"x\"\n";
  std::vector<std::string> words;
  for (int i = 0; i < 100000; ++i) words.push_back(fmt::format("value {}", i * 7919));
  std::string nested = R"({"type":"integer"})";
  for (int i = 0; i < 24; ++i)
    nested = fmt::format(
        R"({{"oneOf":[{{"type":"string","minLength":{}}},{{"type":"array","items":{{"not":{{"const":{}}}}}}},{}]}})", i,
        i, nested);
  return {
      schema("alternatives that share nothing",
             R"({"anyOf":[)" +
                 joined(60,
                        [](int i) {
                          return fmt::format(R"({{"type":"string","pattern":"^(?:[a-z]{{1,{}}}x){{1,40}}y{}$"}})",
                                             60 + i, i);
                        }) +
                 "]}"),
      schema("all of many patterns",
             R"({"type":"string","allOf":[)" +
                 joined(40, [](int i) { return fmt::format(R"({{"pattern":"a[a-z]{{{}}}b"}})", 10 + i); }) + "]}"),
      schema("nested oneOf", nested),
      schema("an enum of 100,000",
             R"({"enum":[)" + joined(100000, [](int i) { return fmt::format("\"value {}\"", i); }) + "]}"),
      schema("a long minLength", R"({"type":"string","minLength":1000000})"),
      schema("3,000 properties",
             R"({"type":"object","minProperties":1000,"properties":{)" +
                 joined(3000,
                        [](int i) {
                          return fmt::format(R"("p{}":{{"type":"string","pattern":"^[a-f]{{{}}}$"}})", i, i % 50 + 1);
                        }) +
                 "}}"),
      {"a chain of 20,000 rules", [chain](Rules& rules, Budget& budget) { return add_gbnf(rules, chain, budget); }},
      {"a choice of 100,000", [words](Rules& rules, Budget& budget) { return add_choice(rules, words, budget); }},
      {"a regex of counters",
       [](Rules& rules, Budget& budget) {
         return add_regex(rules, "(?:(?:[a-z]{1,500}[0-9]{1,500}){1,500}|(?:[a-m]{2,900}){3,70})*x[a-z]{900}", budget);
       }},
  };
}

/// CPU time that the compile still takes once its flag is raised after `delay`; nothing if it was done before.
std::optional<nanoseconds> time_to_stop(const Work& work, milliseconds delay) {
  const auto flag = std::make_shared<CancelFlag>();
  clockid_t clock = {};
  std::promise<void> begun;
  auto done = std::async(std::launch::async, [&]() -> nanoseconds {
    pthread_getcpuclockid(pthread_self(), &clock);
    begun.set_value();
    try {
      Budget budget("a test", {}, flag);
      Rules rules;
      const RuleId start = work.build(rules, budget);
      Grammar::make(std::move(rules), start, json_trie(), budget);
    } catch (const Error&) {}
    return thread_time();
  });
  begun.get_future().get();
  if (done.wait_for(delay) == std::future_status::ready) return std::nullopt;
  timespec at = {};
  if (clock_gettime(clock, &at) != 0) return std::nullopt;  // the thread has just ended
  flag->raise();
  return done.get() - std::chrono::seconds(at.tv_sec) - nanoseconds(at.tv_nsec);
}

TEST(Cancel, ACompileStopsWithinFiftyMilliseconds) {
  int stopped = 0;
  for (const Work& work : heavy()) {
    nanoseconds longest{};
    for (const int delay : {1, 5, 20, 60, 150}) {
      const auto took = time_to_stop(work, milliseconds(delay));
      if (!took) break;
      stopped++;
      longest = std::max(longest, *took);
    }
    fmt::print("{}: {} us\n", work.name, std::chrono::duration_cast<std::chrono::microseconds>(longest).count());
    EXPECT_LE(longest, kLongest) << work.name;
  }
  EXPECT_GT(stopped, 10) << "the work is too little to be stopped";
}

}  // namespace
}  // namespace lancet
