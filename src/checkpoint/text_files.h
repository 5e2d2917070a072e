// The small files beside the weights: vocabulary and chat template.
#pragma once

#include <filesystem>

#include "base/budget.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf.h"

namespace lancet {

/// From a folder: tokenizer.json (with special ids from generation_config.json and tokenizer_config.json;
/// `special_ids` is the configuration's own opinion, for folders without the former), else tekken.json. The template
/// is chat_template.jinja, else tokenizer_config.json's, else chat_template.json's.
TextAssets read_text_folder(const std::filesystem::path& folder, const std::string& special_ids, Budget&);

/// From a GGUF's metadata.
TextAssets read_text_gguf(const GgufFile&, Budget&);

/// A bare tokenizer.json or tekken.json: no template, and no special ids but what the file itself says.
TextAssets read_text_file_alone(const std::filesystem::path& path, Budget&);

/// Fills the vocabulary with unused tokens up to the model's; Error{bad_file} if it is larger.
void fit_vocabulary(Vocabulary&, int model_vocabulary, const std::string& source);

}  // namespace lancet
