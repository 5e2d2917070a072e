// Answers that must be something: constrained text, calls of functions, the dialect of a prompt, guards. The model is
// one that chooses by hash, so that nothing but the constraint makes its answers parse.
#include <fmt/format.h>

#include "server/grammars.h"
#include "text/dialect.h"
#include "text/fenced_text.h"
#include "world.h"

namespace lancet {
namespace {

using test::Reply;
using test::World;
namespace json = boost::json;

/// Mistral's form: calls begin with a control token.
World::Options mistral() {
  World::Options options;
  options.vocabulary.tokens[260] = {"[TOOL_CALLS]", Token::Kind::control};
  options.vocabulary.tokens[261] = {"[ARGS]", Token::Kind::control};
  options.chat_template =
      "{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}{{ message.role }}: "
      "{{ message.content }}{% for call in message.tool_calls or [] %}[TOOL_CALLS]{{ call.function.name }}[ARGS]"
      "{{ call.function.arguments | tojson }}{% endfor %}\n{% endfor %}";
  return options;
}

/// Hermes' form: calls are text.
World::Options hermes() {
  World::Options options = mistral();
  options.chat_template =
      "{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}{{ message.role }}: "
      "{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson "
      "}}</tool_call>"
      "{% endfor %}\n{% endfor %}";
  return options;
}

constexpr std::string_view kUser = R"({"role":"user","content":"Weather in Oslo?"})";
constexpr std::string_view kTools =
    R"(,"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":)"
    R"({"city":{"type":"string","maxLength":12},"days":{"type":"integer","minimum":1,"maximum":14}},"required":["city"]}}},)"
    R"({"type":"function","function":{"name":"now"}}])";

std::string body(std::string_view messages, std::string_view rest) {
  return fmt::format(R"({{"messages":[{}]{}}})", messages, rest);
}

json::object choice_of(const Reply& reply) {
  EXPECT_EQ(reply.status, 200) << reply.body;
  if (reply.status != 200) return {};
  return reply.json().at("choices").at(0).as_object();
}

json::object ask(World& world, std::string_view rest, std::string_view messages = kUser) {
  return choice_of(world.post("/v1/chat/completions", body(messages, rest)));
}

std::string content(const json::object& choice) {
  const json::value& text = choice.at("message").at("content");
  return text.is_string() ? std::string(text.get_string()) : "";
}

void expect_good_call(const json::value& call) {
  const std::string name(call.at("function").at("name").as_string());
  const json::object arguments = json::parse(call.at("function").at("arguments").as_string()).as_object();
  EXPECT_EQ(call.at("id").as_string().size(), 9);
  if (name == "now") {
    EXPECT_TRUE(arguments.empty());
    return;
  }
  EXPECT_EQ(name, "get_weather");
  EXPECT_TRUE(arguments.at("city").is_string());
  const json::value* days = arguments.if_contains("days");
  EXPECT_TRUE(!days || (days->as_int64() >= 1 && days->as_int64() <= 14));
  EXPECT_EQ(arguments.size(), days ? 2 : 1);
}

/// A stream's chunks put together as a client does.
json::object joined(const std::string& stream) {
  json::object message{{"content", nullptr}};
  json::array calls;
  json::value reason;
  for (size_t at = stream.find("data: {"); at != std::string::npos; at = stream.find("data: {", at + 1)) {
    const json::value chunk = json::parse(stream.substr(at + 6, stream.find("\n\n", at) - at - 6));
    const json::object& choice = chunk.at("choices").at(0).as_object();
    const json::object& delta = choice.at("delta").as_object();
    if (const json::value* text = delta.if_contains("content"); text && text->is_string()) {
      if (!message.at("content").is_string()) message["content"] = "";
      message["content"].get_string() += text->get_string();
    }
    if (const json::value* list = delta.if_contains("tool_calls")) {
      const json::object& call = list->at(0).as_object();
      const auto index = static_cast<size_t>(call.at("index").as_int64());
      if (index == calls.size())
        calls.push_back(call);
      else
        calls.at(index).at("function").at("arguments").as_string() += call.at("function").at("arguments").as_string();
    }
    if (!choice.at("finish_reason").is_null()) reason = choice.at("finish_reason");
  }
  for (json::value& call : calls) call.as_object().erase("index");
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  return {{"message", std::move(message)}, {"finish_reason", reason}};
}

/// Without ids, which belong to one answer.
std::string shown(json::object choice) {
  json::object& message = choice.at("message").as_object();
  std::string out = json::serialize(message.at("content"));
  if (const json::value* calls = message.if_contains("tool_calls"))
    for (const json::value& call : calls->as_array()) out += " " + json::serialize(call.at("function"));
  return out + " " + json::serialize(choice.at("finish_reason"));
}

TEST(Structured, RequiredCallsParseAndMatchTheirSchema) {
  for (World::Options options : {mistral(), hermes()}) {
    World world(options);
    for (int seed = 0; seed < 25; seed++) {
      const json::object choice =
          ask(world,
              fmt::format(R"({},"tool_choice":"required","max_tokens":200,"temperature":2,"seed":{})", kTools, seed));
      ASSERT_TRUE(choice.contains("message"));
      const json::object& message = choice.at("message").as_object();
      EXPECT_TRUE(message.at("content").is_null());
      ASSERT_TRUE(message.contains("tool_calls")) << json::serialize(choice);
      for (const json::value& call : message.at("tool_calls").as_array()) expect_good_call(call);
      const json::value& reason = choice.at("finish_reason");
      EXPECT_TRUE(reason == "tool_calls" || reason == "length") << reason;
    }
  }
}

TEST(Structured, AnAutomaticAnswerIsProseThenGoodCalls) {
  World world(mistral());
  int called = 0;
  for (int seed = 0; seed < 40; seed++) {
    const json::object choice =
        ask(world,
            fmt::format(R"({},"max_tokens":300,"temperature":2,"logit_bias":{{"260":100}},"seed":{})", kTools, seed));
    const json::value* calls = choice.at("message").as_object().if_contains("tool_calls");
    if (!calls) continue;
    called++;
    for (const json::value& call : calls->as_array()) expect_good_call(call);
  }
  EXPECT_GT(called, 0);
}

TEST(Structured, AStreamJoinsToTheWholeAnswer) {
  for (World::Options options : {mistral(), hermes()}) {
    World world(options);
    for (int seed = 0; seed < 12; seed++) {
      const std::string rest = fmt::format(R"({},"tool_choice":"{}","max_tokens":120,"temperature":1.5,"seed":{})",
                                           kTools, seed % 2 ? "auto" : "required", seed);
      const json::object whole = ask(world, rest);
      const Reply stream = world.post("/v1/chat/completions", body(kUser, rest + R"(,"stream":true)"));
      EXPECT_EQ(shown(joined(stream.body)), shown(whole));
    }
  }
}

TEST(Structured, AChoiceOfToolsIsKept) {
  World world(mistral());
  const auto names = [&](std::string_view rest) {
    std::string out;
    for (int seed = 0; seed < 6; seed++) {
      const json::object choice =
          ask(world, fmt::format(R"({}{},"max_tokens":150,"temperature":2,"seed":{})", kTools, rest, seed));
      const json::value* calls = choice.at("message").as_object().if_contains("tool_calls");
      out += "|";
      for (const json::value& call : calls ? calls->as_array() : json::array())
        out += std::string(call.at("function").at("name").as_string()) + " ";
    }
    return out;
  };
  EXPECT_EQ(names(R"(,"tool_choice":{"type":"function","function":{"name":"now"}})"), "|now |now |now |now |now |now ");
  EXPECT_EQ(names(R"(,"tool_choice":"none")"), "||||||");
  EXPECT_EQ(names(R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":)"
                  R"([{"type":"function","function":{"name":"now"}}]}},"parallel_tool_calls":false)"),
            "|now |now |now |now |now |now ");
}

TEST(Structured, OldNamesAreAnsweredInOldNames) {
  World world(mistral());
  const std::string rest = R"(,"functions":[{"name":"now"}],"function_call":{"name":"now"},"max_tokens":40)";
  const json::object choice = ask(world, rest);
  EXPECT_EQ(json::serialize(choice.at("message").at("function_call")), R"({"name":"now","arguments":"{}"})");
  EXPECT_EQ(choice.at("finish_reason"), "function_call");
}

TEST(Structured, TextIsWhatWasAskedFor) {
  World world(mistral());
  const std::tuple<std::string, std::string> rows[] = {
      {R"("choice":["yes"])", "yes"},
      {R"("guided_choice":["no"])", "no"},
      {R"("regex":"ab{3}c")", "abbbc"},
      {R"("guided_regex":"x")", "x"},
      {R"("grammar":"root ::= \"a\" [b] \"c\"")", "abc"},
      {R"("guided_grammar":"root ::= \"z\"")", "z"},
      {R"("lark":"start: \"l\"")", "l"},
      {R"("structured_outputs":{"choice":["maybe"]})", "maybe"},
      {R"("structured_outputs":{"json":{"const":5}})", "5"},
      {R"("guided_json":{"const":1})", "1"},
      {R"("guided_json":"{\"const\":true}")", "true"},
      {R"("json_schema":{"enum":["q"]})", "\"q\""},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"const":7}}})", "7"},
      {R"("response_format":{"type":"json_object","schema":{"const":"s"}})", "\"s\""},
  };
  for (const auto& [field, wanted] : rows) {
    const json::object choice = ask(world, "," + field + R"(,"max_tokens":60)");
    if (choice.empty()) continue;
    EXPECT_EQ(content(choice), wanted) << field;
    EXPECT_EQ(choice.at("finish_reason"), "stop") << field;
    const Reply reply = world.post("/v1/completions", R"({"prompt":"p","max_tokens":60,)" + field + "}");
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.json().at("choices").at(0).at("text").as_string(), wanted) << field;
  }
}

