// The table of fields. Sources: openai-openapi (CreateChatCompletionRequest, CreateCompletionRequest,
// CreateEmbeddingRequest) and the extensions that clients of llama.cpp and vLLM send.
#include <cstdint>

#include "server/fields.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr unsigned kChat = 1, kCompletion = 2, kBoth = 3, kEmbedding = 4, kTokenize = 8, kDetokenize = 16;
constexpr unsigned kModels = kBoth | kEmbedding, kAll = 31;
constexpr double kInt = INT32_MAX;

constexpr Neutral kZero{[](const json::value& v) { return v.is_number() && v.to_number<double>() == 0; }, "0",
                        R"({"enum":[0,null]})"};
constexpr Neutral kOne{[](const json::value& v) { return v.is_number() && v.to_number<double>() == 1; }, "1",
                       R"({"enum":[1,null]})"};
constexpr Neutral kNo{[](const json::value& v) { return v.is_bool() && !v.get_bool(); }, "false",
                      R"({"enum":[false,null]})"};
constexpr Neutral kYes{[](const json::value& v) { return v.is_bool() && v.get_bool(); }, "true",
                       R"({"enum":[true,null]})"};
constexpr Neutral kNull{[](const json::value&) { return false; }, "null", R"({"type":"null"})"};
constexpr Neutral kEmpty{[](const json::value& v) {
                           return (v.is_object() && v.get_object().empty()) ||
                                  (v.is_array() && v.get_array().empty()) || (v.is_string() && v.get_string().empty());
                         },
                         "nothing (empty)", R"({"enum":["",[],{},null]})"};
constexpr Neutral kTextOnly{[](const json::value& v) {
                              return v.is_array() && v.get_array().size() == 1 &&
                                     v.get_array()[0] == json::value("text");
                            },
                            R"(["text"])", R"({"enum":[["text"],null]})"};

constexpr Field flag(std::string_view name, unsigned in, std::string_view standard, std::string_view meaning) {
  return {.name = name, .bodies = in, .kind = FieldKind::boolean, .standard = standard, .meaning = meaning};
}
constexpr Field whole(std::string_view name, unsigned in, double low, double high, std::string_view standard,
                      std::string_view meaning) {
  return {.name = name,
          .bodies = in,
          .kind = FieldKind::integer,
          .low = low,
          .high = high,
          .standard = standard,
          .meaning = meaning};
}
constexpr Field number(std::string_view name, unsigned in, double low, double high, std::string_view standard,
                       std::string_view meaning) {
  return {.name = name,
          .bodies = in,
          .kind = FieldKind::number,
          .low = low,
          .high = high,
          .standard = standard,
          .meaning = meaning};
}
constexpr Field text(std::string_view name, unsigned in, std::string_view standard, std::string_view meaning,
                     size_t ServerLimits::*most = nullptr) {
  return {
      .name = name, .bodies = in, .kind = FieldKind::string, .most = most, .standard = standard, .meaning = meaning};
}
constexpr Field other(std::string_view name, unsigned in, std::string_view schema, std::string_view standard,
                      std::string_view meaning, size_t ServerLimits::*most = nullptr) {
  return {.name = name, .bodies = in, .most = most, .schema = schema, .standard = standard, .meaning = meaning};
}
constexpr Field limited(Field field, int ServerLimits::*high) {
  field.high_limit = high;
  return field;
}
constexpr Field required(Field field) {
  field.required = true;
  return field;
}
constexpr Field harmless(std::string_view name, unsigned in) {
  return {
      .name = name, .bodies = in, .use = FieldUse::harmless, .meaning = "accepted; the answer does not depend on it"};
}
constexpr Field refused(std::string_view name, unsigned in, const Neutral& neutral) {
  return {.name = name,
          .bodies = in,
          .use = FieldUse::refused,
          .standard = neutral.words,
          .meaning = "not supported: 400 `unsupported_value` unless it asks for nothing",
          .neutral = &neutral};
}

constexpr std::string_view kPromptSchema =
    R"({"oneOf":[{"type":"string","minLength":1},
        {"type":"array","minItems":1,"items":{"type":"integer","minimum":0}},
        {"type":"array","minItems":1,"items":{"type":"string","minLength":1}},
        {"type":"array","minItems":1,"items":{"type":"array","minItems":1,"items":{"type":"integer","minimum":0}}}]})";

