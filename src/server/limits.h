// What a client may ask of the server, in one table. Every number bounds memory or time that a stranger would otherwise
// choose; docs/api.md lists them.
#pragma once

#include <cstddef>

namespace lancet {

struct ServerLimits {
  // One message.
  size_t header_bytes = 16 * 1024;       // request line and fields: 431
  size_t header_lines = 100;             // 431
  size_t target_bytes = 8 * 1024;        // 414
  size_t body_bytes = 32 * 1024 * 1024;  // 413
  size_t json_depth = 32;                // 400
  size_t json_nodes = 200'000;           // 400
  size_t early_bytes = 64 * 1024;        // of further requests, read while one is being answered

  // Time, in seconds.
  double header_s = 10;       // from the first byte (or the accept) to the end of the header: 408
  double body_s = 60;         // from the end of the header to the end of the body: 408
  double idle_s = 75;         // between requests of one connection
  double slow_client_s = 30;  // one piece of an answer that the client does not take
  double linger_s = 2;        // reading on after an answer to a request that was not read whole

  // Connections.
  size_t connections = 16'384;

  // Contents of a request: 400.
  size_t messages = 4'096;
  size_t content_parts = 1'024;  // of one message
  size_t tools = 256;
  size_t stop_strings = 16;
  size_t stop_string_bytes = 256;
  size_t prompts = 64;  // of one completions request
  int choices = 16;     // n
  int top_logprobs = 20;
  int default_chat_tokens = 16'384;  // max_tokens of a chat request that names none, if the context has room for it
  double prompt_s = 30;              // rendering and tokenizing one request
};

}  // namespace lancet
