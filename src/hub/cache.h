// The Hugging Face cache on disk, as huggingface_hub lays it out: models--OWNER--NAME/{refs,snapshots,blobs}.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace lancet {

/// "owner/repo[@REVISION][:QUANT]".
struct HubName {
  std::string repo;      // "owner/repo"
  std::string revision;  // a branch, tag or commit; empty: main
  std::string quant;     // "Q4_K_M", or empty
};

/// Parses a hub name; nothing if the text is not one (a path, for instance).
std::optional<HubName> parse_hub_name(std::string_view text);
/// True for a branch, tag or commit that can stand in a name.
bool is_revision(std::string_view text);
/// The name as parse_hub_name takes it.
std::string hub_name_text(const HubName&);
/// The hub name that MODEL is, or nothing if it is a path that exists or no hub name.
std::optional<HubName> as_hub_name(const std::string& model);

/// $HF_HOME, else $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface.
std::filesystem::path hub_home();
/// $HF_HUB_CACHE, else hub in hub_home().
std::filesystem::path hub_cache_folder();
/// "models--OWNER--NAME".
std::string repository_folder(const std::string& repo);

/// What the cache has of a model.
struct CacheLookup {
  std::filesystem::path model;  // for open_checkpoint; empty: not there
  std::string commit;           // whose snapshot that is
  std::string why;              // a sentence without its full stop, if it is not there
};
/// Looks a hub name up: of its revision, else of refs/main, else of the newest snapshot; with a quant the matching
/// .gguf.
CacheLookup look_up(const HubName& name);
/// A weight file that a reader of this cached model will want and not find; empty: none. Reads the index of shards:
/// Error{bad_file} if it is none.
std::string missing_weights(const std::filesystem::path& model);

/// Turns what a user gave as MODEL into a path that open_checkpoint takes: an existing path is returned as it is; a hub
/// name is looked up. Throws Error{not_found} that says where was looked, what is there, and how to get it.
std::filesystem::path resolve_model(const std::string& model);
/// The same for those who need the weights too.
std::filesystem::path resolve_weights(const std::string& model);
/// Of a hub name and nothing else: what the cache has of it, weights included; throws as resolve_weights does.
CacheLookup require_cached(const HubName& name);

}  // namespace lancet
