// What requests mean and what answers look like: shapes, errors, fields, streams; and that company changes nothing.
#include <thread>

#include "world.h"

namespace lancet {
namespace {

using test::HttpClient;
using test::Reply;
using test::World;
namespace json = boost::json;

std::string chat(std::string_view rest) {
  return R"({"model":"any","messages":[{"role":"user","content":"hi"}])" + std::string(rest) + "}";
}

std::vector<json::value> events(const std::string& body, bool done = true) {
  std::vector<json::value> out;
  size_t at = 0;
  bool saw_done = false;
  while (at < body.size()) {
    const size_t end = body.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << "an event without its blank line";
    const std::string line = body.substr(at, end - at);
    at = end + 2;
    if (line == ": ping") continue;
    EXPECT_TRUE(line.starts_with("data: ")) << line;
    EXPECT_FALSE(saw_done);
    if (line == "data: [DONE]")
      saw_done = true;
    else
      out.push_back(json::parse(line.substr(6)));
  }
  EXPECT_EQ(saw_done, done);
  return out;
}

TEST(Api, AChatAnswerHasTheContractsShape) {
  World world;
  Reply reply = world.post("/v1/chat/completions", chat(R"(,"max_tokens":8,"seed":3,"ignore_eos":true)"));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json::object object = reply.json().as_object();
  std::string keys;
  for (const auto& [key, value] : object) keys += std::string(key) + " ";
  EXPECT_EQ(keys, "id object created model system_fingerprint choices usage timings ");
  EXPECT_TRUE(object.at("id").as_string().starts_with("chatcmpl-"));
  EXPECT_EQ(object.at("object"), "chat.completion");
  EXPECT_EQ(object.at("model"), "test/hash-model");
  EXPECT_EQ(reply.fields["x-model-resolved"], "test/hash-model");
  const json::object choice = object.at("choices").at(0).as_object();
  EXPECT_EQ(choice.at("finish_reason"), "length");
  EXPECT_TRUE(choice.at("logprobs").is_null());
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  EXPECT_TRUE(choice.at("message").at("content").is_string());
  EXPECT_EQ(object.at("usage").at("completion_tokens").to_number<int>(), 8);
  EXPECT_EQ(object.at("usage").at("prompt_tokens").to_number<int>(), 21);
  EXPECT_EQ(object.at("usage").at("total_tokens").to_number<int>(), 29);
}

TEST(Api, AStreamSaysTheSameAsTheWholeAnswer) {
  World world;
  for (const char* path : {"/v1/chat/completions", "/v1/completions"}) {
    const bool is_chat = std::string_view(path).find("chat") != std::string_view::npos;
    const std::string rest = R"(,"max_tokens":40,"seed":5,"ignore_eos":true)";
    const auto body = [&](const std::string& more) {
      return is_chat ? chat(rest + more) : R"({"prompt":"hi")" + rest + more + "}";
    };
    const json::value whole = world.post(path, body("")).json();
    Reply reply = world.post(path, body(R"(,"stream":true,"stream_options":{"include_usage":true})"));
    EXPECT_EQ(reply.fields["content-type"], "text/event-stream");
    const auto chunks = events(reply.body);
    ASSERT_GE(chunks.size(), 3u);
    std::string text;
    for (size_t i = 0; i + 1 < chunks.size(); i++) {
      EXPECT_EQ(chunks[i].at("id"), chunks[0].at("id"));
      EXPECT_TRUE(chunks[i].at("usage").is_null());
      const json::value& choice = chunks[i].at("choices").at(0);
      if (!is_chat) {
        text += choice.at("text").as_string();
        continue;
      }
      const json::object& delta = choice.at("delta").as_object();
      EXPECT_EQ(delta.contains("role"), i == 0);
      if (delta.contains("content")) text += delta.at("content").as_string();
    }
    EXPECT_EQ(chunks[chunks.size() - 2].at("choices").at(0).at("finish_reason"), "length");
    EXPECT_TRUE(chunks.back().at("choices").as_array().empty());
    EXPECT_EQ(chunks.back().at("usage").at("completion_tokens").to_number<int>(), 40);
    const json::value& choice = whole.at("choices").at(0);
    EXPECT_EQ(text, is_chat ? choice.at("message").at("content").as_string() : choice.at("text").as_string());
  }
}

TEST(Api, AnswersDoNotDependOnCompany) {
  World world;
  const auto body = [](int i) {
    return chat(R"(,"max_tokens":60,"ignore_eos":true,"temperature":1.5,"seed":)" + std::to_string(i));
  };
  const auto text = [](const Reply& reply) {
    return std::string(reply.json().at("choices").at(0).at("message").at("content").as_string());
  };
  std::vector<std::string> alone, together(8);
  for (int i = 0; i < 8; i++) alone.push_back(text(world.post("/v1/chat/completions", body(i))));
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 8; i++)
      clients.emplace_back(
          [&, i] { together[static_cast<size_t>(i)] = text(world.post("/v1/chat/completions", body(i))); });
  }
  EXPECT_EQ(alone, together);
  const json::value several =
      world.post("/v1/chat/completions", chat(R"(,"max_tokens":60,"ignore_eos":true,"temperature":1.5,"seed":2,"n":3)"))
          .json();
  for (size_t i = 0; i < 3; i++)
    EXPECT_EQ(several.at("choices").at(i).at("message").at("content"), json::value(alone[i + 2]))
        << "choice i is seed + i";
}

