// The flags that every command with a model takes, and the loaded model that comes of them.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"
#include "cli/flags.h"
#include "model/model.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace lancet {

struct ModelFlags {
  std::string model;
  int threads = 0;
  std::string kernels;
  bool exact = false;
  std::string rounding = "mixed";
  std::string kv = "f16";
  std::string quant = "none";
  std::string pack_cache;  // a folder, "off", or empty: the usual one
  void declare(Flags&);
  bool operator==(const ModelFlags&) const = default;
};

/// A model with everything that belongs to it; members are in the order of dependence.
struct LoadedModel {
  std::string name;  // as the user gave it
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // null: the model has none
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
};

/// Resolves, opens and loads. `opened` is called when the files are open and validated, before anything is placed; what
/// it throws ends the loading. Throws Error.
using CheckpointOpened = std::function<void(const Checkpoint&, Backend&)>;
LoadedModel load(const ModelFlags&, const CheckpointOpened& opened = {});

/// What the user named, else $LANCET_MODEL, else the model that Lancet is made for.
std::string model_or_default(const std::string& model);

/// Where packed weights are kept for the next start: what --pack-cache says ("off": nowhere, an empty path), else
/// $LANCET_CACHE, else lancet in $XDG_CACHE_HOME, else ~/.cache/lancet.
std::filesystem::path pack_cache_folder(const std::string& flag);

/// The chat template with the vocabulary's bos and eos texts, or null for an empty source.
std::unique_ptr<ChatTemplate> compile_template(std::string_view source, const Tokenizer&);

/// The ids of a raw text prompt: bos first if the vocabulary says so and the text does not begin with it. Control
/// tokens are parsed, as in /v1/completions of other servers. Lost bytes are reported on stderr.
std::vector<TokenId> encode_prompt(const Tokenizer&, std::string_view text);

/// One line on stderr for bytes that a vocabulary cannot express; nothing if there are none.
void report_lost_bytes(const std::vector<uint8_t>& lost);

/// "model Q4_1+q8_0, ...": what system_fingerprint is made of.
std::string system_fingerprint(const LoadedModel&);

/// All of stdin. Error{too_large} beyond `limit_bytes`.
std::string read_stdin(size_t limit_bytes);

}  // namespace lancet
