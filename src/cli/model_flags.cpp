#include "cli/model_flags.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "cli/memory_plan.h"
#include "hub/cache.h"

namespace lancet {

constexpr std::string_view kDefaultModel = "mistralai/Ministral-3-3B-Instruct-2512";

void ModelFlags::declare(Flags& flags) {
  flags.add("-m,--model", model, "a directory, a .gguf file or a hub name (owner/repo[@REVISION][:QUANT])");
  flags.add("--threads", threads, "compute threads; 0: one per usable core", 0, 1024);
  flags.add("--kernels", kernels, "kernel table (avx512, avx512bf16, avx2, scalar); empty: the best this CPU has");
  flags.add("--exact", exact, "reference arithmetic: f32 activations and cache, no shortcut");
  flags.choice("--rounding", rounding,
               "activations: coarse (8 bits), mixed (16 where it matters) or fine (16, half as fast in prompts)",
               {"coarse", "mixed", "fine"});
  flags.choice("--kv", kv, "cached keys and values: f16, or q8 for half the memory", {"f16", "q8"});
  flags.choice("--quant", quant, "keep floating-point weights in this format; none: as they are",
               {"none", "q8_0", "q6_k", "q5_k", "q4_k", "q4_1", "q4_0"});
  flags.add("--pack-cache", pack_cache,
            "folder that keeps packed weights for the next start, about as large as the model, or off; empty: "
            "$LANCET_CACHE, else ~/.cache/lancet");
}

std::string model_or_default(const std::string& model) {
  if (!model.empty()) return model;
  const char* named = std::getenv("LANCET_MODEL");
  return named && *named ? std::string(named) : std::string(kDefaultModel);
}

std::filesystem::path pack_cache_folder(const std::string& flag) {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  if (flag == "off") return {};
  if (!flag.empty()) return flag;
  if (const auto own = environment("LANCET_CACHE"); !own.empty()) return own == "off" ? std::filesystem::path() : own;
  if (const auto caches = environment("XDG_CACHE_HOME"); caches.is_absolute()) return caches / "lancet";
  const auto home = environment("HOME");
  return home.is_absolute() ? home / ".cache" / "lancet" : std::filesystem::path();
}

namespace {

std::optional<Format> format_named(std::string_view name) {
  for (int i = 0; i < kFormatCount; i++)
    if (format_name(static_cast<Format>(i)) == name) return static_cast<Format>(i);
  return std::nullopt;
}

PackingOptions packing_options(const ModelFlags& flags, const std::filesystem::path& path,
                               const Checkpoint& checkpoint) {
  std::error_code unresolved;  // a path that cannot be resolved names the model as well
  const std::filesystem::path full = std::filesystem::weakly_canonical(path, unresolved);
  const uint64_t available = available_memory();
  return {.quantise = format_named(flags.quant),
          .cache = pack_cache_folder(flags.pack_cache),
          .model = unresolved ? path.string() : full.string(),
          .identity = checkpoint.file_identity(),
          .memory = available > kMemoryReserve ? available - kMemoryReserve : 0};
}

}  // namespace

LoadedModel load(const ModelFlags& flags, const CheckpointOpened& opened) {
  const bool q8 = flags.kv == "q8";
  if (flags.exact && q8)
    throw Error(Fault::bad_request, "--exact has an f32 cache and cannot be combined with --kv q8");
  LoadedModel loaded;
  loaded.name = flags.model;
  const std::filesystem::path path = resolve_weights(flags.model);
  loaded.checkpoint = open_checkpoint(path);
  loaded.backend = make_cpu_backend({.threads = flags.threads,
                                     .kernels = flags.kernels,
                                     .exact = flags.exact,
                                     .rounding = flags.rounding == "coarse" ? Rounding::coarse
                                                 : flags.rounding == "fine" ? Rounding::fine
                                                                            : Rounding::mixed,
                                     .kv = q8 ? KvFormat::q8 : KvFormat::f16,
                                     .packing = packing_options(flags, path, *loaded.checkpoint)});
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