TEST(Api, StopStringsEndTheAnswerBeforeThem) {
  World world;
  const std::string rest = R"(,"max_tokens":60,"ignore_eos":true,"seed":7)";
  const json::value free = world.post("/v1/completions", R"({"prompt":[1,2,3])" + rest + "}").json();
  const std::string text(free.at("choices").at(0).at("text").as_string());
  size_t at = text.size() / 2;
  while (at < text.size() && static_cast<unsigned char>(text[at]) >= 0x80) at++;
  ASSERT_LT(at, text.size());
  const std::string stop(1, text[at]);
  const json::object body{
      {"prompt", {1, 2, 3}}, {"max_tokens", 60}, {"ignore_eos", true}, {"seed", 7}, {"stop", {stop}}};
  const json::value choice = world.post("/v1/completions", json::serialize(body)).json().at("choices").at(0);
  EXPECT_EQ(choice.at("text"), json::value(text.substr(0, text.find(stop))));
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(choice.at("stop_reason"), json::value(stop));
}

TEST(Api, LogprobsNameTokensWithTheirBytes) {
  World world;
  const Reply reply = world.post(
      "/v1/chat/completions", chat(R"(,"max_tokens":4,"seed":1,"ignore_eos":true,"logprobs":true,"top_logprobs":2)"));
  const json::array content = reply.json().at("choices").at(0).at("logprobs").at("content").as_array();
  ASSERT_EQ(content.size(), 4u) << reply.body;
  for (const json::value& entry : content) {
    EXPECT_LE(entry.at("logprob").to_number<double>(), 0);
    EXPECT_TRUE(entry.at("bytes").is_array());
    EXPECT_EQ(entry.at("top_logprobs").as_array().size(), 2u);
  }
}

TEST(Api, BadFieldsAreRefusedByName) {
  World world;
  struct Row {
    std::string rest, param, code;
  };
  const Row rows[] = {
      {R"("temperature":-1)", "temperature", "null"},
      {R"("temperature":1e309)", "temperature", "null"},
      {R"("temperature":NaN)", "null", "invalid_json"},
      {R"("temperature":"hot")", "temperature", "null"},
      {R"("top_p":1.1)", "top_p", "null"},
      {R"("top_k":-2)", "top_k", "null"},
      {R"("min_p":-0.1)", "min_p", "null"},
      {R"("seed":9223372036854775808)", "seed", "null"},
      {R"("max_tokens":0)", "max_tokens", "null"},
      {R"("max_tokens":-1)", "max_tokens", "null"},
      {R"("max_tokens":1.5)", "max_tokens", "null"},
      {R"("max_tokens":1099511627776)", "max_tokens", "null"},
      {R"("max_completion_tokens":[])", "max_completion_tokens", "null"},
      {R"("n":0)", "n", "null"},
      {R"("n":17)", "n", "null"},
      {R"("stop":5)", "stop", "null"},
      {R"("stop":["a",5])", "stop[1]", "null"},
      {R"("stop":[""])", "stop[0]", "null"},
      {R"("stop":")" + std::string(257, 's') + "\"", "stop", "null"},
      {R"("top_logprobs":3)", "top_logprobs", "null"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs", "null"},
      {R"("stream":"yes")", "stream", "null"},
      {R"("response_format":{"type":"xml"})", "response_format.type", "null"},
      {R"("tool_choice":"required")", "tool_choice", "null"},
      {R"("chat_template":"x")", "chat_template", "unsupported_value"},
      {R"("tools":[{"type":"custom"}])", "tools[0].type", "null"},
      {R"("temperature":1,"temperature":1)", "null", "invalid_json"},
      {R"("max_tokens":100000)", "messages", "context_length_exceeded"},
  };
  for (const Row& row : rows) {
    const Reply reply = world.post("/v1/chat/completions", chat("," + row.rest));
    ASSERT_EQ(reply.status, 400) << row.rest << reply.body;
    EXPECT_EQ(reply.error("param"), row.param) << row.rest << reply.body;
    EXPECT_EQ(reply.error("code"), row.code) << row.rest << reply.body;
    EXPECT_EQ(reply.error("type"), "invalid_request_error");
  }
}

