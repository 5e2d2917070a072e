// Which published chat template a text is, by its hash: the texts themselves are other people's and not here.
#pragma once

#include <string>
#include <string_view>

namespace lancet {

/// "Ministral 3 Instruct 2512, as in its GGUF files"; empty: none that is known.
std::string_view published_template(std::string_view sha256);

}  // namespace lancet
