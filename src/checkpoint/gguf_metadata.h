// What a model is and how it reads text, in GGUF's words: the other direction of gguf_config.cpp and
// gguf_vocabulary.cpp. Keys and values are those that llama.cpp's own converter writes for these architectures.
#pragma once

#include <string>

#include "base/budget.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf_writer.h"

namespace lancet {

/// Metadata that lets llama.cpp compute what Lancet computes of the checkpoint's text model. `name` is what people
/// call it. Throws Error{unsupported} for what GGUF has no words for.
GgufMetadata describe_in_gguf(const Checkpoint&, const std::string& name, Budget&);

/// A GGUF's own metadata, without what a new file says of itself: its types, its parts, its padding.
GgufMetadata copy_metadata(const GgufFile&);

}  // namespace lancet
