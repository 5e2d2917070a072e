// A writer holds a lock on its temporary file while it lives, so whoever gets that lock knows that the writer is dead
// and that the file is litter: after a kill -9 the next start cleans up, without a guess about age.
#include "backend/cpu/panel_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/reader.h"
#include "base/sizes.h"
#include "kernels/panels.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr char kMagic[16] = {'l', 'a', 'n', 'c', 'e', 't', ' ', 'p', 'a', 'n', 'e', 'l', 's', '\n', '\x1a', '\n'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMostSlots = 1 << 20;
constexpr uint16_t kMostName = 1024;
constexpr std::string_view kEnding = ".panels", kUnfinished = ".unfinished";
constexpr uint64_t kSpareBytes = uint64_t{256} << 20;  // left free on the disk for everybody else

template <typename T>
void put(std::vector<std::byte>& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

uint64_t index_bytes(const PanelIndex& index) {
  uint64_t total = sizeof kMagic + 4 + 4 + 8 + 8 + 4 + 8;
  for (const CachedSlot& slot : index.slots) total += 2 + slot.name.size() + 1 + 4 + 4 + 8 + 8 + 8;
  return total;
}

/// The file up to its first panel.
std::vector<std::byte> head_of(const PanelIndex& index) {
  std::vector<std::byte> out;
  for (const char c : kMagic) put(out, c);
  put(out, kVersion);
  put(out, static_cast<uint32_t>(kPanelLayoutVersion));
  put(out, index.key);
  put(out, panel_data_offset(index) + index.image_bytes());
  put(out, static_cast<uint32_t>(index.slots.size()));
  for (const CachedSlot& slot : index.slots) {
    put(out, static_cast<uint16_t>(slot.name.size()));
    for (const char c : slot.name) put(out, c);
    put(out, static_cast<uint8_t>(slot.format));
    put(out, slot.rows);
    put(out, slot.cols);
    put(out, slot.offset);
    put(out, slot.bytes);
    put(out, slot.checksum);
  }
  put(out, hash64(out));
  out.resize(panel_data_offset(index));
  return out;
}

CachedSlot read_slot(Reader& reader, uint64_t room) {
  CachedSlot slot;
  const auto length = reader.number<uint16_t>("the length of a slot's name");
  if (length > kMostName)
    reader.fail(fmt::format("a slot's name has {} bytes, at most {} are read", length, kMostName));
  slot.name = reader.text(length, "a slot's name");
  const auto format = reader.number<uint8_t>("a slot's format");
  slot.rows = reader.number<uint32_t>("a slot's rows");
  slot.cols = reader.number<uint32_t>("a slot's columns");
  slot.offset = reader.number<uint64_t>("a slot's offset");
  slot.bytes = reader.number<uint64_t>("a slot's size");
  slot.checksum = reader.number<uint64_t>("a slot's checksum");
  if (format >= kFormatCount || panel_stretch(static_cast<Format>(format)).bytes == 0)
    reader.fail(fmt::format("format {} has no panels", format));
  slot.format = static_cast<Format>(format);
  if (slot.rows < 1 || slot.cols < 1 || slot.rows > INT32_MAX || slot.cols > INT32_MAX)
    reader.fail(fmt::format("a slot is {}x{}", slot.rows, slot.cols));
  const auto wanted =
      checked_multiply(divide_up(slot.rows, kPanelRows), static_cast<uint64_t>(panel_bytes(slot.format, slot.cols)));
  if (wanted != slot.bytes) {
    reader.fail(fmt::format("a slot of {}x{} {} has {} bytes, wanted {}", slot.rows, slot.cols,
                            format_name(slot.format), slot.bytes, wanted.value_or(0)));
  }
  const auto end = checked_add(slot.offset, slot.bytes);
  if (slot.offset % kPanelAlignment != 0 || !end || *end > room)
    reader.fail(fmt::format("a slot lies at {}, which is not in the file or not aligned", slot.offset));
  return slot;
}

[[noreturn]] void fail_io(const fs::path& path, const char* verb) {
  throw Error(Fault::io, fmt::format("{}: cannot {}: {}", path.string(), verb, std::generic_category().message(errno)));
}

/// A file being written under a name that nobody looks for; removed unless it was kept.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(fs::path path) : path_(std::move(path)) {
    number_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (number_ < 0) fail_io(path_, "create it");
    flock(number_, LOCK_EX | LOCK_NB);  // failing only means that somebody looks at it as litter, and so renaming fails
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  ~UnfinishedFile() {
    if (!kept_) unlink(path_.c_str());
    close(number_);
  }

  void write(std::span<const std::byte> bytes, const std::atomic<bool>& stop) {
    constexpr size_t kPiece = size_t{4} << 20, kFlushed = size_t{64} << 20;
    for (size_t unflushed = 0; !bytes.empty();) {
      if (stop.load(std::memory_order_relaxed)) throw Error(Fault::cancelled, "nobody waits for the packed weights");
      const ssize_t count = ::write(number_, bytes.data(), std::min(bytes.size(), kPiece));
      if (count < 0 && errno != EINTR) fail_io(path_, "write to it");
      if (count <= 0) continue;
      bytes = bytes.subspan(static_cast<size_t>(count));
      unflushed += static_cast<size_t>(count);
      // Bit by bit, or one flush of everything at the end could not be stopped for seconds.
      if (unflushed < kFlushed) continue;
      if (fsync(number_) != 0) fail_io(path_, "flush it");
      unflushed = 0;
    }
  }
  void rename_to(const fs::path& name) {
    if (fsync(number_) != 0) fail_io(path_, "flush it");
    if (rename(path_.c_str(), name.c_str()) != 0) fail_io(path_, "rename it");
    kept_ = true;
    const int folder = open(name.parent_path().c_str(), O_RDONLY | O_CLOEXEC);
    if (folder < 0) return;  // the name may be lost with the power, no more
    fsync(folder);
    close(folder);
  }

 private:
  fs::path path_;
  int number_ = -1;
  bool kept_ = false;
};

