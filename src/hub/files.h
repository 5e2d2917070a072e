// What the download cache needs of the file system: descriptors that close, names that survive a power cut, and
// sentences.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <unistd.h>

namespace lancet {

struct Descriptor {
  int number;
  explicit Descriptor(int number) : number(number) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

/// Throws Error{io}, "<path>: cannot <verb>: <errno in words>"; a full disk says how much is free.
[[noreturn]] void fail_io(const std::filesystem::path& path, std::string_view verb);

/// Makes a rename or a new name in this folder survive a power cut.
void sync_folder(const std::filesystem::path& folder);

/// A small file written beside its name, synced and renamed into place.
void write_file_durably(const std::filesystem::path& path, std::string_view text);

/// The commit that a reference of the cache names; empty if there is no such file, or it is too large to be one.
std::string read_reference(const std::filesystem::path& reference);

/// A symbolic link that replaces whatever has its name, in one step.
void link_durably(const std::filesystem::path& target, const std::filesystem::path& link);

/// Makes folders one by one below `root`, which may be a link itself; Error{unsupported} if one on the way is a link,
/// because what is written there would land elsewhere.
void make_folders_inside(const std::filesystem::path& root, const std::filesystem::path& relative);

/// "4.67 GB", "12 kB": decimal units, as disks and the hub count.
std::string size_text(uint64_t bytes);

}  // namespace lancet
