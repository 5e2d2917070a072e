// What the fields do, seen from outside: ends, scores, echoes, usage, messages of every role, embeddings, the document.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "server/openapi.h"
#include "server/routes.h"
#include "support/paths.h"
#include "world.h"

namespace lancet {
namespace {

using test::Reply;
using test::World;
namespace json = boost::json;

json::value complete(World& world, const std::string& rest) {
  const Reply reply = world.post("/v1/completions", "{\"prompt\":[1,2,3],\"temperature\":0," + rest + "}");
  EXPECT_EQ(reply.status, 200) << rest << reply.body;
  return reply.json();
}
json::value choice(const json::value& answer) { return answer.at("choices").at(0); }
std::string text(const json::value& answer) { return std::string(choice(answer).at("text").as_string()); }

/// An ASCII character of the middle of a text: what a stop string can be.
std::string some_character(const std::string& whole) {
  size_t at = whole.size() / 2;
  while (at < whole.size() && (static_cast<unsigned char>(whole[at]) >= 0x80 || whole[at] < 0x20)) at++;
  EXPECT_LT(at, whole.size());
  return whole.substr(at, 1);
}

Reply chat(World& world, const std::string& messages, const std::string& rest = R"(,"max_tokens":1)") {
  return world.post("/v1/chat/completions", "{\"messages\":" + messages + rest + "}");
}
std::string prompt(World& world, const std::string& messages, const std::string& rest = "") {
  const Reply reply = world.post("/apply-template", "{\"messages\":" + messages + rest + "}");
  EXPECT_EQ(reply.status, 200) << reply.body;
  return reply.status == 200 ? std::string(reply.json().at("prompt").as_string()) : "";
}

std::vector<json::value> chunks(const std::string& body) {
  std::vector<json::value> out;
  std::istringstream lines(body);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("data: {")) out.push_back(json::parse(line.substr(6)));
  return out;
}

TEST(Contract, AStopTokenEndsTheAnswerAndIsNamed) {
  World world;
  const json::value scored = complete(world, R"("max_tokens":12,"ignore_eos":true,"logprobs":0)");
  const std::string token(choice(scored).at("logprobs").at("tokens").at(5).as_string());
  const json::value ids =
      world.post("/tokenize", json::serialize(json::object{{"content", token}})).json().at("tokens");
  if (ids.as_array().size() != 1) GTEST_SKIP() << "the sixth token of this model is no text";
  const json::value cut =
      complete(world, R"("max_tokens":12,"ignore_eos":true,"stop_token_ids":)" + json::serialize(ids));
  EXPECT_EQ(choice(cut).at("finish_reason"), "stop");
  EXPECT_EQ(choice(cut).at("stop_reason"), ids.at(0));
}

TEST(Contract, TheStopStringStaysIfAskedFor) {
  World world;
  const std::string whole = text(complete(world, R"("max_tokens":40,"ignore_eos":true)"));
  const std::string stop = some_character(whole);
  const std::string rest = R"("max_tokens":40,"ignore_eos":true,"stop":)" + json::serialize(json::value(stop));
  const std::string without = text(complete(world, rest));
  EXPECT_EQ(text(complete(world, rest + R"(,"include_stop_str_in_output":true)")), without + stop);
}

TEST(Contract, MinTokensHoldsTheEndOff) {
  World world;
  const std::string whole = text(complete(world, R"("max_tokens":40,"ignore_eos":true)"));
  const std::string rest = R"("max_tokens":40,"ignore_eos":true,"min_tokens":40,"stop":)";
  const json::value held = complete(world, rest + json::serialize(json::value(some_character(whole))));
  EXPECT_EQ(held.at("usage").at("completion_tokens").to_number<int>(), 40);
}

TEST(Contract, ABiasForcesAToken) {
  World world;
  EXPECT_EQ(text(complete(world, R"("max_tokens":5,"ignore_eos":true,"logit_bias":{"97":100})")), "aaaaa");
}

TEST(Contract, ARepetitionEndsTheAnswerAndIsNamed) {
  World world;
  const json::value answer = complete(world, R"("max_tokens":50,"ignore_eos":true,"logit_bias":{"97":100},)"
                                             R"("repetition_detection":{"max_pattern_size":3,"min_count":4})");
  EXPECT_EQ(choice(answer).at("finish_reason"), "stop");
  EXPECT_EQ(choice(answer).at("stop_reason"), "repetition");
  EXPECT_LT(answer.at("usage").at("completion_tokens").to_number<int>(), 50);
}

TEST(Contract, TimingsCountTheTokensThatTheyTimed) {
  World world;
  const json::value answer = complete(world, R"("max_tokens":6,"ignore_eos":true)");
  const json::value& timings = answer.at("timings");
  EXPECT_EQ(timings.at("prompt_n").to_number<int>() + timings.at("cache_n").to_number<int>(), 3);
  EXPECT_EQ(timings.at("predicted_n").to_number<int>(), 6);
  for (const char* key : {"prompt_ms", "prompt_per_second", "predicted_ms", "predicted_per_second", "queue_ms"})
    EXPECT_GE(timings.at(key).to_number<double>(), 0) << key;
}

TEST(Contract, EchoShowsThePromptWithItsScores) {
  World world;
  const std::string rest = R"("max_tokens":2,"ignore_eos":true,"echo":true)";
  const Reply reply = world.post("/v1/completions", R"({"prompt":"hüt","temperature":0,"logprobs":1,)" + rest + "}");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json::value answer = reply.json();
  EXPECT_TRUE(text(answer).starts_with("hüt"));
  const json::value scores = choice(answer).at("logprobs");
  const size_t count = scores.at("tokens").as_array().size();
  EXPECT_EQ(count, 4u + 2) << "bytes of the prompt, without bos, and two tokens";
  for (const char* key : {"token_logprobs", "top_logprobs", "text_offset"})
    EXPECT_EQ(scores.at(key).as_array().size(), count);
  EXPECT_EQ(scores.at("text_offset").at(0), 0);
  EXPECT_EQ(scores.at("text_offset").at(3).to_number<int>(), 2) << "characters, not bytes";
  const json::value ids = complete(world, R"("max_tokens":0,"echo":true,"logprobs":0)");
  EXPECT_TRUE(choice(ids).at("logprobs").at("token_logprobs").at(0).is_null()) << "nothing predicted the first";
  EXPECT_EQ(choice(ids).at("logprobs").at("tokens").as_array().size(), 3u);
  EXPECT_EQ(ids.at("usage").at("completion_tokens").to_number<int>(), 0);
  EXPECT_EQ(text(complete(world, R"("max_tokens":0,"echo":true)")), std::string("\x01\x02\x03"));
}

TEST(Contract, AStreamedEchoSaysTheSameAsTheWholeOne) {
  World world;
  const std::string body =
      R"({"prompt":["ab","cd"],"n":2,"max_tokens":3,"temperature":0,"echo":true,"logprobs":1,"ignore_eos":true)";
  const json::value whole = world.post("/v1/completions", body + "}").json();
  std::vector<std::string> texts(4);
  std::vector<json::array> offsets(4);
  for (const json::value& chunk : chunks(world.post("/v1/completions", body + R"(,"stream":true})").body)) {
    const auto index = chunk.at("choices").at(0).at("index").to_number<size_t>();
    texts[index] += chunk.at("choices").at(0).at("text").as_string();
    const json::value& scores = chunk.at("choices").at(0).at("logprobs");
    if (scores.is_object())
      for (const json::value& offset : scores.at("text_offset").as_array()) offsets[index].push_back(offset);
  }
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(whole.at("choices").at(i).at("text"), json::value(texts[i]));
    EXPECT_EQ(whole.at("choices").at(i).at("logprobs").at("text_offset"), json::value(offsets[i]));
  }
}

