// The text that doctor lets a model predict: plain English and plain code, easy for any model that reads either.
#pragma once

#include <string_view>

namespace lancet {

inline constexpr std::string_view kSampleEnglish =
    "The water in the kettle began to boil, so she turned off the stove and made a cup of tea. It was early in the "
    "morning, and the rest of the house was still asleep. She sat down at the kitchen table, looked out of the window "
    "and watched the sun come up over the hills. After a few minutes she heard her brother coming down the stairs. "
    "\"Good morning,\" he said. \"Did you sleep well?\" She said that she had not, because the wind had kept her awake "
    "for most of the night.\n";
inline constexpr std::string_view kSampleCode =
    "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    return a - b\n\n\nfor i in range(10):\n    "
    "print(i)\n";

}  // namespace lancet