/// Whether the writer of an unfinished file is gone.
bool is_abandoned(const fs::path& path) {
  const int number = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0) return false;
  const bool locked = flock(number, LOCK_EX | LOCK_NB) == 0;
  close(number);
  return locked;
}

void require_room(const fs::path& folder, uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available / 2 >= bytes) return;
  const uint64_t wanted = checked_add(bytes, kSpareBytes).value_or(UINT64_MAX);
  if (space.available >= wanted) return;
  throw Error(Fault::io, fmt::format("{}: packed weights need {} bytes and {} to spare, but {} are free",
                                     folder.string(), bytes, kSpareBytes, space.available));
}

}  // namespace

uint64_t PanelIndex::image_bytes() const { return slots.empty() ? 0 : slots.back().offset + slots.back().bytes; }

uint64_t panel_data_offset(const PanelIndex& index) {
  return divide_up(index_bytes(index), kPanelAlignment) * kPanelAlignment;
}

PanelIndex read_panel_index(std::span<const std::byte> head, uint64_t file_bytes, const std::string& source) {
  Reader reader(head, source);
  if (std::memcmp(reader.take(sizeof kMagic, "the magic").data(), kMagic, sizeof kMagic) != 0)
    reader.fail("these are no packed weights");
  const auto version = reader.number<uint32_t>("the version");
  const auto layout = reader.number<uint32_t>("the panels' version");
  if (version != kVersion || layout != static_cast<uint32_t>(kPanelLayoutVersion)) {
    reader.fail(fmt::format("version {} with panels of version {}, wanted {} and {}", version, layout, kVersion,
                            kPanelLayoutVersion));
  }
  PanelIndex index{.key = reader.number<uint64_t>("the key"), .slots = {}};
  const auto size = reader.number<uint64_t>("the size of the file");
  if (size != file_bytes) reader.fail(fmt::format("the file has {} bytes, wanted {}", file_bytes, size));
  const auto count = reader.number<uint32_t>("the number of slots");
  if (count > kMostSlots) reader.fail(fmt::format("{} slots, at most {} are read", count, kMostSlots));
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t begin = index.image_bytes();
    index.slots.push_back(read_slot(reader, file_bytes));
    if (index.slots.back().offset < begin) reader.fail("slots overlap");
  }
  const uint64_t hash = hash64(head.first(reader.offset()));
  if (reader.number<uint64_t>("the hash") != hash) reader.fail("the hash of the table is wrong");
  const auto end = checked_add(panel_data_offset(index), index.image_bytes());
  if (end != file_bytes) reader.fail(fmt::format("the file has {} bytes, wanted {}", file_bytes, end.value_or(0)));
  return index;
}

uint64_t panels_checksum(std::span<const uint64_t> panel_hashes) { return hash64(std::as_bytes(panel_hashes)); }

PanelFile::PanelFile(const fs::path& path)
    : file_(path), index_(read_panel_index(file_.bytes(), file_.bytes().size(), path.string())) {}

PanelCache::PanelCache(fs::path folder, const std::string& model, uint64_t key)
    : folder_(std::move(folder)), model_(fmt::format("{:016x}", hash64(std::as_bytes(std::span(model))))), key_(key) {}

fs::path PanelCache::file() const { return folder_ / fmt::format("{}-{:016x}{}", model_, key_, kEnding); }

void PanelCache::write(const PanelIndex& index, std::span<const std::byte> image, const std::atomic<bool>& stop) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw Error(Fault::io, fmt::format("{}: cannot make the folder: {}", folder_.string(), error.message()));
  remove_litter();
  require_room(folder_, panel_data_offset(index) + image.size());
  static std::atomic<int> number = 0;  // a process may write the same file twice at once
  UnfinishedFile file(fs::path(fmt::format("{}.{}.{}{}", this->file().string(), getpid(), number++, kUnfinished)));
  file.write(head_of(index), stop);
  file.write(image, stop);
  file.rename_to(this->file());
  remove_old_files();
}

void PanelCache::touch() const { utimensat(AT_FDCWD, file().c_str(), nullptr, 0); }

void PanelCache::remove_litter() const {
  std::error_code ignored;  // a folder that cannot be read is not ours to clean
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    if (entry.path().string().ends_with(kUnfinished) && is_abandoned(entry.path())) fs::remove(entry.path(), ignored);
  }
}

void PanelCache::remove_old_files() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> others;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    const fs::path& path = entry.path();
    if (path.extension() != kEnding || path == file()) continue;
    if (path.filename().string().starts_with(model_)) {
      fs::remove(path, ignored);
    } else {
      others.emplace_back(entry.last_write_time(ignored), path);
    }
  }
  std::sort(others.begin(), others.end());
  for (size_t i = 0; i + (kMostFiles - 1) < others.size(); i++) fs::remove(others[i].second, ignored);
}

}  // namespace lancet