TEST(Contract, ContinuousUsageGrows) {
  World world;
  const Reply reply =
      world.post("/v1/completions", R"({"prompt":[1,2,3],"max_tokens":5,"ignore_eos":true,"stream":true,)"
                                    R"("stream_options":{"continuous_usage_stats":true}})");
  int last = 0;
  for (const json::value& chunk : chunks(reply.body)) {
    EXPECT_EQ(chunk.at("usage").at("prompt_tokens").to_number<int>(), 3);
    EXPECT_GE(chunk.at("usage").at("completion_tokens").to_number<int>(), last);
    last = chunk.at("usage").at("completion_tokens").to_number<int>();
  }
  EXPECT_EQ(last, 5);
}

TEST(Contract, AStreamsLastChunkOfAChoiceHasTheTimings) {
  World world;
  const auto all =
      chunks(world.post("/v1/completions", R"({"prompt":"x","max_tokens":3,"stream":true,"ignore_eos":true})").body);
  for (size_t i = 0; i < all.size(); i++) EXPECT_EQ(all[i].as_object().contains("timings"), i + 1 == all.size());
}

TEST(Contract, TextIsNeverCutInsideACharacter) {
  World world;
  // The bytes of a euro sign and of an emoji in turn, by force of bias on bytes that no other text has.
  const Reply reply = world.post("/v1/completions", R"({"prompt":"x","max_tokens":60,"stream":true,"ignore_eos":true,)"
                                                    R"("logit_bias":{"226":50,"130":50,"172":50},"temperature":2})");
  for (const json::value& chunk : chunks(reply.body))
    EXPECT_TRUE(json::parse(json::serialize(chunk)) == chunk) << "ill-formed UTF-8 would not parse again";
}

