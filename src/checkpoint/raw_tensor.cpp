// Shapes as text, and the things that are downloaded instead of models.
#include "checkpoint/raw_tensor.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace lancet {

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

bool path_exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

void refuse_impostor(std::span<const std::byte> bytes, const std::string& source) {
  if (bytes.empty()) throw Error(Fault::bad_file, source + " is empty: the download did not finish");
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 64));
  if (head.starts_with("version https://git-lfs")) {
    throw Error(Fault::bad_file, source + " is a git-LFS pointer, not the file itself: fetch it with `git lfs pull`");
  }
  const size_t text = std::min(head.find_first_not_of(" \t\r\n"), head.size());
  if (head.substr(text).starts_with("<!DOCTYPE") || head.substr(text).starts_with("<!doctype") ||
      head.substr(text).starts_with("<html")) {
    throw Error(Fault::bad_file, source + " is a web page, not a model: the download got an error or a login page");
  }
}

}  // namespace lancet
