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
  /// When the file was last written, when it was opened: nanoseconds since 1970.
  int64_t modified_ns() const { return modified_ns_; }

  /// Lets go of the memory under a part of bytes(), which stays readable: it is fetched again when it is read. Parts of
  /// pages, and bytes that are not this file's, stay. Any thread.
  void drop(std::span<const std::byte> part) const;
  /// Brings a part of bytes() into memory at once, which is several times as fast as page by page. The same bounds.
  void fetch(std::span<const std::byte> part) const;

 private:
  void advise(std::span<const std::byte> part, int advice) const;

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
  int64_t modified_ns_ = 0;
};

/// A small file read whole: Error{too_large} beyond `limit_bytes`.
std::string read_text_file(const std::filesystem::path& path, size_t limit_bytes);

}  // namespace lancet
