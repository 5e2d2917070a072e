#include "base/utf8.h"

#include "base/check.h"

namespace lancet {
namespace {

struct Lead {
  int length;                 // 0: no lead byte
  unsigned char first, last;  // bounds of the second byte (Unicode 15, table 3-7)
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xc2 && byte <= 0xdf) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte >= 0xf1 && byte <= 0xf3) return {4, 0x80, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

/// How many bytes of the character at the start of `text` are present and well-formed so far.
size_t well_formed_bytes(std::string_view text, const Lead& lead) {
  size_t have = 1;
  while (have < static_cast<size_t>(lead.length) && have < text.size()) {
    const auto byte = static_cast<unsigned char>(text[have]);
    const unsigned char first = have == 1 ? lead.first : 0x80, last = have == 1 ? lead.last : 0xbf;
    if (byte < first || byte > last) break;
    have++;
  }
  return have;
}

}  // namespace

Utf8Step utf8_next(std::string_view text) {
  CHECK(!text.empty());
  const auto byte = static_cast<unsigned char>(text[0]);
  const Lead lead = lead_of(byte);
  if (lead.length == 0) return {0xfffd, 1, false};
  if (lead.length == 1) return {byte, 1, true};
  const size_t have = well_formed_bytes(text, lead);
  if (have < static_cast<size_t>(lead.length)) return {0xfffd, have, false};
  auto code_point = static_cast<char32_t>(byte & (0x7f >> lead.length));
  for (size_t i = 1; i < have; i++) code_point = code_point << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
  return {code_point, have, true};
}

bool utf8_valid(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_next(text.substr(at));
    if (!step.valid) return false;
    at += step.length;
  }
  return true;
}

std::string utf8_lossy(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_next(text.substr(at));
    if (step.valid) {
      out += text.substr(at, step.length);
    } else {
      out += "\xef\xbf\xbd";
    }
    at += step.length;
  }
  return out;
}

size_t utf8_complete_prefix(std::string_view text) {
  const size_t window = text.size() < 3 ? text.size() : 3;
  for (size_t back = 1; back <= window; back++) {
    const size_t at = text.size() - back;
    const Lead lead = lead_of(static_cast<unsigned char>(text[at]));
    if (lead.length <= 1) {
      if (lead.length == 1) break;  // ASCII: nothing before it can be open
      continue;                     // continuation byte: look further back
    }
    const size_t have = well_formed_bytes(text.substr(at), lead);
    if (have == back && have < static_cast<size_t>(lead.length)) return at;
    break;
  }
  return text.size();
}

void utf8_append(std::string& out, char32_t code_point) {
  const auto byte = [&](char32_t value) { out += static_cast<char>(value); };
  if (code_point < 0x80) {
    byte(code_point);
  } else if (code_point < 0x800) {
    byte(0xc0 | code_point >> 6);
    byte(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    byte(0xe0 | code_point >> 12);
    byte(0x80 | (code_point >> 6 & 0x3f));
    byte(0x80 | (code_point & 0x3f));
  } else {
    byte(0xf0 | code_point >> 18);
    byte(0x80 | (code_point >> 12 & 0x3f));
    byte(0x80 | (code_point >> 6 & 0x3f));
    byte(0x80 | (code_point & 0x3f));
  }
}

}  // namespace lancet
