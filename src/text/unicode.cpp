// The generated table (tools/unicode_tables.py): an index of 256-code-point blocks, equal blocks stored once, 37 KiB.
#include "text/unicode.h"

#include "unicode_tables.inc"

namespace lancet {

static_assert(kUnicodeClassCount == static_cast<int>(CharClass::number) + 1);

CharClass char_class(char32_t code_point) {
  if (code_point > 0x10ffff) return CharClass::other;
  return static_cast<CharClass>(kUnicodeBlocks[kUnicodeIndex[code_point >> 8]][code_point & 0xff]);
}

}  // namespace lancet