TEST(Contract, EachRoleHasWhatItNeeds) {
  World world;
  const std::pair<std::string, std::string> refused[] = {
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":null}])", "messages[0].content"},
      {R"([{"role":"system","content":null}])", "messages[0].content"},
      {R"([{"role":"assistant"}])", "messages[0].content"},
      {R"([{"role":"assistant","content":null,"tool_calls":[]}])", "messages[0].content"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].tool_call_id"},
      {R"([{"role":"tool","tool_call_id":"a"}])", "messages[0].content"},
      {R"([{"role":"function","content":"x"}])", "messages[0].name"},
      {R"([{"role":"user","content":"x","tool_calls":[{"function":{"name":"f"}}]}])", "messages[0].tool_calls"},
      {R"([{"role":"assistant","tool_calls":[{"type":"custom","function":{"name":"f"}}]}])",
       "messages[0].tool_calls[0].type"},
      {R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":5}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}])", "messages[0].content[0]"},
      {R"([{"role":"user","content":[5]}])", "messages[0].content[0]"},
      {R"([{"role":5,"content":"x"}])", "messages[0].role"},
      {R"([{"role":"user","content":"x","name":5}])", "messages[0].name"},
      {R"([5])", "messages[0]"},
  };
  for (const auto& [messages, param] : refused) {
    const Reply reply = chat(world, messages);
    ASSERT_EQ(reply.status, 400) << messages << reply.body;
    EXPECT_TRUE(reply.error("param").starts_with(param)) << messages << reply.body;
  }
  const char* taken[] = {
      R"([{"role":"user","content":""}])",
      R"([{"role":"user","content":[]}])",
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])",
      R"([{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{broken"}}]}])",
      R"([{"role":"assistant","content":null,"refusal":"no"},{"role":"user","content":"x"}])",
      R"([{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},{"role":"user","content":"x"}])",
      R"([{"role":"assistant","function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"}])",
      R"([{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"x"}]}])",
  };
  for (const char* messages : taken) EXPECT_EQ(chat(world, messages).status, 200) << messages;
}

TEST(Contract, OldFunctionsBecomeTools) {
  World world;
  EXPECT_EQ(prompt(world, R"([{"role":"assistant","function_call":{"name":"f","arguments":"{}"}},)"
                          R"({"role":"function","name":"f","content":"1"}])"),
            "<s>assistant: \n<s>tool: 1\nassistant: ");
  EXPECT_EQ(chat(world, R"([{"role":"user","content":"x"}])",
                 R"(,"functions":[{"name":"f"}],"tools":[)"
                 R"({"type":"function","function":{"name":"f"}}])")
                .error("param"),
            "functions");
}

TEST(Contract, AFinalMessageCanBeContinued) {
  World world;
  const std::string messages = R"([{"role":"user","content":"x"},{"role":"assistant","content":"The answer"}])";
  EXPECT_EQ(prompt(world, messages, R"(,"continue_final_message":true)"), "<s>user: x\n<s>assistant: The answer");
  for (const char* rest : {R"(,"continue_final_message":true,"add_generation_prompt":true)"})
    EXPECT_EQ(chat(world, messages, rest).error("param"), "continue_final_message");
  EXPECT_EQ(chat(world, R"([{"role":"user","content":"x"}])", R"(,"continue_final_message":true)").status, 400);
  EXPECT_EQ(chat(world, R"([{"role":"assistant","content":""}])", R"(,"continue_final_message":true)").status, 400);
}

TEST(Contract, ATooLongConversationSaysWhichMessage) {
  World world({.engine = {.blocks = 16}});
  const Reply reply =
      chat(world, R"([{"role":"user","content":"ab"},{"role":"user","content":")" + std::string(5000, 'x') + R"("}])");
  ASSERT_EQ(reply.status, 400);
  EXPECT_EQ(reply.error("code"), "context_length_exceeded");
  EXPECT_NE(reply.error("message").find("messages[1] with 5000 tokens"), std::string::npos) << reply.body;
  EXPECT_EQ(reply.json().at("error").at("tokens_per_message"), json::value({2, 5000}));
}

