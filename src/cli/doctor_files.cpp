#include "cli/doctor_files.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "checkpoint/raw_tensor.h"
#include "hub/digest.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kSection = "files";
constexpr double kHashBytesPerSecond = 3e8;  // what a slow machine does, its disk included

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

/// The hash that the hub's cache names a blob after: SHA-256 for large files, git's SHA-1 for small ones. Empty: the
/// path is no link into such a cache.
std::string hub_hash(const fs::path& path) {
  std::error_code ignored;  // a path that cannot be resolved is no blob
  const fs::path real = fs::weakly_canonical(path, ignored);
  const std::string name = real.filename().string();
  const bool hash = (name.size() == 64 || name.size() == 40) && is_hex(name);
  return hash && real.parent_path().filename() == "blobs" ? name : "";
}

bool belongs_to_model(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".json" || extension == ".jinja" || extension == ".safetensors" || extension == ".gguf";
}

std::vector<fs::path> model_files(const fs::path& model) {
  std::vector<fs::path> files;
  std::error_code ignored;  // what cannot be listed is told by whoever opens it
  if (!fs::is_directory(model, ignored)) return {model};
  for (const auto& entry : fs::directory_iterator(model, ignored))
    if (belongs_to_model(entry.path())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// A download that broke off often has its full length, and zeros at its end; weights hardly ever end so.
bool ends_in_zeros(const fs::path& path, std::span<const std::byte> bytes) {
  constexpr size_t kTail = 4096;
  if (path.extension() == ".json" || bytes.size() < 2 * kTail) return false;
  const auto tail = bytes.last(kTail);
  return std::all_of(tail.begin(), tail.end(), [](std::byte b) { return b == std::byte{0}; });
}

struct Hashing {
  int right = 0, untried = 0;
};

void examine(const fs::path& path, const Deadline& deadline, Hashing& hashing, Report& report) {
  const std::string name = path.filename().string();
  try {
    const MappedFile file(path);
    refuse_impostor(file.bytes(), name);
    if (ends_in_zeros(path, file.bytes()))
      report.problem(kSection, "zero-tail", name + " ends in zeros, as a download that broke off leaves them",
                     "delete the file and download it again");
    const std::string hash = hub_hash(path);
    if (hash.empty()) return;
    if (static_cast<double>(file.bytes().size()) / kHashBytesPerSecond > deadline.left() / 3) {
      hashing.untried++;
    } else if (digest_of(file.bytes(), hash.size()) == hash) {
      hashing.right++;
    } else {
      report.problem(kSection, "hash-differs",
                     fmt::format("{} is not what the hub sent: its content does not have the hash {}", name, hash),
                     "fetch it again with `lancet pull --verify`");
    }
  } catch (const Error& error) {
    report.problem(kSection, "not-a-model", error.message(), "delete the file and download it again");
  }
}

}  // namespace

void examine_files(const fs::path& model, const Deadline& deadline, Report& report) {
  const int before = report.problems();
  Hashing hashing;
  const std::vector<fs::path> files = model_files(model);
  for (const fs::path& path : files) examine(path, deadline, hashing, report);
  if (hashing.untried > 0) report.left_out(kSection, fmt::format("the hashes of {} files", hashing.untried));
  if (report.problems() > before || files.empty()) return;
  report.good(
      kSection,
      fmt::format("{} file{}, none empty, a git-LFS pointer or a web page{}", files.size(),
                  files.size() == 1 ? "" : "s",
                  hashing.right > 0 ? fmt::format("; {} with the content that the hub sent", hashing.right) : ""));
}

}  // namespace lancet
