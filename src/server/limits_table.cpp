// The table, and the page that is made from it.
#include "server/limits_table.h"

#include <iterator>

#include <fmt/format.h>

namespace lancet {
namespace {

using L = ServerLimits;

constexpr double kGib = 1024.0 * 1024 * 1024;
constexpr double kDay = 86'400;
constexpr double kMany = 1e9;

constexpr LimitRow kRows[] = {
    // One message.
    {"--limit-header-bytes", &L::header_bytes, "bytes", 1024, 1 << 20, "request line and header fields", 431,
     "invalid_http"},
    {"--limit-header-lines", &L::header_lines, "", 8, 10'000, "header fields", 431, "invalid_http"},
    {"--limit-target-bytes", &L::target_bytes, "bytes", 64, 1 << 20, "path and query", 414, "invalid_http"},
    {"--limit-body-bytes", &L::body_bytes, "bytes", 1024, 4 * kGib, "body", 413, "invalid_http"},
    {"--limit-json-depth", &L::json_depth, "", 8, 1000, "nesting of the body", 400, "invalid_json"},
    {"--limit-json-values", &L::json_nodes, "", 100, kMany, "values and keys in the body", 400, "invalid_json"},
    {"--limit-early-bytes", &L::early_bytes, "bytes", 1024, 1 << 30, "of next requests, read while one is answered", 0,
     "they are read later"},
    // Time.
    {"--limit-header-seconds", &L::header_s, "seconds", 0.01, kDay, "from the first byte to the end of the header", 408,
     "request_timeout"},
    {"--limit-body-seconds", &L::body_s, "seconds", 0.01, kDay, "from the end of the header to the end of the body",
     408, "request_timeout"},
    {"--limit-idle-seconds", &L::idle_s, "seconds", 0.01, kDay, "between two requests of a connection", 0,
     "the connection is closed"},
    {"--limit-slow-client-seconds", &L::slow_client_s, "seconds", 0.01, kDay,
     "a client that takes nothing of its answer", 0, "the request is cancelled, the connection closed"},
    {"--limit-linger-seconds", &L::linger_s, "seconds", 0.01, kDay,
     "reading on after an answer to a request that was not read whole", 0, "the connection is closed"},
    {"--limit-queue-seconds", &L::queue_s, "seconds", 0.01, kDay, "waiting to begin", 503, "queue_timeout"},
    {"--drain-s", &L::drain_s, "seconds", 0, kDay, "for what runs to finish after SIGTERM", 0,
     "streams end with an error event"},
    {"--limit-prompt-seconds", &L::prompt_s, "seconds", 0.01, kDay, "reading, rendering and tokenizing one request",
     400, "budget_exceeded"},
    // All requests together.
    {"--limit-connections", &L::connections, "", 1, 1 << 20, "open connections", 0, "the next is closed at once"},
    {"--limit-address-connections", &L::address_connections, "", 1, 1 << 20,
     "open connections of one address (16 times as many of this machine's own)", 0, "the next is closed at once"},
    {"--limit-waiting-requests", &L::waiting_requests, "", 1, 1 << 20, "requests that wait to begin", 429,
     "queue_full"},
    {"--limit-waiting-tokens", &L::waiting_tokens, "tokens", 0, kMany,
     "prompts of the requests that wait to begin (0: four times the context)", 429, "queue_full"},
    {"--limit-buffered-bytes", &L::buffered_bytes, "bytes", 1024, 64 * kGib,
     "bodies that are being read or answered, of all connections", 429, "queue_full"},
    {"--limit-stream-buffer-bytes", &L::stream_buffer_bytes, "bytes", 1024, kGib,
     "of one stream that its client has not taken yet", 0, "the answer is cancelled"},
    // What a request asks for.
    {"--limit-messages", &L::messages, "", 1, kMany, "messages of a chat", 400, "null"},
    {"--limit-content-parts", &L::content_parts, "", 1, kMany, "parts of one message", 400, "null"},
    {"--limit-tools", &L::tools, "", 0, kMany, "tools; also calls in one message", 400, "null"},
    {"--limit-stop-strings", &L::stop_strings, "", 0, 10'000, "stop strings", 400, "null"},
    {"--limit-stop-string-bytes", &L::stop_string_bytes, "bytes", 1, 1 << 20, "one stop string", 400, "null"},
    {"--limit-logit-bias", &L::logit_bias, "", 0, kMany, "entries of logit_bias", 400, "null"},
    {"--limit-prompts", &L::prompts, "", 1, 10'000, "prompts, and answers, of one completions request", 400, "null"},
    {"--limit-choices", &L::choices, "", 1, 10'000, "n", 400, "null"},
    {"--limit-top-logprobs", &L::top_logprobs, "", 0, 1000, "top_logprobs", 400, "null"},
    {"--limit-stop-tokens", &L::stop_tokens, "", 0, kMany, "entries of stop_token_ids", 400, "null"},
    {"--limit-dry-breakers", &L::dry_breakers, "", 0, kMany, "dry_sequence_breakers", 400, "null"},
    {"--limit-dry-breaker-bytes", &L::dry_breaker_bytes, "bytes", 1, 1 << 20, "one sequence breaker", 400, "null"},
    {"--limit-cache-salt-bytes", &L::cache_salt_bytes, "bytes", 1, 1 << 20, "cache_salt", 400, "null"},
    {"--limit-template-variables", &L::template_variables, "", 0, kMany, "members of chat_template_kwargs", 400,
     "null"},
    {"--limit-repetition-pattern", &L::repetition_pattern, "", 1, 1 << 20, "tokens of a repetition's longest pattern",
     400, "null"},
    {"--limit-grammar-bytes", &L::grammar_bytes, "bytes", 64, kGib,
     "a schema, grammar or regular expression; all choices together", 400, "null"},
    {"--limit-grammar-choices", &L::grammar_choices, "", 1, kMany, "entries of choice", 400, "null"},
    {"--limit-grammar-seconds", &L::grammar_s, "seconds", 0.001, kDay, "compiling the constraint of one request", 400,
     "budget_exceeded"},
    {"--grammar-cache-bytes", &L::grammar_cache_bytes, "bytes", 0, 64 * kGib, "compiled constraints that are kept", 0,
     "those not used for longest are dropped"},
    {"--default-chat-tokens", &L::default_chat_tokens, "", 1, 1 << 20, "max_tokens of a chat that names none", 0,
     "a default; the context may allow less"},
};

/// "16 KiB", "30 s", "1,024".
std::string shown(const LimitRow& row) {
  static const ServerLimits defaults;
  if (const auto* seconds = std::get_if<double ServerLimits::*>(&row.member))
    return fmt::format("{} s", defaults.**seconds);
  const auto* size = std::get_if<size_t ServerLimits::*>(&row.member);
  const size_t value =
      size ? defaults.**size : static_cast<size_t>(defaults.*std::get<int ServerLimits::*>(row.member));
  if (row.unit == "bytes" && value % (1024 * 1024) == 0) return fmt::format("{} MiB", value / (1024 * 1024));
  if (row.unit == "bytes" && value % 1024 == 0) return fmt::format("{} KiB", value / 1024);
  std::string digits = std::to_string(value);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return row.unit == "bytes" ? digits + " B" : digits;
}

std::string consequence(const LimitRow& row) {
  if (row.status == 0) return std::string(row.code);
  return row.code == "null" ? fmt::format("{}", row.status) : fmt::format("{} `{}`", row.status, row.code);
}

}  // namespace

std::span<const LimitRow> limit_rows() { return kRows; }

std::string limits_markdown() {
  std::string out =
      "# Limits\n\n"
      "What a client may ask of the server. Each number bounds memory or time that a stranger would otherwise choose; "
      "each\n"
      "is a flag of `lancet serve`. This file is the table of `src/server/limits_table.cpp`:\n"
      "`lancet serve --print-limits > docs/limits.md` makes it anew.\n\n"
      "| limit | flag | default | beyond it |\n|---|---|---|---|\n";
  for (const LimitRow& row : kRows)
    fmt::format_to(std::back_inserter(out), "| {} | `{}` | {} | {} |\n", row.what, row.flag, shown(row),
                   consequence(row));
  out += "\nThe context (`--ctx`) bounds prompt and answer together: 400 `context_length_exceeded`.\n";
  return out;
}

}  // namespace lancet
