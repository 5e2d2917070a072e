// A tensor as its container lists it, before anybody asked what it means. Both containers end here, so that names,
// shapes and scales are judged in one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/format.h"

namespace lancet {

struct RawTensor {
  std::string name;              // as in the file, untrusted
  std::string file;              // which file, without its folder
  std::string type;              // as the file spells it: "BF16"
  std::optional<Format> format;  // nothing: the container knows the type, Lancet does not compute with it
  std::vector<int64_t> shape;    // outermost first; the last one is contiguous
  std::span<const std::byte> bytes;
};

/// "[4096, 3072]"; "[]" for a scalar.
std::string shape_text(std::span<const int64_t> shape);

/// True if the path leads to something. Unlike std::filesystem::exists it does not throw: a path that cannot be looked
/// at (too long, no permission) is not there for us.
bool path_exists(const std::filesystem::path& path);

/// Throws Error{bad_file} if the bytes are not a model but what often stands in its place: nothing, a git-LFS
/// pointer, or a web page.
void refuse_impostor(std::span<const std::byte> bytes, const std::string& source);

}  // namespace lancet
