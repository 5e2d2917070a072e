// URI references (RFC 3986) as far as JSON Schema needs them: what `$id` and `$ref` mean at a base, and the pointers
// and anchors in fragments. Nothing is ever fetched.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lancet {

/// `reference` at `base`, without its fragment (RFC 3986, 5.2). Both may be relative; then so is the result.
std::string resolve_uri(std::string_view base, std::string_view reference);
/// What stands behind '#', undecoded; empty if there is none.
std::string_view uri_fragment(std::string_view reference);
/// %xx decoded. Nothing for a broken escape.
std::optional<std::string> percent_decode(std::string_view text);

/// A JSON pointer's tokens (RFC 6901), `~` decoded. Nothing if it does not start with '/' (or is empty) or has a bad ~.
std::optional<std::vector<std::string>> split_json_pointer(std::string_view pointer);
/// "/" and the key with '~' and '/' escaped.
std::string json_pointer_token(std::string_view key);

}  // namespace lancet