TEST(Api, BadMessagesAndPromptsAreRefusedByPlace) {
  World world;
  const std::pair<std::string, std::string> messages[] = {
      {"[]", "messages"},
      {"5", "messages"},
      {R"([{"content":"x"}])", "messages[0].role"},
      {R"([{"role":"king","content":"x"}])", "messages[0].role"},
      {R"([{"role":"user","content":5}])", "messages[0].content"},
      {R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])", "messages[0].content[0]"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text"},
      {R"([{"role":"assistant","tool_calls":[{"id":"a"}]}])", "messages[0].tool_calls[0].function"},
  };
  for (const auto& [value, param] : messages) {
    const Reply reply = world.post("/v1/chat/completions", "{\"messages\":" + value + "}");
    ASSERT_EQ(reply.status, 400) << value;
    EXPECT_EQ(reply.error("param"), param) << reply.body;
  }
  const std::pair<std::string, std::string> prompts[] = {
      {"[-1]", "prompt[0]"}, {"[300]", "prompt[0]"},      {"[]", "prompt"},
      {"[[]]", "prompt[0]"}, {"[[[1]]]", "prompt[0][0]"}, {"null", "prompt"},
      {"{}", "prompt"},      {R"(["a",5])", "prompt[1]"}, {"\"\"", "prompt"}};
  for (const auto& [value, param] : prompts) {
    const Reply reply = world.post("/v1/completions", "{\"prompt\":" + value + "}");
    ASSERT_EQ(reply.status, 400) << value << reply.body;
    EXPECT_EQ(reply.error("param"), param) << value << reply.body;
  }
  for (const std::string& body : {std::string(), std::string("{"), std::string("[]"), std::string("{\"a\":1,}"),
                                  std::string(100'000, '['), std::string("\xef\xbb\xbf{}")})
    EXPECT_EQ(world.post("/v1/completions", body).status, 400) << body.substr(0, 50);
}

TEST(Api, UnknownFieldsAreServedAndNamed) {
  World world;
  Reply reply =
      world.post("/v1/chat/completions",
                 chat(R"(,"max_tokens":1.0,"user":"me","store":true,"temperature":null,"shiny":1,"a\r\nb":2)"));
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.fields["x-ignored-params"], "shiny, a%0D%0Ab");
  EXPECT_FALSE(world.post("/v1/chat/completions", chat(R"(,"max_tokens":1)")).fields.contains("x-ignored-params"));
}

TEST(Api, AFullQueueIs429AndFailuresKeepTheirStatus) {
  World world({.engine = {.blocks = 64, .max_sequences = 1, .max_waiting = 1}, .gated = true});
  const std::string body = R"({"prompt":"abc","max_tokens":4,"ignore_eos":true})";
  HttpClient first(world.port()), second(world.port());
  first.send(HttpClient::post("/v1/completions", body));
  world.gate.wait_entered(1);
  Reply reply;
  std::vector<std::unique_ptr<HttpClient>> more;
  const Reply refused = world.post("/v1/completions", R"({"prompt":"abc","max_tokens":4,"n":9})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.error("code"), "queue_full");
  EXPECT_EQ(refused.fields.at("retry-after"), "1");
  world.gate.open();
  EXPECT_EQ(first.read_reply().status, 200);
}

TEST(Api, AFaultInAStepIsThatRequestsError) {
  World world({.before_step = [](int, const Batch& batch) {
    for (const TokenId token : batch.tokens)
      if (token == 99) throw Error(Fault::internal, "injected");
  }});
  EXPECT_EQ(world.post("/v1/completions", R"({"prompt":[99]})").status, 500);
  Reply reply = world.post("/v1/completions", R"({"prompt":[99],"stream":true})");
  EXPECT_EQ(reply.status, 500) << "nothing was sent yet: a proper status";
  EXPECT_EQ(reply.error("type"), "server_error");
}

TEST(Api, TextRoutesShowWhatAPromptBecomes) {
  World world;
  EXPECT_EQ(world.post("/tokenize", R"({"content":"a<s>"})").json().at("tokens"), json::value({97, 60, 115, 62}));
  EXPECT_EQ(world.post("/tokenize", R"({"prompt":"a<s>","parse_special":true})").json().at("tokens"),
            json::value({97, 256}));
  EXPECT_EQ(world.post("/tokenize", R"({"content":"a","with_pieces":true})").json().at("tokens").at(0).at("piece"),
            "a");
  EXPECT_EQ(world.post("/detokenize", R"({"tokens":[256,104,105]})").json().at("content"), "hi");
  EXPECT_EQ(world.post("/detokenize", R"({"tokens":[300]})").error("param"), "tokens[0]");
  const json::value applied = world.post("/apply-template", chat("")).json();
  EXPECT_EQ(applied.at("prompt"), "<s>user: hi\nassistant: ");
  EXPECT_EQ(applied.at("tokens").to_number<int>(), 21);
  Reply noted = world.post("/apply-template", R"({"messages":[{"role":"developer","content":"x"}]})");
  EXPECT_FALSE(noted.json().at("notes").as_array().empty());
  EXPECT_TRUE(noted.fields.contains("x-prompt-notes"));
}

TEST(Api, ModelsListTheOneModel) {
  World world;
  EXPECT_EQ(world.get("/v1/models").json().at("data").at(0).at("id"), "test/hash-model");
  EXPECT_EQ(world.get("/v1/models/test/hash-model").status, 200);
  EXPECT_EQ(world.get("/v1/models/test%2Fhash-model").status, 200);
  EXPECT_EQ(world.get("/v1/models/../../etc").error("code"), "model_not_found");
}

}  // namespace
}  // namespace lancet