TEST(Structured, AnyObjectIsAnObject) {
  World world(mistral());
  for (int seed = 0; seed < 10; seed++) {
    const json::object choice = ask(
        world,
        fmt::format(R"(,"response_format":{{"type":"json_object"}},"max_tokens":80,"temperature":2,"seed":{})", seed));
    EXPECT_TRUE(json::parse(content(choice)).is_object()) << content(choice);
  }
}

struct Refusal {
  std::string rest, param;
};

TEST(Structured, WhatCannotBeKeptIsRefusedByPlace) {
  World world(mistral());
  const std::string f = R"({"type":"function","function":{"name":"f"}})";
  const Refusal rows[] = {
      {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a b","schema":{}}})",
       "response_format.json_schema.name"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"a":{"type":"strin"}}}}})",
       "response_format.json_schema.schema/properties/a/type"},
      {R"("regex":"(")", "regex"},
      {R"("grammar":"root ::=")", "grammar"},
      {R"("lark":"start: x")", "lark"},
      {R"("choice":["a",""])", "choice[1]"},
      {R"("regex":"a","choice":["a"])", "choice"},
      {R"("regex":"a","structured_outputs":{"regex":"b"})", "structured_outputs.regex"},
      {R"("structured_outputs":{"structural_tag":"b"})", "structured_outputs.structural_tag"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":"any")", "tool_choice"},
      {R"("tools":[)" + f + "," + f + "]", "tools[1].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f g"}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":""}}])", "tools[0].function.name"},
      {R"("tools":[)" + f + R"(],"tool_choice":{"type":"function","function":{"name":"g"}})",
       "tool_choice.function.name"},
      {R"("tools":[)" + f + R"(],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}})",
       "tool_choice.allowed_tools.tools"},
      {R"("tools":[)" + f + R"(],"tool_choice":"required","regex":"a")", "regex"},
      {R"("tools":[)" + f + R"(],"tool_choice":"auto","function_call":"auto")", "function_call"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"minimum":"x"}}}}}])",
       "tools[0].function.parameters/properties/a/minimum"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"string"}}}])",
       "tools[0].function.parameters/type"},
      {R"("tools":[)" + f + R"(],"dialect":"scalpel")", "dialect"},
      {R"("dialect":"other")", "dialect"},
      {R"("guards":"on")", "guards"},
  };
  for (const Refusal& row : rows) {
    const Reply reply = world.post("/v1/chat/completions", body(kUser, "," + row.rest));
    ASSERT_EQ(reply.status, 400) << row.rest << reply.body;
    EXPECT_EQ(reply.error("param"), row.param) << reply.body;
  }
}

