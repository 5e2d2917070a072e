#include "hub/files.h"

#include <fcntl.h>

#include <cctype>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

/// A name beside `path` that no other process uses.
fs::path beside(const fs::path& path) {
  return path.parent_path() / fmt::format(".{}.{}.lancet", path.filename().string().substr(0, 128), getpid());
}

}  // namespace

void fail_io(const fs::path& path, std::string_view verb) {
  const int code = errno;
  std::string why = std::generic_category().message(code);
  std::error_code unknown;
  if (code == ENOSPC || code == EDQUOT) {
    const fs::space_info space = fs::space(path.parent_path(), unknown);
    if (!unknown) why += fmt::format(" ({} free)", size_text(space.available));
  }
  throw Error(Fault::io, fmt::format("{}: cannot {}: {}", path.string(), verb, why));
}

void sync_folder(const fs::path& folder) {
  const Descriptor file(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a folder and say EINVAL; there is nothing better to do there.
  if (file.number < 0 || (fsync(file.number) != 0 && errno != EINVAL)) fail_io(folder, "write it to the disk");
}

void write_file_durably(const fs::path& path, std::string_view text) {
  const fs::path unfinished = beside(path);
  {
    const Descriptor file(open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (file.number < 0) fail_io(unfinished, "open it");
    if (write(file.number, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || fsync(file.number) != 0)
      fail_io(unfinished, "write it");
  }
  if (rename(unfinished.c_str(), path.c_str()) != 0) fail_io(path, "rename it into place");
  sync_folder(path.parent_path());
}

std::string read_reference(const fs::path& reference) {
  constexpr size_t kMostBytes = 4096;
  std::error_code absent;
  if (!fs::is_regular_file(reference, absent) || fs::file_size(reference, absent) > kMostBytes) return {};
  std::string commit = read_text_file(reference, kMostBytes);
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back()))) commit.pop_back();
  return commit;
}

void link_durably(const fs::path& target, const fs::path& link) {
  const fs::path unfinished = beside(link);
  unlink(unfinished.c_str());
  if (symlink(target.c_str(), unfinished.c_str()) != 0) fail_io(link, "make the link");
  if (rename(unfinished.c_str(), link.c_str()) != 0) fail_io(link, "rename the link into place");
  sync_folder(link.parent_path());
}

void make_folders_inside(const fs::path& root, const fs::path& relative) {
  std::error_code failed;
  fs::create_directories(root, failed);
  fs::path folder = root;
  for (const fs::path& part : relative) {
    if (failed) break;
    folder /= part;
    fs::create_directory(folder, failed);
    if (fs::is_symlink(fs::symlink_status(folder, failed)))
      throw Error(Fault::unsupported,
                  fmt::format("{}: is a link that leads out of the cache: refused", folder.string()));
  }
  if (failed) throw Error(Fault::io, fmt::format("{}: cannot make the folder: {}", folder.string(), failed.message()));
}

std::string size_text(uint64_t bytes) {
  const auto size = static_cast<double>(bytes);
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  if (size < 1e6) return fmt::format("{:.0f} kB", size / 1e3);
  if (size < 1e9) return fmt::format("{:.1f} MB", size / 1e6);
  return fmt::format("{:.2f} {}", size < 1e12 ? size / 1e9 : size / 1e12, size < 1e12 ? "GB" : "TB");
}

}  // namespace lancet
