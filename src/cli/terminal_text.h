// Text of a model, or of a server, made safe to show on a terminal: it can neither move the cursor, nor change colours
// and titles, nor make text look as if it stood elsewhere.
#pragma once

#include <string>
#include <string_view>

namespace lancet {

/// Line ends and tabs stay. Carriage returns go; other control characters become visible pictures (ESC is U+241B), C1
/// controls, line separators and the marks that reorder text become "<U+202E>", ill-formed UTF-8 becomes U+FFFD.
/// Pieces that end at whole characters may be passed one by one.
std::string terminal_text(std::string_view text);

}  // namespace lancet
