// What a client may ask of the server, in one table. Every number bounds memory or time that a stranger would otherwise
// choose. limits_table.cpp gives each a flag and says what happens beyond it; docs/limits.md is made from that.
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

  double queue_s = 30;  // waiting to begin: 503 queue_timeout
  double drain_s = 45;  // for what runs to finish after SIGTERM

  // Connections, and what all of them together hold.
  size_t connections = 16'384;                // the next is closed at once
  size_t address_connections = 1'024;         // of one address, loopback too
  int waiting_requests = 256;                 // 429 queue_full
  size_t waiting_tokens = 0;                  // of their prompts; 0: four times the context: 429 queue_full
  size_t buffered_bytes = 256 * 1024 * 1024;  // bodies that are being read or answered: 429 queue_full
  size_t stream_buffer_bytes = 256 * 1024;    // of one stream, that the client has not taken yet

  // Contents of a request: 400.
  size_t messages = 4'096;
  size_t content_parts = 1'024;  // of one message
  size_t tools = 256;
  size_t stop_strings = 16;
  size_t stop_string_bytes = 256;
  size_t logit_bias = 1'024;
  size_t prompts = 64;  // of one completions request
  int choices = 16;     // n
  int top_logprobs = 20;
  int default_chat_tokens = 16'384;  // max_tokens of a chat request that names none, if the context has room for it
  size_t stop_tokens = 64;
  size_t dry_breakers = 64;
  size_t dry_breaker_bytes = 64;
  size_t cache_salt_bytes = 256;
  size_t template_variables = 64;
  int repetition_pattern = 256;  // tokens
  // Constraints on answers.
  size_t grammar_bytes = 256 * 1024;               // a schema, grammar, regular expression; all choices together
  size_t grammar_choices = 10'000;                 // of one choice
  double grammar_s = 2;                            // compiling the constraint of one request
  size_t grammar_cache_bytes = 256 * 1024 * 1024;  // compiled constraints that are kept
  double prompt_s = 30;                            // rendering and tokenizing one request
  bool strict_params = false;                      // unknown fields are 400
};

}  // namespace lancet
