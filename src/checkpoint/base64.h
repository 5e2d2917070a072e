// Base64 (RFC 4648, section 4), as tekken.json writes token bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lancet {

/// The bytes, or nothing if the text is not canonical base64 with padding: no white space, no stray bits.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace lancet
