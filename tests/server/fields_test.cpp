// Every field of every body, by the table itself: wrong types, bounds and one past them, huge numbers, null; and the
// few rules that the table cannot say.
#include <fmt/format.h>

#include "server/fields.h"
#include "world.h"

namespace lancet {
namespace {

using test::Reply;
using test::World;
namespace json = boost::json;

struct Target {
  Body body;
  const char* path;
  json::object base;
};

std::vector<Target> targets() {
  const json::array messages{json::object{{"role", "user"}, {"content", "hi"}}};
  return {
      {Body::chat, "/v1/chat/completions", {{"messages", messages}, {"max_tokens", 1}, {"temperature", 0}}},
      {Body::completion, "/v1/completions", {{"prompt", "hi"}, {"max_tokens", 1}, {"temperature", 0}}},
      {Body::embedding, "/v1/embeddings", {{"input", "hi"}}},
      {Body::tokenize, "/tokenize", {{"content", "hi"}}},
      {Body::detokenize, "/detokenize", {{"tokens", {104, 105}}}},
  };
}

/// Sends the base with one field's JSON text put in.
Reply send(World& world, const Target& target, std::string_view field, const std::string& text) {
  json::object base = target.base;
  base.erase(field);
  if (field == "max_completion_tokens") base.erase("max_tokens");
  std::string body = json::serialize(base);
  body.insert(body.size() - 1, (base.empty() ? "\"" : ",\"") + std::string(field) + "\":" + text);
  return world.post(target.path, body);
}

void expect_refused(World& world, const Target& target, std::string_view field, const std::string& text) {
  const Reply reply = send(world, target, field, text);
  ASSERT_EQ(reply.status, 400) << target.path << " " << field << " " << text.substr(0, 80) << reply.body.substr(0, 300);
  // 1e400 is no number of JSON that we read: the whole body is refused, with the offset.
  if (reply.error("code") == "invalid_json") {
    EXPECT_TRUE(text.find("1e4") != std::string::npos || text.find("N") != std::string::npos) << reply.body;
    EXPECT_NE(reply.error("message").find("byte"), std::string::npos) << reply.body;
    return;
  }
  EXPECT_TRUE(reply.error("param").starts_with(field)) << text.substr(0, 80) << reply.body.substr(0, 300);
  EXPECT_EQ(reply.error("type"), "invalid_request_error");
}

/// Accepted, or refused for a reason that is not the value: what fits no context, what needs another field.
void expect_understood(World& world, const Target& target, std::string_view field, const std::string& text) {
  const Reply reply = send(world, target, field, text);
  if (reply.status == 200) return;
  const bool combined = reply.error("code") == "context_length_exceeded" || field == "min_tokens" ||
                        field == "max_tokens" || field == "top_logprobs" || field == "dimensions" || field == "content";
  EXPECT_TRUE(combined) << target.path << " " << field << " " << text << " " << reply.body.substr(0, 300);
}

std::string number_text(double value, bool whole) {
  if (value >= 9223372036854775808.0) return "9223372036854775807";
  return whole ? fmt::format("{}", static_cast<int64_t>(value)) : fmt::format("{}", value);
}

TEST(Fields, NumbersAreTakenUpToTheirBoundsAndNotBeyond) {
  World world;
  for (const Target& target : targets()) {
    for (const Field& field : fields()) {
      const bool whole = field.kind == FieldKind::integer;
      if (!(field.bodies & static_cast<unsigned>(target.body)) || field.use != FieldUse::used) continue;
      if (!whole && field.kind != FieldKind::number) continue;
      const double high = field_high(field, ServerLimits());
      expect_understood(world, target, field.name, number_text(field.low, whole));
      expect_understood(world, target, field.name, number_text(high, whole));
      expect_understood(world, target, field.name, "null");
      if (whole && high >= 1 && field.low <= 1) expect_understood(world, target, field.name, "1.0");
      const bool all_64_bits = high >= 9223372036854775808.0;
      expect_refused(world, target, field.name,
                     all_64_bits ? "-9223372036854775809" : number_text(field.low - 1, whole));
      expect_refused(world, target, field.name, all_64_bits ? "9223372036854775808" : number_text(high + 1, whole));
      for (const char* wrong : {"\"1\"", "true", "[]", "{}", "1e400", "-1e400", "1e300", "-1e300", "NaN"})
        expect_refused(world, target, field.name, wrong);
      if (whole) expect_refused(world, target, field.name, "0.5");
    }
  }
}

TEST(Fields, OtherKindsAreRefusedInTheWrongType) {
  World world;
  for (const Target& target : targets()) {
    for (const Field& field : fields()) {
      if (!(field.bodies & static_cast<unsigned>(target.body)) || field.use != FieldUse::used) continue;
      if (field.required)
        expect_refused(world, target, field.name, "null");
      else
        expect_understood(world, target, field.name, "null");
      if (field.kind == FieldKind::boolean)
        for (const char* wrong : {"0", "1", "\"true\"", "[]", "{}"}) expect_refused(world, target, field.name, wrong);
      if (field.kind == FieldKind::string)
        for (const char* wrong : {"0", "true", "[]", "{}"}) expect_refused(world, target, field.name, wrong);
      if (field.kind == FieldKind::other)
        for (const char* wrong : {"true", "1e300", "-1"}) expect_refused(world, target, field.name, wrong);
    }
  }
}

TEST(Fields, WhatIsNotSupportedIsRefusedUnlessItAsksForNothing) {
  World world;
  for (const Target& target : targets()) {
    for (const Field& field : fields()) {
      if (!(field.bodies & static_cast<unsigned>(target.body)) || field.use == FieldUse::used) continue;
      expect_understood(world, target, field.name, "null");
      const std::string odd = R"({"odd":["value"]})";
      if (field.use == FieldUse::harmless) {
        EXPECT_EQ(send(world, target, field.name, odd).status, 200) << field.name;
        continue;
      }
      const Reply reply = send(world, target, field.name, odd);
      EXPECT_EQ(reply.status, 400) << field.name;
      EXPECT_EQ(reply.error("param"), field.name);
      EXPECT_EQ(reply.error("code"), "unsupported_value");
    }
  }
}

TEST(Fields, ListsAreTakenUpToTheirBoundsAndNotBeyond) {
  World world;
  const auto list = [](const std::string& element, size_t count, const char* open = "[", const char* close = "]") {
    std::string text = open;
    for (size_t i = 0; i < count; i++) text += (i ? "," : "") + element;
    return text + close;
  };
  const auto biases = [](size_t count) {
    std::string text = "{";
    for (size_t i = 0; i < count; i++) text += fmt::format("{}\"{}\":1", i ? "," : "", i);
    return text + "}";
  };
  const ServerLimits limits;
  const Target chat = targets()[0], completion = targets()[1], embedding = targets()[2];
  struct Row {
    const Target& target;
    const char* field;
    std::string at, past;
  };
  const auto optional = [](size_t size) { return "\"(?:" + std::string(size - 5, 'z') + ")?\""; };
  const auto tools = [](size_t count) {
    std::string text = "[";
    for (size_t i = 0; i < count; i++)
      text += fmt::format(R"({}{{"type":"function","function":{{"name":"f{}"}}}})", i ? "," : "", i);
    return text + "]";
  };
  const std::string message = R"({"role":"user","content":"x"})";
  const Row rows[] = {
      {chat, "stop", list("\"zz\"", limits.stop_strings), list("\"zz\"", limits.stop_strings + 1)},
      {chat, "stop", '"' + std::string(256, 'z') + '"', '"' + std::string(257, 'z') + '"'},
      {chat, "stop_token_ids", list("1", limits.stop_tokens), list("1", limits.stop_tokens + 1)},
      {chat, "dry_sequence_breakers", list("\"a\"", limits.dry_breakers), list("\"a\"", limits.dry_breakers + 1)},
      {chat, "dry_sequence_breakers", "[\"" + std::string(64, 'z') + "\"]", "[\"" + std::string(65, 'z') + "\"]"},
      {chat, "cache_salt", '"' + std::string(256, 'z') + '"', '"' + std::string(257, 'z') + '"'},
      {chat, "tools", tools(limits.tools), tools(limits.tools + 1)},
      {chat, "choice", list("\"a\"", limits.grammar_choices), list("\"a\"", limits.grammar_choices + 1)},
      {chat, "regex", optional(limits.grammar_bytes), optional(limits.grammar_bytes + 1)},
      {chat, "logit_bias", biases(300), biases(301)},
      {completion, "prompt", list("\"a\"", limits.prompts), list("\"a\"", limits.prompts + 1)},
      {embedding, "input", list("[1]", limits.prompts), list("[1]", limits.prompts + 1)},
  };
  for (const Row& row : rows) {
    const Reply reply = send(world, row.target, row.field, row.at);
    EXPECT_EQ(reply.status, 200) << row.field << reply.body;
    expect_refused(world, row.target, row.field, row.past);
  }
  // Too long for this context, but not too many.
  EXPECT_EQ(send(world, chat, "messages", list(message, limits.messages)).error("code"), "context_length_exceeded");
  EXPECT_EQ(send(world, chat, "messages", list(message, limits.messages + 1)).error("param"), "messages");
}

TEST(Fields, ValuesThatTheTableCannotBoundAreRefusedByPlace) {
  World world;
  const std::tuple<const char*, const char*, const char*> rows[] = {
      {"logit_bias", R"({"300":1})", "logit_bias"},
      {"logit_bias", R"({"-1":1})", "logit_bias"},
      {"logit_bias", R"({"05":1})", "logit_bias"},
      {"logit_bias", R"({"+5":1})", "logit_bias"},
      {"logit_bias", R"({"x":1})", "logit_bias"},
      {"logit_bias", R"({"":1})", "logit_bias"},
      {"logit_bias", R"({"99999999999999999999":1})", "logit_bias"},
      {"logit_bias", R"({"5":101})", "logit_bias.5"},
      {"logit_bias", R"({"5":-101})", "logit_bias.5"},
      {"logit_bias", R"({"5":"1"})", "logit_bias.5"},
      {"stop", R"(["a",""])", "stop[1]"},
      {"stop_token_ids", "[300]", "stop_token_ids[0]"},
      {"stop_token_ids", "[-1]", "stop_token_ids[0]"},
      {"min_tokens", "2", "min_tokens"},
      {"repetition_detection", R"({"max_pattern_size":257,"min_count":2})", "repetition_detection.max_pattern_size"},
      {"repetition_detection", R"({"max_pattern_size":4,"min_count":1})", "repetition_detection.min_count"},
      {"repetition_detection", R"({"max_pattern_size":4})", "repetition_detection.min_count"},
      {"repetition_detection", R"({"min_count":4})", "repetition_detection.max_pattern_size"},
      {"repetition_detection", R"({"max_pattern_size":4,"min_pattern_size":5,"min_count":2})",
       "repetition_detection.min_pattern_size"},
      {"stream_options", R"({"include_usage":1})", "stream_options.include_usage"},
      {"stream_options", R"({"include_obfuscation":1})", "stream_options.include_obfuscation"},
      {"dry_sequence_breakers", R"(["a",""])", "dry_sequence_breakers[1]"},
      {"reasoning_effort", R"("extreme")", "reasoning_effort"},
      {"verbosity", R"("loud")", "verbosity"},
      {"chat_template_kwargs", R"({"messages":[]})", "chat_template_kwargs.messages"},
      {"chat_template_kwargs", "[]", "chat_template_kwargs"},
      {"continue_final_message", "true", "continue_final_message"},
      {"tools", R"([{"type":"function","function":{"name":""}}])", "tools[0].function.name"},
      {"tools", R"([{"type":"function","function":{"name":"f","parameters":[]}}])", "tools[0].function.parameters"},
      {"functions", R"([{"name":5}])", "functions[0].name"},
  };
  for (const auto& [field, text, param] : rows) {
    const Reply reply = send(world, targets()[0], field, text);
    ASSERT_EQ(reply.status, 400) << field << text << reply.body;
    EXPECT_EQ(reply.error("param"), param) << text << reply.body;
  }
}

TEST(Fields, UnknownOnesAreRefusedWhenStrict) {
  World world;
  for (const Target& target : targets()) {
    Reply lenient = send(world, target, "shiny", "1");
    EXPECT_EQ(lenient.status, 200) << lenient.body;
    EXPECT_EQ(lenient.fields["x-ignored-params"], "shiny");
    const Reply strict = send(world, target, "shiny", "1,\"strict_params\":true");
    EXPECT_EQ(strict.status, 400);
    EXPECT_EQ(strict.error("param"), "shiny");
  }
  World::Options options;
  options.server.limits.strict_params = true;
  World stern(options);
  EXPECT_EQ(send(stern, targets()[0], "shiny", "1").error("param"), "shiny");
  EXPECT_EQ(send(stern, targets()[0], "shiny", "1,\"strict_params\":false").status, 200);
}

TEST(Fields, WhatHadNoEffectIsNamed) {
  World world;
  const std::pair<std::string, std::string> rows[] = {
      {R"("temperature":0,"top_p":0.5,"top_k":4,"min_p":0.1,"seed":1)", "top_p, top_k, min_p, seed"},
      {R"("temperature":0,"top_p":1,"top_k":-1,"min_p":0,"typical_p":1)", ""},
      {R"("temperature":0,"xtc_probability":0.5,"typical_p":0.5,"top_n_sigma":1)",
       "typical_p, top_n_sigma, xtc_probability"},
      {R"("xtc_probability":0.5,"xtc_threshold":0.6)", "xtc_probability, xtc_threshold"},
      {R"("xtc_probability":0.5,"xtc_threshold":0.2)", ""},
      {R"("dry_base":2,"dry_allowed_length":3,"dry_penalty_last_n":5,"dry_sequence_breakers":["x"])",
       "dry_base, dry_allowed_length, dry_penalty_last_n, dry_sequence_breakers"},
      {R"("dry_multiplier":0.8,"dry_base":2)", ""},
      {R"("repeat_last_n":64)", "repeat_last_n"},
      {R"("repeat_last_n":64,"repeat_penalty":1.1)", ""},
      {R"("repetition_penalty":1.2,"repeat_penalty":1.1)", "repeat_penalty"},
      {R"("max_completion_tokens":1)", "max_tokens"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("prediction":{"type":"content","content":"x"})", "prediction"},
      {R"("reasoning_effort":"low","chat_template_kwargs":{"thinking":true})",
       "reasoning_effort, chat_template_kwargs.thinking"},
  };
  for (const auto& [rest, wanted] : rows) {
    Reply reply = world.post("/v1/chat/completions",
                             R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":1,)" + rest + "}");
    ASSERT_EQ(reply.status, 200) << rest << reply.body;
    EXPECT_EQ(reply.fields["x-ignored-params"], wanted == "reasoning_effort, chat_template_kwargs.thinking" &&
                                                        reply.fields["x-ignored-params"].starts_with("chat")
                                                    ? "chat_template_kwargs.thinking, reasoning_effort"
                                                    : wanted)
        << rest;
  }
}

TEST(Fields, TheTableHasNoRowTwice) {
  for (const Field& a : fields())
    for (const Field& b : fields()) EXPECT_FALSE(&a != &b && a.name == b.name && (a.bodies & b.bodies)) << a.name;
}

}  // namespace
}  // namespace lancet