TEST(Contract, EmbeddingsAreOfLengthOneInEitherFormat) {
  World world;
  for (const char* pooling : {"mean", "last"}) {
    const std::string rest = std::string(R"(,"pooling":")") + pooling + "\"}";
    const Reply reply = world.post("/v1/embeddings", R"({"input":["hello","b"])" + rest);
    ASSERT_EQ(reply.status, 200) << reply.body;
    const json::value answer = reply.json();
    ASSERT_EQ(answer.at("data").as_array().size(), 2u);
    EXPECT_EQ(answer.at("data").at(1).at("index"), 1);
    double sum = 0;
    for (const json::value& value : answer.at("data").at(0).at("embedding").as_array())
      sum += std::pow(value.to_number<double>(), 2);
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_EQ(answer.at("usage").at("prompt_tokens"), answer.at("usage").at("total_tokens"));
  }
  // HashModel's state is one number, positive here: 1.0f is 00 00 80 3f.
  const json::value coded = world.post("/v1/embeddings", R"({"input":[5,6],"encoding_format":"base64"})").json();
  EXPECT_EQ(coded.at("data").at(0).at("embedding"), "AACAPw==");
  EXPECT_EQ(world.post("/v1/embeddings", R"({"input":[5],"dimensions":1})").status, 200);
  const Reply wide = world.post("/v1/embeddings", R"({"input":[5],"dimensions":2})");
  EXPECT_EQ(wide.status, 400);
  EXPECT_EQ(wide.error("param"), "dimensions");
}

TEST(Contract, BadEmbeddingInputsAreRefusedByPlace) {
  World world;
  const std::pair<const char*, const char*> rows[] = {{"[-1]", "input[0]"}, {"[300]", "input[0]"}, {"[]", "input"},
                                                      {"[[]]", "input[0]"}, {"\"\"", "input"},     {"null", "input"},
                                                      {"{}", "input"},      {"[[[1]]]", "input"},  {"5", "input"}};
  for (const auto& [value, param] : rows) {
    const Reply reply = world.post("/v1/embeddings", std::string("{\"input\":") + value + "}");
    ASSERT_EQ(reply.status, 400) << value << reply.body;
    EXPECT_TRUE(reply.error("param").starts_with(param)) << value << reply.body;
  }
  EXPECT_EQ(world.post("/v1/embeddings", R"({"input":"x","pooling":"max"})").error("param"), "pooling");
  EXPECT_EQ(world.post("/v1/embeddings", R"({"input":"x","encoding_format":"hex"})").error("param"), "encoding_format");
}

TEST(Contract, TheDocumentHasEveryRouteAndEveryField) {
  World world;
  const json::value document = world.get("/openapi.json").json();
  EXPECT_EQ(document.at("openapi"), "3.1.0");
  for (const Route& route : routes()) {
    std::string path(route.path);
    if (path.ends_with('*')) path.replace(path.size() - 1, 1, "{id}");
    EXPECT_TRUE(document.at("paths").as_object().contains(path)) << path;
  }
  size_t listed = 0, in_tables = 0;
  for (const char* body : {"Chat", "Completion", "Embedding", "Tokenize", "Detokenize"})
    listed +=
        document.at("components").at("schemas").at(std::string(body) + "Request").at("properties").as_object().size();
  for (const Field& field : fields())
    for (unsigned bit = 1; bit < 32; bit *= 2) in_tables += (field.bodies & bit) ? 1 : 0;
  EXPECT_EQ(listed, in_tables);
}

TEST(Contract, TheTablesInTheDocsAreThoseOfTheCode) {
  const auto path = test::data_path("").parent_path() / ".." / ".." / "docs" / "api.md";
  std::stringstream file;
  file << std::ifstream(path).rdbuf();
  std::string page = file.str();
  const std::string begin = "<!-- fields: made by the test below -->\n", end = "<!-- end of fields -->";
  const size_t from = page.find(begin) + begin.size(), to = page.find(end);
  ASSERT_TRUE(to != std::string::npos && from <= to) << path;
  const std::string wanted = fields_markdown(ServerLimits());
  if (std::getenv("LANCET_UPDATE_DOCS")) {
    page.replace(from, to - from, wanted);
    std::ofstream(path) << page;
    return;
  }
  EXPECT_TRUE(page.substr(from, to - from) == wanted)
      << "docs/api.md differs from src/server/field_table.cpp; to renew it:\n"
         "LANCET_UPDATE_DOCS=1 build/tests/test_server --gtest_filter=Contract.TheTablesInTheDocs*";
}

}  // namespace
}  // namespace lancet