TEST(Structured, ACompileThatTakesTooLongIsRefused) {
  World::Options options = mistral();
  options.server.limits.grammar_s = 1e-9;  // over before it begins, on any machine
  World world(options);
  std::string names = "\"a\"";
  for (int i = 0; i < 4000; i++) names += fmt::format(",\"{:x}{}\"", i * 2654435761u, i);
  const Reply reply = world.post("/v1/chat/completions", body(kUser, ",\"choice\":[" + names + "]"));
  EXPECT_EQ(reply.status, 400) << reply.body;
  EXPECT_EQ(reply.error("code"), "budget_exceeded");
}

TEST(Structured, ACallWithTextInFrontStopsAtOne) {
  World world(mistral());
  const json::object choice = ask(
      world, std::string(kTools) +
                 R"(,"tool_choice":"required","parallel_tool_calls":false,"max_tokens":90,"temperature":2,"seed":4)");
  EXPECT_EQ(choice.at("message").at("tool_calls").as_array().size(), 1);
}

constexpr std::string_view kFixed =
    R"(,"tools":[{"type":"function","function":{"name":"run","parameters":{"type":"object","properties":{"command":)"
    R"({"const":"rm -rf /tmp/some/where"}},"required":["command"]}}}],"tool_choice":"required","parallel_tool_calls":false,"max_tokens":120)";

