#include "cli/terminal_text.h"

#include <iterator>

#include <fmt/format.h>

#include "base/utf8.h"

namespace lancet {
namespace {

constexpr char32_t kControlPictures = 0x2400, kDeletePicture = 0x2421;

bool reorders_or_breaks(char32_t code) {
  return (code >= 0x80 && code <= 0x9f) || code == 0x61c || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::string terminal_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto [code, length, valid] = utf8_next(text);
    text.remove_prefix(length);
    if (code == '\r') continue;
    if (code < 0x20 && code != '\n' && code != '\t') {
      utf8_append(out, kControlPictures + code);
    } else if (code == 0x7f) {
      utf8_append(out, kDeletePicture);
    } else if (reorders_or_breaks(code)) {
      fmt::format_to(std::back_inserter(out), "<U+{:04X}>", static_cast<uint32_t>(code));
    } else {
      utf8_append(out, code);
    }
  }
  return out;
}

}  // namespace lancet
