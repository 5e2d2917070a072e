// What a hub says is in a repository, and which of its files a model needs. Pure functions over untrusted text: nothing
// here touches the network or the disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"

namespace lancet {

/// A file as the hub describes it. `digest` is the name of its blob in the cache, and proves its content: the sha256 of
/// a large file (64 hex digits), git's sha1 of a small one (40).
struct RepositoryFile {
  std::string name;  // relative, '/' between folders, checked by stays_in_folder
  uint64_t size = 0;
  std::string digest;
};

struct RepositoryInfo {
  std::string commit;  // 40 hex digits
  std::vector<RepositoryFile> files;
};

/// True for 40 or 64 lower-case hexadecimal digits.
bool is_digest(std::string_view text);

/// True for a relative path that stays inside its folder on every system: no empty, "." or ".." part, no backslash,
/// colon or control character, no device name of Windows, parts of at most 255 bytes, 1,024 in all.
bool is_safe_file_name(std::string_view name);
/// The same, but device names of Windows pass: such a file may be listed, and is no reason to refuse its neighbours.
bool stays_in_folder(std::string_view name);

/// Reads the hub's answer to /api/models/REPO/revision/REVISION?blobs=true. Throws Error{bad_file} for an answer that
/// is no such document, has names that leave the folder, digests that are none, or a file twice.
RepositoryInfo parse_repository_info(std::string_view json, const std::string& source, Budget&);

/// The files that make the model `quant` of a repository, in an order whose last one is the file by which a reader
/// finds the model (config.json; the first part of a split GGUF): linked in this order, a half-finished snapshot is not
/// taken for a model. Without a quant: the Hugging Face layout, else Mistral's own, else the only GGUF. With one: the
/// GGUF with all its parts, and an image part if there is one. All names are safe. Throws Error{not_found} that lists
/// what there is, Error{bad_file} if one of the files has a device name of Windows.
std::vector<RepositoryFile> choose_files(const std::string& repo, const RepositoryInfo&, const std::string& quant);

/// "-00002-of-00003.gguf" at the end of a name: 2; 0 for files that are no part of a split.
int split_part(std::string_view name);

/// The names of all parts of the split that `first` begins, without `first`; none if it begins no split.
std::vector<std::string> split_names(const std::string& first);

/// The models among names of GGUF files: no image parts, and of split sets the first part. Sorted.
std::vector<std::string> gguf_models(const std::vector<std::string>& names);

/// The models whose name has `quant` as a word, else those that have it anywhere; upper and lower case are equal.
std::vector<std::string> with_quant(const std::vector<std::string>& models, std::string_view quant);

/// "a, b, c and 4 more", sorted; "nothing" for none.
std::string listed(std::vector<std::string> names);

}  // namespace lancet
