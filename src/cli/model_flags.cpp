#include "cli/model_flags.h"

#include <cstdio>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "hub/cache.h"

namespace lancet {

void ModelFlags::declare(Flags& flags) {
  flags.add("-m,--model", model, "a directory, a .gguf file or a hub name (owner/repo[:QUANT])");
  flags.add("--threads", threads, "compute threads; 0: one per usable core", 0, 1024);
  flags.add("--kernels", kernels, "kernel table (avx512, avx2, scalar); empty: the best this CPU has");
  flags.add("--exact", exact, "reference arithmetic: f32 activations and cache, no shortcut");
  flags.choice("--kv", kv, "cached keys and values: f16, or q8 for half the memory", {"f16", "q8"});
}

LoadedModel load(const ModelFlags& flags, const CheckpointOpened& opened) {
  const bool q8 = flags.kv == "q8";
  if (flags.exact && q8)
    throw Error(Fault::bad_request, "--exact has an f32 cache and cannot be combined with --kv q8");
  LoadedModel loaded;
  loaded.name = flags.model;
  loaded.checkpoint = open_checkpoint(resolve_model(flags.model));
  loaded.backend = make_cpu_backend({.threads = flags.threads,
                                     .kernels = flags.kernels,
                                     .exact = flags.exact,
                                     .kv = q8 ? KvFormat::q8 : KvFormat::f16});
  if (opened) opened(*loaded.checkpoint, *loaded.backend);
  loaded.tokenizer = std::make_unique<Tokenizer>(loaded.checkpoint->vocabulary());
  loaded.chat_template = compile_template(loaded.checkpoint->chat_template(), *loaded.tokenizer);
  loaded.model = load_model(*loaded.checkpoint, *loaded.backend);
  return loaded;
}

std::unique_ptr<ChatTemplate> compile_template(std::string_view source, const Tokenizer& tokenizer) {
  if (source.empty()) return nullptr;
  const auto text_of = [&](std::optional<TokenId> id) {
    return id ? std::string(tokenizer.bytes(*id)) : std::string();
  };
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  return std::make_unique<ChatTemplate>(source, text_of(vocabulary.bos), text_of(vocabulary.eos));
}

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, std::string_view text) {
  Budget budget("the tokenizer");
  Encoded encoded = tokenizer.encode(text, true, budget);
  report_lost_bytes(encoded.lost_bytes);
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const bool has_bos = !encoded.ids.empty() && encoded.ids.front() == vocabulary.bos;
  if (vocabulary.add_bos && vocabulary.bos && !has_bos) encoded.ids.insert(encoded.ids.begin(), *vocabulary.bos);
  return encoded.ids;
}

void report_lost_bytes(const std::vector<uint8_t>& lost) {
  if (lost.empty()) return;
  log_warning(fmt::format("the vocabulary has no token for {} byte value{} of the text, left out: 0x{:02x}",
                          lost.size(), lost.size() == 1 ? "" : "s", fmt::join(lost, " 0x")));
}

std::string system_fingerprint(const LoadedModel& loaded) {
  std::map<std::string_view, uint64_t> bytes;
  uint64_t hash = 0;
  for (const StoredTensor& tensor : loaded.checkpoint->tensors()) {
    bytes[format_name(tensor.format)] += tensor.bytes.size();
    // A few bytes of every tensor tell weights apart without reading the file.
    hash = hash_combine(hash, hash64(tensor.bytes.first(std::min<size_t>(tensor.bytes.size(), 64))));
  }
  const std::string arithmetic = loaded.backend->description();
  hash = hash_combine(hash, hash64(std::as_bytes(std::span(arithmetic))));
  std::string_view main_format;
  uint64_t most = 0;
  for (const auto& [name, size] : bytes)
    if (size > most) most = size, main_format = name;
  return fmt::format("lancet-{}-{}-{}-{:012x}", LANCET_VERSION, loaded.checkpoint->config().architecture, main_format,
                     hash & 0xffffffffffff);
}

std::string read_stdin(size_t limit_bytes) {
  std::string text;
  char buffer[65536];
  while (const size_t got = std::fread(buffer, 1, sizeof buffer, stdin)) {
    if (text.size() + got > limit_bytes)
      throw Error(Fault::too_large, fmt::format("stdin has more than the {} bytes that are read", limit_bytes));
    text.append(buffer, got);
  }
  return text;
}

}  // namespace lancet