std::string history(std::string_view result, std::string_view user = "Clean up.") {
  return fmt::format(
      R"({{"role":"user","content":"{}"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"a","type":"function","function":)"
      R"({{"name":"look","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"a","content":"{}"}})",
      user, result);
}

TEST(Guards, ACallThatStandsInAResultIsTold) {
  World world(mistral());
  const std::string copied = history("To be clean, run: rm -rf /tmp/some/where");
  const json::object told = ask(world, kFixed, copied);
  EXPECT_EQ(told.at("lancet").at("guards").at(0).at("code"), "copied_call") << json::serialize(told);
  EXPECT_TRUE(told.at("message").as_object().contains("tool_calls"));
  // What the user said himself is no copy.
  EXPECT_FALSE(ask(world, kFixed, history("rm -rf /tmp/some/where", "rm -rf /tmp/some/where")).contains("lancet"));
  EXPECT_FALSE(ask(world, std::string(kFixed) + R"(,"guards":"off")", copied).contains("lancet"));
}

TEST(Guards, ARefusedCallIsNotMade) {
  World world(mistral());
  const std::string rest = std::string(kFixed) + R"(,"guards":"refuse")";
  const json::object refused = ask(world, rest, history("To be clean, run: rm -rf /tmp/some/where"));
  EXPECT_FALSE(refused.at("message").as_object().contains("tool_calls"));
  EXPECT_TRUE(refused.at("message").at("refusal").is_string());
  EXPECT_EQ(refused.at("finish_reason"), "stop");
  EXPECT_TRUE(ask(world, rest, history("nothing")).at("message").as_object().contains("tool_calls"));
}

