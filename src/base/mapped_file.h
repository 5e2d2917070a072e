// A whole file, mapped read-only. POSIX.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace lancet {

/// The bytes of a regular file; valid while the object lives (moving keeps addresses). Any thread may read.
/// Throws Error{not_found} or Error{io} with the reason. An empty file maps to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// A small file read whole: Error{too_large} beyond `limit_bytes`.
std::string read_text_file(const std::filesystem::path& path, size_t limit_bytes);

}  // namespace lancet
