// The Hugging Face cache on disk, as huggingface_hub lays it out: models--OWNER--NAME/{refs,snapshots,blobs}.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace lancet {

/// "owner/repo" or "owner/repo:QUANT".
struct HubName {
  std::string repo;   // "owner/repo"
  std::string quant;  // "Q4_K_M", or empty
};

/// Parses a hub name; nothing if the text is not one (a path, for instance).
std::optional<HubName> parse_hub_name(std::string_view text);

/// $HF_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
std::filesystem::path hub_cache_folder();

/// Turns what a user gave as MODEL into a path that open_checkpoint takes: an existing path is returned as it is; a hub
/// name is looked up in the cache (refs/main, else the newest snapshot); with a quant the matching .gguf in the
/// snapshot. Throws Error{not_found} that says where was looked and, for a cached repository, what is there.
std::filesystem::path resolve_model(const std::string& model);

}  // namespace lancet
