// The components of tokenizer.json around the model: normalizer, pre_tokenizer, post_processor, decoder. Lancet has a
// few fixed combinations of them; everything else is refused by name, because a component that is quietly left out
// changes ids.
#pragma once

#include <string>

#include "base/json.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// Refuses any normalizer that could change text. `root` is the whole document, `source` its name in messages.
void check_normalizer(const JsonView& root, const std::string& source);
/// Refuses any decoder but ByteLevel.
void check_decoder(const JsonView& root, const std::string& source);
/// The split pattern. Throws Error{unsupported} quoting the pattern or naming the component that Lancet lacks.
SplitPattern read_pre_tokenizer(const JsonView& root, const std::string& source);
/// Sets add_bos and bos from a template that puts one token before the text; notes what else a template adds.
void read_post_processor(const JsonView& root, const std::string& source, Vocabulary&);

}  // namespace lancet
