// Packed weights on disk: one file holds all panels of one model, so that its next start reads them instead of making
// them. A cache may vanish, be cut short or be written by two processes at once at any time, and nothing may come of
// that but a slower start: a file appears complete, by a rename, and is read like a stranger's.
//
// Layout, little-endian: 16 bytes of magic; u32 version of this layout, u32 kPanelLayoutVersion, u64 key, u64 size of
// the file, u32 number of slots; for each slot u16 length of its name, the name, u8 format, u32 rows, u32 columns, u64
// offset from the first panel, u64 bytes, u64 checksum; u64 hash of all that. Zeros up to a multiple of 4096, where the
// panels begin. No CPU feature is part of it: the panels are the same for every kernel table.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/format.h"
#include "base/mapped_file.h"

namespace lancet {

/// One weight's panels in a file.
struct CachedSlot {
  std::string name;  // of the tensor
  Format format = Format::f32;
  uint32_t rows = 0, cols = 0;
  uint64_t offset = 0;    // from the first panel of the file; a multiple of kPanelAlignment
  uint64_t bytes = 0;     // whole panels
  uint64_t checksum = 0;  // panels_checksum()

  bool operator==(const CachedSlot&) const = default;
};

inline constexpr uint64_t kPanelAlignment = 4096;

/// What a file says about itself.
struct PanelIndex {
  uint64_t key = 0;
  std::vector<CachedSlot> slots;  // in the order of their offsets

  /// Bytes from the first panel to the end of the last one.
  uint64_t image_bytes() const;
};

/// Where the panels begin in a file with this index.
uint64_t panel_data_offset(const PanelIndex&);

/// Reads the index of a file of `file_bytes` bytes of which `head` are the first, all that the index needs or more.
/// Throws Error{bad_file}: another magic, version or layout, a wrong hash, slots that overlap, lie outside or are not
/// as large as their shape says.
PanelIndex read_panel_index(std::span<const std::byte> head, uint64_t file_bytes, const std::string& source);

/// The checksum of a slot from the hashes of its panels.
uint64_t panels_checksum(std::span<const uint64_t> panel_hashes);

/// Such a file, open for reading. It may be replaced or removed meanwhile: what is open stays as it is.
class PanelFile {
 public:
  /// Throws Error{not_found}, {io}, {bad_file}.
  explicit PanelFile(const std::filesystem::path&);

  const PanelIndex& index() const { return index_; }
  /// Bytes that begin `offset` bytes after the first panel's, mapped as long as this lives.
  std::span<const std::byte> panels(uint64_t offset, uint64_t bytes) const {
    return file_.bytes().subspan(panel_data_offset(index_) + offset, bytes);
  }
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  PanelIndex index_;
};

/// A folder of such files.
class PanelCache {
 public:
  /// `model` names what was packed and how (its path, its formats): files of the same model with another key are
  /// stale. An empty folder: a cache that has nothing and keeps nothing.
  PanelCache(std::filesystem::path folder, const std::string& model, uint64_t key);

  bool enabled() const { return !folder_.empty(); }
  /// Where this model's file is or would be.
  std::filesystem::path file() const;

  /// Writes the file: all of it or nothing. `image` is image_bytes() long. Throws Error{io} (no room, no permission),
  /// Error{cancelled} when `stop` is raised meanwhile. Stale files of the model go; so do the files that were used
  /// longest ago, beyond kMostFiles of any models. Of several that write at once the last one wins.
  void write(const PanelIndex&, std::span<const std::byte> image, const std::atomic<bool>& stop) const;
  /// Notes that the file was used.
  void touch() const;
  /// Removes what writers that were killed have left behind.
  void remove_litter() const;

  static constexpr size_t kMostFiles = 8;

 private:
  void remove_old_files() const;

  std::filesystem::path folder_;
  std::string model_;  // first part of the file's name
  uint64_t key_;
};

}  // namespace lancet
