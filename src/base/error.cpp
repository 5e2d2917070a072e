#include "base/error.h"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "base/check.h"
#include "base/utf8.h"

namespace lancet {

std::string_view fault_name(Fault fault) {
  switch (fault) {
    case Fault::bad_request: return "bad_request";
    case Fault::context_overflow: return "context_overflow";
    case Fault::too_large: return "too_large";
    case Fault::not_found: return "not_found";
    case Fault::busy: return "busy";
    case Fault::unavailable: return "unavailable";
    case Fault::timeout: return "timeout";
    case Fault::bad_file: return "bad_file";
    case Fault::unsupported: return "unsupported";
    case Fault::io: return "io";
    case Fault::budget: return "budget";
    case Fault::cancelled: return "cancelled";
    case Fault::internal: return "internal";
  }
  return "unknown";
}

std::string quoted(std::string_view text, size_t limit_bytes) {
  std::string out = "\"";
  size_t at = 0;
  while (at < text.size() && at < limit_bytes) {
    const Utf8Step step = utf8_next(text.substr(at));
    const bool shows = step.valid && step.code_point >= 0x20 && step.code_point != 0x7f &&
                       !(step.code_point >= 0x80 && step.code_point < 0xa0) &&
                       !(step.code_point >= 0x200b && step.code_point <= 0x200f) &&
                       !(step.code_point >= 0x2028 && step.code_point <= 0x202e) &&
                       !(step.code_point >= 0x2066 && step.code_point <= 0x2069);
    if (step.code_point == '"' || step.code_point == '\\') {
      out += '\\';
      out += text[at];
    } else if (shows) {
      out += text.substr(at, step.length);
    } else {
      for (size_t i = 0; i < step.length; i++)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at + i]));
    }
    at += step.length;
  }
  out += at < text.size() ? "\"…" : "\"";
  return out;
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "lancet: bug: CHECK(%s) failed at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace lancet
