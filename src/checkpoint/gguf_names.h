// GGUF keys and tensor names -> ours. Architectures: mistral3 (Ministral 3) and llama.
#pragma once

#include "base/budget.h"
#include "checkpoint/gguf.h"
#include "checkpoint/tensor_set.h"
#include "checkpoint/tokenizer_readers.h"

namespace lancet {

/// Throws Error{unsupported} for other architectures, rope scalings and shapes than we compute, and Error{bad_file}
/// for keys that are missing, of the wrong type or out of range. The embedding's rows stand in for a missing
/// vocab_size.
ModelConfig read_gguf_config(const GgufFile&);

/// GGUF's name of a text tensor: "text.3.attention.q" -> "blk.3.attn_q.weight".
std::string spell_gguf_name(const std::string& canonical);

/// tokenizer.ggml.*, as views into the file. Throws Error{bad_file} if arrays do not fit together.
GgufVocabularyFields read_gguf_vocabulary_fields(const GgufFile&);

/// Sorts the tensors of all parts by meaning; leaves rope_freqs out after checking that it changes nothing.
TensorInventory name_gguf(std::vector<GgufFile>& parts, ModelConfig&, Budget&);

}  // namespace lancet
