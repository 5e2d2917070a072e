// A stranger's bytes on a connection: the parser, then everything that is decided before a handler runs. The verdict
// must not depend on how the bytes arrive.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/http_parser.h"
#include "server/routes.h"

namespace {

struct Outcome {
  lancet::HttpParser::State state;
  int status;
  std::string body;
  bool operator==(const Outcome&) const = default;
};

Outcome parse(std::string_view bytes, size_t piece) {
  const lancet::ServerLimits limits{.header_bytes = 2048, .header_lines = 20, .target_bytes = 256, .body_bytes = 1024};
  lancet::HttpParser parser(limits);
  std::string buffer;
  while (!bytes.empty() && parser.state() != lancet::HttpParser::State::refused) {
    buffer += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (size_t before = buffer.size() + 1; before != buffer.size();) {
      before = buffer.size();
      parser.feed(buffer);
    }
  }
  if (parser.state() != lancet::HttpParser::State::complete) return {parser.state(), parser.refusal().status, ""};
  static const lancet::Access access({.api_keys = {"k"}, .allow_origins = {"https://a.example"}}, "127.0.0.1");
  const auto response = lancet::early_response(parser.request(), access);
  if (response) lancet::response_head(*response, {});
  return {parser.state(), response ? response->status : 0, parser.request().body};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 8192) return 0;
  const Outcome whole = parse(bytes, std::max<size_t>(1, size));
  if (whole != parse(bytes, 1)) std::abort();
  return 0;
}
