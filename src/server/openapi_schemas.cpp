// Shapes of messages and answers as JSON Schema 2020-12. Answers are closed (additionalProperties false), so that a
// test that validates real ones finds a key that is missing here.
#include "server/openapi.h"

namespace lancet {

const char* const kOpenapiSchemas = R"json({
"Message": {"type": "object", "required": ["role"], "properties": {
  "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
  "content": {"description": "required but for an assistant's message with tool_calls or a refusal",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/Part"}}, {"type": "null"}]},
  "refusal": {"type": ["string", "null"]},
  "name": {"type": ["string", "null"], "description": "required with the role function"},
  "tool_call_id": {"type": ["string", "null"], "description": "required with the role tool"},
  "tool_calls": {"anyOf": [{"type": "array", "items": {"$ref": "#/components/schemas/ToolCall"}}, {"type": "null"}]},
  "function_call": {"anyOf": [{"$ref": "#/components/schemas/FunctionCall"}, {"type": "null"}]}}},
"Part": {"type": "object", "required": ["type"], "properties": {
  "type": {"enum": ["text", "refusal"]}, "text": {"type": "string"}, "refusal": {"type": "string"}}},
"ToolCall": {"type": "object", "required": ["function"], "properties": {
  "id": {"type": ["string", "null"]}, "type": {"enum": ["function", null]},
  "function": {"$ref": "#/components/schemas/FunctionCall"}}},
"FunctionCall": {"type": "object", "required": ["name"], "properties": {
  "name": {"type": "string"},
  "arguments": {"type": ["string", "object", "null"], "description": "JSON text; an object is taken too"}}},
"Tool": {"type": "object", "required": ["type", "function"], "properties": {
  "type": {"const": "function"}, "function": {"$ref": "#/components/schemas/Function"}}},
"Function": {"type": "object", "required": ["name"], "properties": {
  "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}, "description": {"type": ["string", "null"]},
  "parameters": {"type": ["object", "null"], "description": "JSON Schema; absent: no arguments"},
  "strict": {"type": ["boolean", "null"],
    "description": "false: arguments may be any JSON object; else they are what the parameters say"}}},
"ToolChoice": {"anyOf": [{"enum": ["none", "auto", "required"]},
  {"type": "object", "required": ["type", "function"], "properties": {"type": {"const": "function"},
    "function": {"$ref": "#/components/schemas/FunctionName"}}},
  {"type": "object", "required": ["type", "allowed_tools"], "properties": {"type": {"const": "allowed_tools"},
    "allowed_tools": {"type": "object", "required": ["mode", "tools"], "properties": {
      "mode": {"enum": ["auto", "required"]},
      "tools": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["type", "function"],
        "properties": {"type": {"const": "function"}, "function": {"$ref": "#/components/schemas/FunctionName"}}}}}}}}]},
