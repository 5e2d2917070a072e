// Who has panels, in which format, and how they come to be: packed at once where that is quick, in the background
// behind the first requests where it is not, or read from the file that an earlier start has left. Nothing waits for
// them, because products pack what they need as long as they are not there.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/pages.h"
#include "backend/cpu/panel_cache.h"
#include "backend/cpu/panel_slot.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace lancet {

/// Owns the panels of one backend. add() and prepare() are called by one thread, in this order; products may read slots
/// from any thread, at any time.
class PanelStore {
 public:
  /// Throws Error{unsupported} for a --quant that this table cannot multiply or nobody can encode.
  /// Panels of `quick_bytes` altogether are too many to be packed at once.
  PanelStore(const KernelTable&, bool exact, const PackingOptions&, uint64_t quick_bytes = kQuickBytes);
  /// Stops what runs in the background, within milliseconds.
  ~PanelStore();
  PanelStore(const PanelStore&) = delete;

  /// The slot of a matrix that was placed; null: products read its rows as they are stored. The weight's data and
  /// scales and the tensor's mapping must outlive the store.
  const PanelSlot* add(const StoredTensor&, const Weight&, WeightUse);

  /// Lowers PackingOptions::memory.
  void limit(uint64_t bytes) { options_.memory = std::min(options_.memory, bytes); }

  /// Once, after the last add(). Panels of less than quick_bytes are packed before it returns, those of a model that is
  /// quantised too; others are packed by threads of their own, which give way to everybody else. If panels do not fit
  /// into PackingOptions::memory there will be none.
  void prepare(ThreadPool&);

  /// Waits until nothing runs in the background any more.
  void settle();

  /// What weights are quantised to, for descriptions: " q4_k", or nothing.
  std::string quantised() const;

  /// Bytes of all panels.
  uint64_t bytes() const { return index_.image_bytes(); }

  static constexpr uint64_t kQuickBytes = uint64_t{256} << 20;

 private:
  struct Entry {
    Weight weight;  // without panels
    const MappedFile* mapping;
    std::span<const std::byte> stored;
    PanelSlot slot;
    int64_t panels = 0;
    uint64_t offset = 0;            // in pages_ or the file's image
    std::atomic<int64_t> left = 0;  // panels that are not packed yet; acquire/release: the last one publishes them all
    std::vector<uint64_t> hashes;   // of each panel
  };
  /// Panels [begin, end) of an entry, for one thread.
  struct Piece {
    Entry* entry;
    int64_t begin, end;
  };
  /// Bytes of pages_ or of the file's panels.
  struct Place {
    uint64_t offset, bytes;
  };

  std::optional<Format> choose(const Weight&, WeightUse) const;
  std::optional<Format> choose_quantised(const Weight&, WeightUse) const;
  uint64_t key() const;
  void cut_into_pieces();
  bool load(ThreadPool&);
  void take_index(const PanelIndex&);
  void hash_mapped(ThreadPool&);
  void copy_in_background();
  size_t scratch_bytes() const;
  static Place panels_of(const Piece&);
  static std::span<const std::byte> source_of(const Piece&);
  void pack_panels(const Piece&, std::byte* scratch);
  void finish(const Piece&, std::byte* scratch);
  void pack_pieces(std::byte* scratch);
  void pack_now(ThreadPool&);
  void pack_in_background(int threads);
  void report_progress();
  void keep();

  const KernelTable& kernels_;
  bool exact_;
  uint64_t quick_bytes_;
  PackingOptions options_;
  std::deque<Entry> entries_;  // a deque, for their addresses must stay
  PanelIndex index_;           // slot i is entry i
  PanelCache cache_;
  Pages pages_;                               // the panels, packed or copied from
  std::unique_ptr<PanelFile> file_;           // the file, if there is a right one
  std::vector<Piece> pieces_;                 // in the order of packing
  std::atomic<size_t> next_piece_ = 0;        // relaxed: it hands out numbers
  std::atomic<uint64_t> finished_bytes_ = 0;  // relaxed, for reports
  std::atomic<int64_t> next_report_s_ = 5;    // relaxed, as well
  std::chrono::steady_clock::time_point begin_;
  std::atomic<bool> stop_ = false;
  std::jthread worker_;  // last: joined before the rest goes
};

}  // namespace lancet
