// What each known field of a request body means to us: one table. A field is used, or harmless, or refused unless it
// has the value that means nothing. All others are unknown and reported to the client.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lancet {

enum class Body : unsigned { chat = 1, completion = 2 };

/// Refuses fields that would change the result and are not supported; returns the names of unknown ones (null or not),
/// in order.
std::vector<std::string> check_fields(const JsonView& root, Body);

/// The value of a header that lists them: escaped, at most 1 KiB.
std::string ignored_header(const std::vector<std::string>& names);

}  // namespace lancet