constexpr std::string_view kChoiceSchema = R"({"type":"array","items":{"type":"string","minLength":1}})";
constexpr std::string_view kSchemaSchema = R"({"anyOf":[{"type":"object"},{"type":"string"}]})";

constexpr Field kFields[] = {
    text("model", kAll, "", "any name: the one model serves it; the answer's `model` and `x-model-resolved` say which"),
    required(other("messages", kChat,
                   R"({"type":"array","minItems":1,"items":{"$ref":"#/components/schemas/Message"}})", "",
                   "the conversation; see Messages", &ServerLimits::messages)),
    required(other("prompt", kCompletion, kPromptSchema, "",
                   "a string, an array of strings, an array of token ids, or an array of these: at most 64 prompts and "
                   "64 answers (prompts x n)")),
    required(other("input", kEmbedding, kPromptSchema, "", "as a completion's `prompt`")),
    // Length and end.
    whole("max_tokens", kChat, 1, kInt, "what fits the context, at most 16384",
          "tokens to generate; with the prompt they must fit the context"),
    whole("max_tokens", kCompletion, 0, kInt, "16",
          "tokens to generate; with the prompt they must fit the context; 0 only with `echo`"),
    whole("max_completion_tokens", kChat, 1, kInt, "`max_tokens`", "the newer name; wins over `max_tokens`"),
    whole("min_tokens", kBoth, 0, kInt, "0",
          "until then nothing ends the answer but a grammar that allows no more; at most `max_tokens`"),
    other("stop", kBoth, R"({"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string","minLength":1}}]})",
          "none",
          "a string, or several, that end the answer before them; 1 to 256 bytes each, a lone \"\" stops nothing",
          &ServerLimits::stop_strings),
    other("stop_token_ids", kBoth, R"({"type":"array","items":{"type":"integer","minimum":0}})", "none",
          "token ids that end the answer as the model's own end tokens do", &ServerLimits::stop_tokens),
    flag("include_stop_str_in_output", kBoth, "false", "the stop string that was met stays in the text"),
    flag("ignore_eos", kBoth, "false", "the model's end tokens do not end the answer"),
    other("repetition_detection", kBoth, R"({"$ref":"#/components/schemas/RepetitionDetection"})", "off",
          "ends an answer that repeats a pattern of `min_pattern_size` to `max_pattern_size` tokens `min_count` times; "
          "`stop_reason` is then \"repetition\""),
    // Choice of tokens.
    number("temperature", kBoth, 0, 2, "1", "0 takes the likeliest token"),
    number("top_p", kBoth, 0, 1, "1", "the likeliest tokens whose probabilities reach this sum; 0 keeps one"),
    whole("top_k", kBoth, -1, kInt, "0", "the k likeliest tokens; -1 and 0: all"),
    number("min_p", kBoth, 0, 1, "0", "tokens at least this fraction as likely as the likeliest"),
    number("typical_p", kBoth, 0, 1, "1", "locally typical tokens up to this sum of probability; 1: off"),
    number("top_n_sigma", kBoth, -1, 1000, "-1",
           "tokens whose logits are at most so many standard deviations below the highest; 0 and less: off"),
    number("xtc_probability", kBoth, 0, 1, "0", "chance, at each token, that the likeliest ones are excluded"),
    number("xtc_threshold", kBoth, 0, 1, "0.1", "... all but the last that are at least this likely; above 0.5: off"),
    number("presence_penalty", kBoth, -2, 2, "0", "subtracted from the logits of tokens that were generated"),
    number("frequency_penalty", kBoth, -2, 2, "0", "... once for each time"),
    number("repetition_penalty", kBoth, 0.01, 100, "1",
           "divides positive logits of tokens of prompt and answer, multiplies negative ones"),
    number("repeat_penalty", kBoth, 0.01, 100, "1", "llama.cpp's name of `repetition_penalty`, which wins"),
    whole("repeat_last_n", kBoth, -1, kInt, "-1", "tokens that the three penalties look back upon; -1: all"),
    number("dry_multiplier", kBoth, 0, 100, "0", "strength of the DRY penalty on prolonged repetitions; 0: off"),
    number("dry_base", kBoth, 1, 100, "1.75", "its growth with each repeated token"),
    whole("dry_allowed_length", kBoth, 1, kInt, "2", "repetitions up to this length are free"),
    whole("dry_penalty_last_n", kBoth, -1, kInt, "-1", "tokens it looks back upon; -1: all"),
    other("dry_sequence_breakers", kBoth, R"({"type":"array","items":{"type":"string","minLength":1}})",
          "`\"\\n\"`, `\":\"`, `\"\\\"\"`, `\"*\"`", "texts that no repetition reaches across; 1 to 64 bytes each",
          &ServerLimits::dry_breakers),
    other("logit_bias", kBoth,
          R"({"type":"object","propertyNames":{"pattern":"^(0|[1-9][0-9]*)$"},)"
          R"("additionalProperties":{"type":"number","minimum":-100,"maximum":100}})",
          "none", "token id -> number from -100 to 100 that is added to its logit", &ServerLimits::logit_bias),
    whole("seed", kBoth, -9223372036854775808.0, 9223372036854775808.0, "random",
          "the same seed gives the same answer, whatever else runs; -1 is a seed like others"),
    limited(whole("n", kBoth, 1, 0, "1", "answers a prompt; answer i is what `seed + i` gives alone"),
            &ServerLimits::choices),
    flag("logprobs", kChat, "false", "log-probabilities of the chosen tokens"),
    limited(whole("top_logprobs", kChat, 0, 0, "0", "... and of the likeliest; needs `logprobs`"),
            &ServerLimits::top_logprobs),
    limited(
        whole("logprobs", kCompletion, 0, 0, "none", "log-probabilities of the chosen tokens and of so many likeliest"),
        &ServerLimits::top_logprobs),
    // Delivery.
    flag("stream", kBoth, "false", "server-sent events"),
    other("stream_options", kBoth, R"({"$ref":"#/components/schemas/StreamOptions"})", "none",
          "`include_usage`: one more chunk with the usage; `continuous_usage_stats`: every chunk has it so far; "
          "`include_obfuscation` is accepted"),
    flag("echo", kCompletion, "false",
         "the prompt comes before its continuation, with its log-probabilities if asked for"),
    whole("priority", kBoth | kEmbedding, -kInt, kInt, "0", "lower runs first"),
    text("cache_salt", kBoth | kEmbedding, "none", "only requests with the same salt share cached prompts",
         &ServerLimits::cache_salt_bytes),
    flag("strict_params", kAll, "the server's", "fields that are not known are refused instead of reported"),
    // Conversations.
    other("tools", kChat, R"({"type":"array","items":{"$ref":"#/components/schemas/Tool"}})", "none",
          "functions that the template shows to the model and that the answer may call; see Calls",
          &ServerLimits::tools),
    other("tool_choice", kChat, R"({"$ref":"#/components/schemas/ToolChoice"})", "`\"auto\"` with tools",
          "`\"none\"`, `\"auto\"`, `\"required\"`, `{\"type\": \"function\", \"function\": {\"name\"}}`, or "
          "`{\"type\": \"allowed_tools\", \"allowed_tools\": {\"mode\", \"tools\"}}`; each is kept, not tried"),
    flag("parallel_tool_calls", kChat, "true", "false: at most one call"),
    other("function_call", kChat, R"({"$ref":"#/components/schemas/FunctionChoice"})", "`\"auto\"` with functions",
          "the old form of `tool_choice`; not both"),
    other("dialect", kChat, R"({"enum":["none","scalpel"]})", "what the system prompt shows",
          "calls in the text, in a form that the prompt defines: docs/tools.md"),
    other("guards", kChat, R"({"enum":["annotate","refuse","off"]})", "annotate",
          "calls that repeat, change nothing, or copy a tool's result: docs/tools.md"),
    // What the text of the answer must be: at most one of these.
    other(
        "response_format", kBoth, R"({"$ref":"#/components/schemas/ResponseFormat"})", "text",
        "`{\"type\": \"json_object\"}`, or `{\"type\": \"json_schema\", \"json_schema\": {\"name\", \"schema\"}}`: the "
        "answer is JSON that the schema accepts"),
    text("grammar", kBoth, "none", "a grammar in llama.cpp's notation (GBNF)", &ServerLimits::grammar_bytes),
    text("lark", kBoth, "none", "a grammar in a subset of Lark's notation", &ServerLimits::grammar_bytes),
    text("regex", kBoth, "none", "a regular expression that the whole answer matches", &ServerLimits::grammar_bytes),
    other("choice", kBoth, kChoiceSchema, "none", "the answer is one of these texts", &ServerLimits::grammar_choices),
    other("json_schema", kBoth, kSchemaSchema, "none", "a schema; llama.cpp's name"),
    other("guided_json", kBoth, kSchemaSchema, "none", "a schema; vLLM's name"),
    text("guided_regex", kBoth, "none", "vLLM's name of `regex`", &ServerLimits::grammar_bytes),
    other("guided_choice", kBoth, kChoiceSchema, "none", "vLLM's name of `choice`", &ServerLimits::grammar_choices),
    text("guided_grammar", kBoth, "none", "vLLM's name of `grammar`", &ServerLimits::grammar_bytes),
    other("structured_outputs", kBoth, R"({"$ref":"#/components/schemas/StructuredOutputs"})", "none",
          "vLLM's: one of `json`, `regex`, `choice`, `grammar`, `json_object`"),
    other("functions", kChat, R"({"type":"array","items":{"$ref":"#/components/schemas/Function"}})", "none",
          "the old form of `tools`; not both", &ServerLimits::tools),
    other("reasoning_effort", kChat, R"({"enum":["none","minimal","low","medium","high","xhigh","max"]})", "none",
          "a variable of the template"),
    other("verbosity", kChat, R"({"enum":["low","medium","high"]})", "none", "a variable of the template"),
    other("chat_template_kwargs", kChat, R"({"type":"object"})", "none", "further variables of the template",
          &ServerLimits::template_variables),
    flag("add_generation_prompt", kChat, "true", "the prompt ends where the assistant begins to speak"),
    flag("continue_final_message", kChat, "false",
         "the last message is the assistant's and is continued; excludes `add_generation_prompt`"),
    flag("parse_special", kCompletion, "false", "the prompt may spell control tokens; text of chat messages never can"),
    flag("parse_special", kTokenize, "false", "the text may spell control tokens"),
    // Embeddings.
    other("encoding_format", kEmbedding, R"({"enum":["float","base64"]})", "float",
          "base64: of little-endian 32-bit floats"),
    whole("dimensions", kEmbedding, 1, kInt, "the model's width", "no other than the model's width"),
    other("pooling", kEmbedding, R"({"enum":["mean","last"]})", "mean",
          "the mean of the final states of all tokens, or the last one's; then scaled to length 1"),
    // Texts and tokens.
    text("content", kTokenize, "", "the text"),
    text("prompt", kTokenize, "", "the text, if there is no `content`"),
    flag("add_special", kTokenize, "false", "with the token that begins this model's prompts"),
    flag("add_special_tokens", kTokenize, "false", "vLLM's name of `add_special`, which wins"),
    flag("with_pieces", kTokenize, "false", "tokens as objects with their text"),
    required(
        other("tokens", kDetokenize, R"({"type":"array","items":{"type":"integer","minimum":0}})", "", "token ids")),
    flag("special", kDetokenize, "false", "control tokens are shown"),
    // Harmless.
    harmless("user", kModels),
    harmless("safety_identifier", kBoth),
    harmless("metadata", kBoth),
    harmless("store", kBoth),
    harmless("service_tier", kBoth),
    harmless("prompt_cache_key", kBoth),
    harmless("prompt_cache_retention", kBoth),
    harmless("prompt_cache_options", kBoth),
    harmless("prediction", kChat),
    harmless("cache_prompt", kBoth),
    harmless("keep_alive", kModels),
    // Understood, and refused when they ask for something.
    refused("modalities", kChat, kTextOnly),
    refused("audio", kChat, kNull),
    refused("web_search_options", kChat, kNull),
    refused("moderation", kBoth, kNull),
    refused("chat_template", kChat, kNull),
    refused("best_of", kCompletion, kOne),
    refused("suffix", kCompletion, kEmpty),
    refused("bad_words", kBoth, kEmpty),
    refused("allowed_token_ids", kBoth, kEmpty),
    refused("skip_special_tokens", kBoth, kYes),
    refused("use_beam_search", kBoth, kNo),
    refused("truncate_prompt_tokens", kModels, kNull),
    refused("prompt_logprobs", kBoth, kNull),
    refused("tfs_z", kBoth, kOne),
    refused("top_a", kBoth, kZero),
    refused("mirostat", kBoth, kZero),
    refused("dynatemp_range", kBoth, kZero),
};

}  // namespace

std::span<const Field> fields() { return kFields; }

}  // namespace lancet