"FunctionChoice": {"anyOf": [{"enum": ["none", "auto"]}, {"$ref": "#/components/schemas/FunctionName"}]},
"FunctionName": {"type": "object", "required": ["name"], "properties": {
  "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}}},
"ResponseFormat": {"type": "object", "required": ["type"], "properties": {
  "type": {"enum": ["text", "json_object", "json_schema"]},
  "json_schema": {"type": "object", "description": "required with the type json_schema", "properties": {
    "name": {"type": ["string", "null"], "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "description": {"type": ["string", "null"]},
    "schema": {"type": ["object", "string", "null"], "description": "JSON Schema; absent: any object"},
    "strict": {"type": ["boolean", "null"], "description": "no difference: it is always kept"}}},
  "schema": {"type": ["object", "string", "null"], "description": "with the type json_object, as llama.cpp has it"}}},
"StructuredOutputs": {"type": "object", "additionalProperties": false, "properties": {
  "json": {"type": ["object", "string", "null"]}, "regex": {"type": ["string", "null"]},
  "choice": {"type": ["array", "null"], "items": {"type": "string", "minLength": 1}},
  "grammar": {"type": ["string", "null"]}, "json_object": {"type": ["boolean", "null"]}}},
"RepetitionDetection": {"type": "object", "required": ["max_pattern_size"], "properties": {
  "max_pattern_size": {"type": "integer", "minimum": 0, "maximum": 256, "description": "0: off"},
  "min_pattern_size": {"type": ["integer", "null"], "minimum": 0, "maximum": 256},
  "min_count": {"type": ["integer", "null"], "minimum": 2, "maximum": 1024, "description": "required unless off"}}},
"StreamOptions": {"type": "object", "properties": {
  "include_usage": {"type": ["boolean", "null"]}, "include_obfuscation": {"type": ["boolean", "null"]},
  "continuous_usage_stats": {"type": ["boolean", "null"]}}},

"Usage": {"type": "object", "additionalProperties": false,
  "required": ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"],
  "properties": {
    "prompt_tokens": {"type": "integer", "minimum": 0}, "completion_tokens": {"type": "integer", "minimum": 0},
    "total_tokens": {"type": "integer", "minimum": 0},
    "prompt_tokens_details": {"type": "object", "additionalProperties": false, "required": ["cached_tokens"],
      "properties": {"cached_tokens": {"type": "integer", "minimum": 0}}},
    "completion_tokens_details": {"type": "object", "additionalProperties": false,
      "required": ["reasoning_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"],
      "properties": {"reasoning_tokens": {"type": "integer"}, "accepted_prediction_tokens": {"type": "integer"},
        "rejected_prediction_tokens": {"type": "integer"}}}}},
"UsageSoFar": {"type": "object", "additionalProperties": false,
  "required": ["prompt_tokens", "completion_tokens", "total_tokens"], "properties": {
    "prompt_tokens": {"type": "integer"}, "completion_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}}},
"Timings": {"type": "object", "additionalProperties": false,
  "description": "of several answers: sums of tokens, the longest times",
  "required": ["prompt_n", "prompt_ms", "prompt_per_second", "predicted_n", "predicted_ms", "predicted_per_second",
    "cache_n", "queue_ms"],
  "properties": {
    "prompt_n": {"type": "integer", "minimum": 0, "description": "tokens read, without those from the cache"},
    "prompt_ms": {"type": "number", "minimum": 0}, "prompt_per_second": {"type": "number", "minimum": 0},
    "predicted_n": {"type": "integer", "minimum": 0}, "predicted_ms": {"type": "number", "minimum": 0},
    "predicted_per_second": {"type": "number", "minimum": 0}, "cache_n": {"type": "integer", "minimum": 0},
    "queue_ms": {"type": "number", "minimum": 0}}},
"ScoredToken": {"type": "object", "additionalProperties": false, "required": ["token", "logprob", "bytes"],
  "properties": {"token": {"type": "string"}, "logprob": {"type": "number", "maximum": 0},
    "bytes": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
    "top_logprobs": {"type": "array", "items": {"$ref": "#/components/schemas/ScoredToken"}}}},
"ChatLogprobs": {"type": ["object", "null"], "additionalProperties": false, "required": ["content", "refusal"],
  "properties": {"content": {"type": "array", "items": {"$ref": "#/components/schemas/ScoredToken"}},
    "refusal": {"type": "null"}}},
"CompletionLogprobs": {"type": ["object", "null"], "additionalProperties": false,
  "required": ["tokens", "token_logprobs", "top_logprobs", "text_offset"], "properties": {
    "tokens": {"type": "array", "items": {"type": "string"}},
    "token_logprobs": {"type": "array", "items": {"type": ["number", "null"]}},
    "top_logprobs": {"type": "array", "items": {"type": ["object", "null"], "additionalProperties": {"type": "number"}}},
    "text_offset": {"type": "array", "items": {"type": "integer", "minimum": 0}}}},
"MadeCall": {"type": "object", "additionalProperties": false, "required": ["id", "type", "function"], "properties": {
  "id": {"type": "string", "pattern": "^[A-Za-z0-9]{9}$"}, "type": {"const": "function"},
  "function": {"$ref": "#/components/schemas/MadeFunctionCall"}}},
"MadeFunctionCall": {"type": "object", "additionalProperties": false, "required": ["name", "arguments"], "properties": {
  "name": {"type": "string"}, "arguments": {"type": "string", "description": "JSON text"}}},
"CallDelta": {"type": "object", "additionalProperties": false, "required": ["index", "function"], "properties": {
  "index": {"type": "integer", "minimum": 0}, "id": {"type": "string", "pattern": "^[A-Za-z0-9]{9}$"},
  "type": {"const": "function"},
  "function": {"type": "object", "additionalProperties": false, "required": ["arguments"], "properties": {
    "name": {"type": "string"}, "arguments": {"type": "string"}}}}},
"Report": {"type": "object", "additionalProperties": false, "description": "what was out of the ordinary; absent: nothing",
  "properties": {
    "dialect": {"type": "object", "additionalProperties": false, "required": ["name", "inferred"], "properties": {
      "name": {"type": "string"}, "inferred": {"type": "boolean", "description": "from the system prompt"},
      "call": {"type": "string", "description": "the function that the content calls"},
      "bridged": {"type": "boolean", "description": "the model wrote the call in another form"},
      "quoted_blocks": {"type": "integer", "minimum": 1,
        "description": "blocks that the client would have executed, relabelled jsonc"}}},
    "guards": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Remark"}},
    "refused_calls": {"type": "integer", "minimum": 1},
    "warnings": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Remark"}},
    "closed_early": {"const": true, "description": "JSON or a call was closed so that it fits max_tokens"}}},
"Remark": {"type": "object", "additionalProperties": false, "required": ["code", "message"], "properties": {
  "code": {"type": "string"}, "message": {"type": "string"}}},
"FinishReason": {"enum": ["stop", "length", "tool_calls", "content_filter", "function_call"]},
"StopReason": {"type": ["string", "integer"],
  "description": "the stop string or stop token id that was met, or repetition; absent if nothing of that kind ended it"},
"ChatCompletion": {"type": "object", "additionalProperties": false,
  "required": ["id", "object", "created", "model", "system_fingerprint", "choices", "usage", "timings"], "properties": {
    "id": {"type": "string", "pattern": "^chatcmpl-"}, "object": {"const": "chat.completion"},
    "created": {"type": "integer"}, "model": {"type": "string"}, "system_fingerprint": {"type": "string"},
    "choices": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/ChatChoice"}},
    "usage": {"$ref": "#/components/schemas/Usage"}, "timings": {"$ref": "#/components/schemas/Timings"}}},
"ChatChoice": {"type": "object", "additionalProperties": false,
  "required": ["index", "message", "logprobs", "finish_reason"], "properties": {
    "index": {"type": "integer", "minimum": 0},
    "message": {"type": "object", "additionalProperties": false, "required": ["role", "content", "refusal"],
      "properties": {"role": {"const": "assistant"}, "content": {"type": ["string", "null"]},
        "refusal": {"type": ["string", "null"]},
        "tool_calls": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/MadeCall"}},
        "function_call": {"$ref": "#/components/schemas/MadeFunctionCall"}}},
    "logprobs": {"$ref": "#/components/schemas/ChatLogprobs"},
    "finish_reason": {"$ref": "#/components/schemas/FinishReason"},
    "stop_reason": {"$ref": "#/components/schemas/StopReason"},
    "lancet": {"$ref": "#/components/schemas/Report"}}},
"ChatCompletionChunk": {"type": "object", "additionalProperties": false,
  "required": ["id", "object", "created", "model", "system_fingerprint", "choices"], "properties": {
    "id": {"type": "string", "pattern": "^chatcmpl-"}, "object": {"const": "chat.completion.chunk"},
    "created": {"type": "integer"}, "model": {"type": "string"}, "system_fingerprint": {"type": "string"},
    "choices": {"type": "array", "items": {"$ref": "#/components/schemas/ChatDelta"}},
    "usage": {"anyOf": [{"$ref": "#/components/schemas/Usage"}, {"$ref": "#/components/schemas/UsageSoFar"},
      {"type": "null"}]},
    "timings": {"$ref": "#/components/schemas/Timings"}}},
"ChatDelta": {"type": "object", "additionalProperties": false,
  "required": ["index", "delta", "logprobs", "finish_reason"], "properties": {
    "index": {"type": "integer", "minimum": 0},
    "delta": {"type": "object", "additionalProperties": false, "properties": {
      "role": {"const": "assistant"}, "content": {"type": ["string", "null"]}, "refusal": {"type": ["string", "null"]},
      "tool_calls": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/CallDelta"}},
      "function_call": {"type": "object", "additionalProperties": false, "required": ["arguments"], "properties": {
        "name": {"type": "string"}, "arguments": {"type": "string"}}}}},
    "logprobs": {"$ref": "#/components/schemas/ChatLogprobs"},
    "finish_reason": {"anyOf": [{"$ref": "#/components/schemas/FinishReason"}, {"type": "null"}]},
    "stop_reason": {"$ref": "#/components/schemas/StopReason"},
    "lancet": {"$ref": "#/components/schemas/Report"}}},
"TextCompletion": {"type": "object", "additionalProperties": false,
  "description": "also the chunks of a stream, whose usage is null or absent but in the last",
  "required": ["id", "object", "created", "model", "system_fingerprint", "choices"], "properties": {
    "id": {"type": "string", "pattern": "^cmpl-"}, "object": {"const": "text_completion"},
    "created": {"type": "integer"}, "model": {"type": "string"}, "system_fingerprint": {"type": "string"},
    "choices": {"type": "array", "items": {"$ref": "#/components/schemas/TextChoice"}},
    "usage": {"anyOf": [{"$ref": "#/components/schemas/Usage"}, {"$ref": "#/components/schemas/UsageSoFar"},
      {"type": "null"}]},
    "timings": {"$ref": "#/components/schemas/Timings"}}},
"TextChoice": {"type": "object", "additionalProperties": false, "required": ["index", "text", "logprobs", "finish_reason"],
  "properties": {"index": {"type": "integer", "minimum": 0}, "text": {"type": "string"},
    "logprobs": {"$ref": "#/components/schemas/CompletionLogprobs"},
    "finish_reason": {"anyOf": [{"$ref": "#/components/schemas/FinishReason"}, {"type": "null"}]},
    "stop_reason": {"$ref": "#/components/schemas/StopReason"},
    "lancet": {"$ref": "#/components/schemas/Report"}}},
"EmbeddingList": {"type": "object", "additionalProperties": false, "required": ["object", "data", "model", "usage"],
  "properties": {"object": {"const": "list"}, "model": {"type": "string"},
    "data": {"type": "array", "minItems": 1, "items": {"type": "object", "additionalProperties": false,
      "required": ["object", "index", "embedding"], "properties": {"object": {"const": "embedding"},
        "index": {"type": "integer", "minimum": 0},
        "embedding": {"anyOf": [{"type": "array", "items": {"type": "number"}},
          {"type": "string", "contentEncoding": "base64"}]}}}},
    "usage": {"type": "object", "additionalProperties": false, "required": ["prompt_tokens", "total_tokens"],
      "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}}}}},
"Tokens": {"type": "object", "additionalProperties": false, "required": ["tokens", "count", "notes"], "properties": {
  "tokens": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "object", "required": ["id", "piece"]}]}},
  "count": {"type": "integer"}, "notes": {"type": "array", "items": {"type": "string"}}}},
"Text": {"type": "object", "additionalProperties": false, "required": ["content"],
  "properties": {"content": {"type": "string"}}},
"RenderedPrompt": {"type": "object", "additionalProperties": false, "required": ["prompt", "tokens", "notes"],
  "properties": {"prompt": {"type": "string"}, "tokens": {"type": "integer", "description": "their number"},
    "notes": {"type": "array", "items": {"type": "string"}}}},
"Model": {"type": "object", "required": ["id", "object", "created", "owned_by"], "properties": {
  "id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": {"type": "string"},
  "max_model_len": {"type": "integer"}}},
"ModelList": {"type": "object", "required": ["object", "data"], "properties": {"object": {"const": "list"},
  "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}},
"Error": {"type": "object", "additionalProperties": false, "required": ["error"], "properties": {
  "error": {"type": "object", "additionalProperties": false, "required": ["message", "type", "param", "code"],
    "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]},
      "code": {"type": ["string", "null"]},
      "tokens_per_message": {"type": "array", "items": {"type": "integer"},
        "description": "with context_length_exceeded of a chat: the tokens of each message's own text"}}}}}
})json";

}  // namespace lancet
