// A file that appears complete or not at all: written under another name beside its place, made durable, then renamed.
// POSIX.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace lancet {

/// Without commit() the destructor removes what was written. One thread at a time. Throws Error{io} with the reason.
class OutputFile {
 public:
  enum class Existing { refuse, replace };

  /// Refuses what could not be finished: a folder that is not there, fewer than `wanted_bytes` bytes free, a file that
  /// exists unless it may be replaced.
  static void check(const std::filesystem::path& path, Existing existing, uint64_t wanted_bytes);

  /// The same first.
  OutputFile(std::filesystem::path path, Existing existing, uint64_t wanted_bytes);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  uint64_t written_bytes() const { return written_; }
  /// Gives the file its name once its bytes are on the disk. What came to exist in the meantime is not overwritten
  /// either, unless it may be replaced.
  void commit();

 private:
  [[noreturn]] static void fail(const std::filesystem::path& path, const char* what, int error);
  void give_name();

  std::filesystem::path path_, partial_;
  Existing existing_;
  int file_ = -1;
  uint64_t written_ = 0;
};

}  // namespace lancet
