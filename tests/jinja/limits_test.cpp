// Hostile templates end in an error, soon, without taking the process along.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "jinja/parser.h"
#include "jinja/template.h"

namespace lancet {
namespace {

std::string rendered(const std::string& source, JinjaLimits limits = {}) {
  Budget budget("the chat template");
  return JinjaTemplate(source, budget).render({}, {.limits = limits, .now = {}}, budget).str();
}

/// The fault that a template ends with, or nothing.
std::optional<Fault> fault_of(const std::string& source, JinjaLimits limits = {}) {
  try {
    rendered(source, limits);
    return std::nullopt;
  } catch (const Error& error) {
    return error.fault();
  }
}

std::string repeated(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; i++) result += text;
  return result;
}

TEST(JinjaLimits, RunawaysEndInABudgetError) {
  const char* const runaways[] = {
      "{{ range(10**9) }}",
      "{% for i in range(10**9) %}{% endfor %}",
      "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
      "{{ 'x' * 10**9 }}",
      "{{ [1] * 10**9 }}",
      "{{ [1] * 2**62 }}",
      "{{ {'a': 1} | tojson(indent=10**9) }}",
      "{{ 'a' | indent(10**9, first=true) }}",
      "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == "
      "ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson "
      "}}",
      "{{ ('a' * 1000000) | replace('', 'b' * 1000000) }}",
      "{{ ('a' * 1000000) | join('b' * 1000000) }}",
      "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
      "{{ '%s' * 100000 % ('a' * 100000) }}",
      "{{ ['x' * 1000000] | batch(10**9, 'x') | list }}",
  };
  for (const char* source : runaways) {
    const auto begin = std::chrono::steady_clock::now();
    const std::optional<Fault> fault = fault_of(source);
    // '%s' * n % one value lacks arguments before it is big; all others must run out of budget.
    if (std::string_view(source).starts_with("{{ '%s'")) {
      EXPECT_TRUE(fault.has_value()) << source;
    } else {
      EXPECT_EQ(fault, Fault::budget) << source;
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << source;
  }
}

TEST(JinjaLimits, SelfCallingMacroEnds) {
  EXPECT_EQ(fault_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), Fault::budget);
  EXPECT_EQ(fault_of("{% macro m(n) %}{% for i in [1] %}{% if true %}{{ [m(n)] | join }}{% endif %}{% endfor %}"
                     "{% endmacro %}{{ m(1) }}"),
            Fault::budget);
}

TEST(JinjaLimits, MacroDepthIsAllowedToTheLimitAndNotBeyond) {
  const std::string source = "{% macro m(n) %}{% if n > 1 %}{{ m(n - 1) }}{% endif %}x{% endmacro %}{{ m(COUNT) }}";
  const auto with = [&](int count) {
    return std::string(source).replace(source.find("COUNT"), 5, std::to_string(count));
  };
  EXPECT_EQ(rendered(with(200)).size(), 200u);
  EXPECT_EQ(fault_of(with(201)), Fault::budget);
}

TEST(JinjaLimits, NestingOfTheSourceEndsAtTheDepthLimit) {
  for (const auto& [open, close] : {std::pair{"(", ")"}, {"[", "]"}, {"{1:", "}"}, {"-", ""}, {"not ", ""}}) {
    const auto source = [&, o = std::string(open), c = std::string(close)](int depth) {
      return "{{ " + repeated(o, depth) + "1" + repeated(c, depth) + " }}";
    };
    EXPECT_EQ(fault_of(source(150)), std::nullopt) << open;
    EXPECT_EQ(fault_of(source(kJinjaMaxParseDepth + 1)), Fault::bad_file) << open;
    EXPECT_EQ(fault_of(source(100'000)), Fault::bad_file) << open;
  }
  EXPECT_EQ(fault_of(repeated("{% if 1 %}", 100'000)), Fault::bad_file);
  EXPECT_EQ(fault_of(repeated("{% for i in x %}", 100'000)), Fault::bad_file);
  EXPECT_EQ(fault_of("{{ x" + repeated(".y", 100'000) + " }}"), Fault::bad_file);
  EXPECT_EQ(fault_of("{{ x" + repeated("|list", 100'000) + " }}"), Fault::bad_file);
  EXPECT_EQ(fault_of("{{ x" + repeated("[0]", 100'000) + " }}"), Fault::bad_file);
  EXPECT_EQ(fault_of("{{ 1" + repeated(" if 1 else 1", 100'000) + " }}"), Fault::bad_file);
}

TEST(JinjaLimits, LongChainsAreNotDeep) {
  EXPECT_EQ(rendered("{{ 0" + repeated(" + 1", 10'000) + " }}"), "10000");
  EXPECT_EQ(rendered("{{ 'a'" + repeated(" ~ 'b'", 1'000) + " }}").size(), 1001u);
  EXPECT_EQ(rendered("{{ true" + repeated(" and true", 10'000) + " }}"), "True");
  EXPECT_EQ(rendered("{% if 0 %}" + repeated("{% elif 0 %}", 5'000) + "{% else %}x{% endif %}"), "x");
}

TEST(JinjaLimits, StepsAreAllowedToTheLimitAndNotBeyond) {
  const std::string source = "{% for i in range(100) %}{{ i }}{% endfor %}";
  uint64_t needed = 1;
  while (fault_of(source, {.steps = needed}) == Fault::budget) needed++;
  EXPECT_EQ(fault_of(source, {.steps = needed}), std::nullopt);
  EXPECT_GT(needed, 300u);
  EXPECT_LT(needed, 2000u);
}

TEST(JinjaLimits, OutputIsAllowedToTheLimitAndNotBeyond) {
  const JinjaLimits limits = {.output_bytes = 1000};
  EXPECT_EQ(rendered("{{ 'x' * 1000 }}", limits).size(), 1000u);
  EXPECT_EQ(fault_of("{{ 'x' * 1000 }}y", limits), Fault::budget);
  EXPECT_EQ(fault_of("{{ 'x' * 1001 }}", limits), Fault::budget);
}

TEST(JinjaLimits, TheCallersBudgetCountsToo) {
  Budget compile("compiling");
  const JinjaTemplate compiled("{% for i in range(1000) %}x{% endfor %}", compile);
  Budget small("the chat template", {.steps = 500});
  EXPECT_THROW(compiled.render({}, {}, small), Error);
}

TEST(JinjaLimits, ValuesThatContainThemselvesAreFreedAndNotPrinted) {
  // The leak checker of the sanitizer build watches.
  EXPECT_EQ(fault_of("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}"), Fault::bad_request);
  EXPECT_EQ(fault_of("{% set l = [] %}{% set _ = l.append(l) %}{{ l == [l] }}"), Fault::bad_request);
  EXPECT_EQ(fault_of("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me is defined }}"), std::nullopt);
  EXPECT_EQ(fault_of("{% set d = {} %}{% set _ = d.update({'d': d}) %}{{ d|tojson }}"), Fault::bad_request);
  EXPECT_EQ(fault_of("{% macro m() %}{% endmacro %}{% set ns = namespace(m=m) %}{{ ns.m() }}"), std::nullopt);
  EXPECT_EQ(fault_of("{% set ns = namespace(c=[]) %}{% for i in range(50000) %}{% set n = [] %}"
                     "{% set _ = ns.c.append(n) %}{% set ns.c = n %}{% endfor %}"),
            std::nullopt);
}

TEST(JinjaTemplate, RendersFromManyThreadsAtOnce) {
  Budget compile("compiling");
  const JinjaTemplate compiled("{% set l = ['a', 'b'] %}{% for i in range(50) %}{{ l[i % 2] ~ name }}{% endfor %}",
                               compile);
  std::vector<std::string> results(8);
  std::vector<std::jthread> threads;
  for (size_t t = 0; t < results.size(); t++) {
    threads.emplace_back([&, t] {
      Budget budget("the chat template");
      for (int i = 0; i < 20; i++)
        results[t] = compiled.render({{"name", JinjaValue::string(std::to_string(t), false)}}, {}, budget).str();
    });
  }
  threads.clear();
  for (size_t t = 0; t < results.size(); t++) {
    EXPECT_EQ(results[t].size(), 100u);
    EXPECT_TRUE(results[t].starts_with("a" + std::to_string(t) + "b"));
  }
}

TEST(JinjaTemplate, ErrorsNameThePlaceWhereTheyHappen) {
  Budget budget("the chat template");
  try {
    JinjaTemplate("a\nb {{ 1 + none }}", budget).render({}, {}, budget);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.param(), "2:8");
    EXPECT_EQ(error.fault(), Fault::bad_request);
  }
}

}  // namespace
}  // namespace lancet
