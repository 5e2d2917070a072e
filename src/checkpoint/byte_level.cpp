#include "checkpoint/byte_level.h"

#include <array>

#include "base/utf8.h"

namespace lancet {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr size_t kAlphabetEnd = 0x100 + 68;

struct Tables {
  std::array<char16_t, 256> character{};
  std::array<int16_t, kAlphabetEnd> byte{};  // -1: not in the alphabet
};

constexpr Tables make_tables() {
  Tables tables;
  for (auto& byte : tables.byte) byte = -1;
  char16_t next = 0x100;
  for (int byte = 0; byte < 256; byte++) {
    const char16_t character = stands_for_itself(byte) ? static_cast<char16_t>(byte) : next++;
    tables.character[static_cast<size_t>(byte)] = character;
    tables.byte[character] = static_cast<int16_t>(byte);
  }
  return tables;
}
constexpr Tables kTables = make_tables();

}  // namespace

std::optional<std::string> bytes_of_byte_level(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_next(text.substr(at));
    if (!step.valid || step.code_point >= kAlphabetEnd || kTables.byte[step.code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(kTables.byte[step.code_point]);
    at += step.length;
  }
  return bytes;
}

std::string byte_level_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) utf8_append(text, kTables.character[static_cast<unsigned char>(c)]);
  return text;
}

}  // namespace lancet
