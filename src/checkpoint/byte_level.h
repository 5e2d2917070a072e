// GPT-2's spelling of bytes as printable characters, in which tokenizer.json and GGUF write their tokens: printable
// Latin-1 stands for itself, the other 68 bytes for U+0100, U+0101, ... (openai/gpt-2, src/encoder.py,
// bytes_to_unicode).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lancet {

/// The bytes that a token's text stands for; nothing if a character is not part of the alphabet or the UTF-8 is
/// ill-formed.
std::optional<std::string> bytes_of_byte_level(std::string_view text);

/// The opposite: each byte as its character.
std::string byte_level_of_bytes(std::string_view bytes);

}  // namespace lancet