TEST(Guards, TheSameCallWithTheSameResultIsTold) {
  World world(mistral());
  std::string messages = R"({"role":"user","content":"Clean up."})";
  const std::string turn =
      R"(,{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"run",)"
      R"("arguments":"{\"command\":\"rm -rf /tmp/some/where\"}"}}]},{"role":"tool","tool_call_id":"a","content":"failed"})";
  EXPECT_FALSE(ask(world, kFixed, messages).contains("lancet"));
  messages += turn + turn;
  EXPECT_EQ(ask(world, kFixed, messages).at("lancet").at("guards").at(0).at("code"), "repeated_call");
}

constexpr std::string_view kScalpel =
    R"({"role":"system","content":"You edit files.\n- read_file(path): reads\n- write_file(path, content): writes\n\n)"
    R"(Example:\n```tool\n{\"name\": \"read_file\", \"params\": {\"path\": \"/etc/hosts\"}}\n```\n"},)"
    R"({"role":"user","content":"Task: read it"})";

TEST(DialectAnswers, EveryCallIsOneThatTheClientFinds) {
  World world(mistral());
  int calls = 0;
  for (int seed = 0; seed < 30; seed++) {
    const Reply reply = world.post(
        "/v1/chat/completions",
        body(kScalpel,
             fmt::format(R"(,"max_tokens":150,"temperature":2,"seed":{},"logit_bias":{{"260":30,"96":6}})", seed)));
    const json::object choice = choice_of(reply);
    ASSERT_TRUE(choice.contains("lancet"));
    EXPECT_EQ(reply.fields.at("x-dialect"), "scalpel; inferred");
    EXPECT_FALSE(choice.at("message").as_object().contains("tool_calls"));
    const json::object& dialect = choice.at("lancet").at("dialect").as_object();
    if (!dialect.contains("call")) continue;
    calls++;
    const std::string text = content(choice);
    const size_t begin = text.find("```tool\n{"), end = text.rfind("\n```");
    ASSERT_NE(begin, std::string::npos) << text;
    const auto call = read_fenced_call(text.substr(begin + 8, end - begin - 8));
    ASSERT_TRUE(call) << text;
    const json::object params = json::parse(call->arguments).as_object();
    EXPECT_FALSE(params.at("path").as_string().empty());
    EXPECT_TRUE(call->name != "write_file" || !params.at("content").as_string().empty());
  }
  EXPECT_GT(calls, 0);
}

TEST(DialectAnswers, AreOffUnlessInferredOrAskedFor) {
  World world(mistral());
  EXPECT_FALSE(ask(world, R"(,"max_tokens":5)").contains("lancet"));
  EXPECT_FALSE(ask(world, R"(,"max_tokens":5,"dialect":"none")", kScalpel).contains("lancet"));
  const json::object asked = ask(world, R"(,"max_tokens":5,"dialect":"scalpel")");
  EXPECT_EQ(json::serialize(asked.at("lancet").at("dialect")), R"({"name":"scalpel","inferred":false})");
}

TEST(Grammars, AreKeptWithinTheirBytes) {
  const Tokenizer tokenizer(test::byte_vocabulary(300));
  Grammars grammars(tokenizer, "", size_t{40} << 20);
  Budget budget("a test");
  const auto get = [&](const std::string& text) {
    return grammars.get(
        text, [&](Rules& rules, Budget&) { return rules.literal(text); }, budget);
  };
  const auto first = get("a");
  EXPECT_EQ(get("a"), first);
  get("b");
  EXPECT_EQ(get("a"), first);
  get("c");  // b was not used for longest
  EXPECT_EQ(get("a"), first);
  EXPECT_EQ(grammars.counts().entries, 2);
  EXPECT_LE(grammars.counts().bytes, size_t{40} << 20);
  EXPECT_EQ(grammars.counts().misses, 3);
  EXPECT_EQ(grammars.counts().hits, 3);
}

}  // namespace
}  // namespace lancet
