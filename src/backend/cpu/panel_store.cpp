#include "backend/cpu/panel_store.h"

#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <cstring>
#include <exception>

#include <fmt/format.h>

#include "backend/cpu/cpu_core.h"
#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/quantise.h"
#include "base/sizes.h"

namespace lancet {
namespace {

constexpr int64_t kPieceBytes = 1 << 20;  // of panels; some tenths of a millisecond
constexpr int64_t kReportSeconds = 5;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) / 1e9; }

/// How a background thread stands to others. gentle: still makes way when all cores are busy, at about a quarter of a
/// core. idle: runs where nobody else wants to.
enum class Priority { gentle, idle };
void lower_priority(Priority priority) {
#ifdef __linux__
  constexpr int kGentle = 5;  // nice
  if (priority == Priority::idle) {
    const sched_param none = {};
    sched_setscheduler(0, SCHED_IDLE, &none);
  } else {
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kGentle);  // Linux: of the calling thread
  }
#else
  static_cast<void>(priority);
#endif
}

/// A few places of a tensor: together with the sizes and times of its file they tell contents apart.
uint64_t sample(std::span<const std::byte> bytes) {
  constexpr size_t kSample = 64;
  if (bytes.size() <= 3 * kSample) return hash64(bytes);
  const uint64_t ends = hash_combine(hash64(bytes.first(kSample)), hash64(bytes.last(kSample)));
  return hash_combine(ends, hash64(bytes.subspan(bytes.size() / 2, kSample)));
}

uint64_t text_hash(std::string_view text) { return hash64(std::as_bytes(std::span(text))); }

std::string name_of(const std::optional<Format>& format) { return std::string(format ? format_name(*format) : ""); }

}  // namespace

PanelStore::PanelStore(const KernelTable& kernels, bool exact, const PackingOptions& options, uint64_t quick_bytes)
    : kernels_(kernels), exact_(exact), quick_bytes_(quick_bytes), options_(options), cache_({}, {}, 0) {
  if (!options_.quantise) return;
  const Format format = *options_.quantise;
  if (exact) throw Error(Fault::unsupported, "exact arithmetic takes weights as they are stored and quantises none");
  if (!can_quantise(format) || !kernels.panel[static_cast<int>(format)].multiply) {
    throw Error(Fault::unsupported,
                fmt::format("weights cannot be quantised to {} for the {} kernels", format_name(format), kernels.name));
  }
}

PanelStore::~PanelStore() { stop_.store(true, std::memory_order_relaxed); }

/// Sensitive as it is, the head is kept in more bits than the rest, as llama.cpp does.
std::optional<Format> PanelStore::choose_quantised(const Weight& weight, WeightUse use) const {
  const auto fits = [&](Format format) {
    return weight.cols % format_info(format).block_values == 0 && kernels_.panel[static_cast<int>(format)].multiply;
  };
  const Format wish = *options_.quantise;
  if (use == WeightUse::head && wish != Format::q8_0 && fits(Format::q6_k)) return Format::q6_k;
  for (const Format format : {use == WeightUse::head ? Format::q8_0 : wish, Format::q8_0})
    if (fits(format)) return format;
  return std::nullopt;
}

std::optional<Format> PanelStore::choose(const Weight& weight, WeightUse use) const {
  if (exact_ || use == WeightUse::lookup || weight.rows < 2) return std::nullopt;
  const bool floating = format_info(weight.format).floating;
  const bool varies = weight.scale && weight.scale->col_block < weight.cols;
  const auto multiplies = [&](Format format) { return kernels_.panel[static_cast<int>(format)].multiply != nullptr; };
  if (floating && options_.quantise) {
    if (const auto format = choose_quantised(weight, use)) return format;
  }
  if (floating && use == WeightUse::head && weight.cols % kQuantBlock == 0 && multiplies(Format::q8_0))
    return Format::q8_0;
  if (varies || !multiplies(weight.format)) return std::nullopt;
  return weight.format;
}

const PanelSlot* PanelStore::add(const StoredTensor& tensor, const Weight& weight, WeightUse use) {
  const auto format = choose(weight, use);
  if (!format) return nullptr;
  Entry& entry = entries_.emplace_back();
  entry.weight = weight;
  entry.mapping = tensor.mapping;
  entry.stored = tensor.bytes;
  entry.slot.format = *format;
  entry.slot.bytes = panel_bytes(*format, weight.cols);
  entry.panels = (weight.rows + kPanelRows - 1) / kPanelRows;
  entry.left.store(entry.panels, std::memory_order_relaxed);
  entry.offset = divide_up(index_.image_bytes(), kPanelAlignment) * kPanelAlignment;
  index_.slots.push_back({.name = tensor.name,
                          .format = *format,
                          .rows = static_cast<uint32_t>(weight.rows),
                          .cols = static_cast<uint32_t>(weight.cols),
                          .offset = entry.offset,
                          .bytes = static_cast<uint64_t>(entry.panels * entry.slot.bytes),
                          .checksum = 0});
  return &entry.slot;
}

/// Of everything that decides what the panels' bytes are. Contents count by a sample and by the identity of the files.
uint64_t PanelStore::key() const {
  uint64_t hash = hash_combine(options_.identity, uint64_t{kPanelLayoutVersion} << 32 | kQuantiserVersion);
  for (size_t i = 0; i < entries_.size(); i++) {
    const Entry& entry = entries_[i];
    const CachedSlot& slot = index_.slots[i];
    hash = hash_combine(hash, text_hash(slot.name));
    hash = hash_combine(hash, static_cast<uint64_t>(slot.format) << 8 | static_cast<uint64_t>(entry.weight.format));
    hash = hash_combine(hash, uint64_t{slot.rows} << 32 | slot.cols);
    hash = hash_combine(hash, sample(entry.stored));
    if (entry.weight.scale) hash = hash_combine(hash, hash64(std::as_bytes(std::span(entry.weight.scale->values))));
  }
  return hash;
}

void PanelStore::cut_into_pieces() {
  std::vector<Entry*> order;
  for (Entry& entry : entries_) order.push_back(&entry);
  // What is quantised first, for without panels it is by far the slowest. Then the small ones: while one is packed, all
  // that it has so far is taken beside what it is made of, because products still read that.
  const auto rank = [](const Entry* entry) {
    return entry->slot.format != entry->weight.format ? 0 : entry->panels * entry->slot.bytes;
  };
  std::stable_sort(order.begin(), order.end(), [&](const Entry* a, const Entry* b) { return rank(a) < rank(b); });
  for (Entry* const at : order) {
    Entry& entry = *at;
    const int64_t step = std::max<int64_t>(1, kPieceBytes / entry.slot.bytes);
    for (int64_t begin = 0; begin < entry.panels; begin += step)
      pieces_.push_back({&entry, begin, std::min(begin + step, entry.panels)});
    entry.hashes.resize(static_cast<size_t>(entry.panels));
  }
}

void PanelStore::prepare(ThreadPool& pool) {
  if (entries_.empty()) return;
  begin_ = Clock::now();
  cut_into_pieces();
  const bool quick = bytes() < quick_bytes_, quantised = options_.quantise.has_value();
  if (options_.identity != 0 && !options_.cache.empty() && (!quick || quantised)) {
    index_.key = key();
    cache_ = PanelCache(options_.cache, fmt::format("{}\n{}", options_.model, name_of(options_.quantise)), index_.key);
    cache_.remove_litter();
    if (load(pool)) return;
  }
  if (bytes() > options_.memory) {
    const std::string need = fmt::format("packed weights need {:.2f} GB of memory, but {:.2f} GB are left for them",
                                         gigabytes(bytes()), gigabytes(options_.memory));
    if (quantised) throw Error(Fault::unsupported, need);
    log_warning(need + ": weights are packed again for each product, which is slower");
    return;
  }
  try {
    pages_ = Pages(bytes(), "packed weights", PageSize::huge);
  } catch (const Error& error) {
    if (quantised) throw;
    log_warning(fmt::format("{}: weights are packed again for each product, which is slower", error.message()));
    return;
  }
  if (quick || quantised) {
    pack_now(pool);
    keep();
    return;
  }
  worker_ = std::jthread([this, threads = pool.threads()] { pack_in_background(threads); });
}

std::string PanelStore::quantised() const { return options_.quantise ? " " + name_of(options_.quantise) : ""; }

void PanelStore::settle() {
  if (worker_.joinable()) worker_.join();
}

size_t PanelStore::scratch_bytes() const {
  int64_t most = 0;
  for (const Entry& entry : entries_) most = std::max(most, pack_scratch_bytes(entry.weight, entry.slot));
  return static_cast<size_t>(most + 63) / 64 * 64;
}

PanelStore::Place PanelStore::panels_of(const Piece& piece) {
  const auto size = static_cast<uint64_t>(piece.entry->slot.bytes);
  return {piece.entry->offset + static_cast<uint64_t>(piece.begin) * size,
          static_cast<uint64_t>(piece.end - piece.begin) * size};
}

std::span<const std::byte> PanelStore::source_of(const Piece& piece) {
  const auto panel = static_cast<size_t>(kPanelRows * row_bytes(piece.entry->weight.format, piece.entry->weight.cols));
  const std::span<const std::byte> stored = piece.entry->stored;
  const size_t begin = std::min(static_cast<size_t>(piece.begin) * panel, stored.size());
  return stored.subspan(begin, std::min(static_cast<size_t>(piece.end) * panel, stored.size()) - begin);
}

void PanelStore::pack_panels(const Piece& piece, std::byte* scratch) {
  Entry& entry = *piece.entry;
  std::byte* to = pages_.data() + panels_of(piece).offset;
  for (int64_t panel = piece.begin; panel < piece.end; panel++, to += entry.slot.bytes) {
    pack_panel(kernels_, entry.weight, entry.slot, panel, scratch, to);
    if (cache_.enabled())
      entry.hashes[static_cast<size_t>(panel)] = hash64({to, static_cast<size_t>(entry.slot.bytes)});
  }
}

/// Packs the piece, or copies it from the file. The last one of an entry publishes its panels and lets go of what they
/// were made of: a product that still reads that gets it again from the file.
void PanelStore::finish(const Piece& piece, std::byte* scratch) {
  Entry& entry = *piece.entry;
  const Place place = panels_of(piece);
  if (file_) {
    std::memcpy(pages_.data() + place.offset, file_->panels(place.offset, place.bytes).data(), place.bytes);
  } else {
    pack_panels(piece, scratch);
    if (entry.mapping) entry.mapping->drop(source_of(piece));
  }
  finished_bytes_.fetch_add(place.bytes, std::memory_order_relaxed);
  const int64_t count = piece.end - piece.begin;
  if (entry.left.fetch_sub(count, std::memory_order_acq_rel) != count) return;
  entry.slot.data.store(pages_.data() + entry.offset, std::memory_order_release);
  if (file_) file_->file().drop(file_->panels(entry.offset, static_cast<uint64_t>(entry.panels * entry.slot.bytes)));
  if (!file_ && entry.mapping) entry.mapping->drop(entry.stored);
}

/// One thread's part of the packing.
void PanelStore::pack_pieces(std::byte* scratch) {
  while (!stop_.load(std::memory_order_relaxed)) {
    const size_t number = next_piece_.fetch_add(1, std::memory_order_relaxed);
    if (number >= pieces_.size()) return;
    finish(pieces_[number], scratch);
    if (options_.quantise && !file_) report_progress();
  }
}

void PanelStore::report_progress() {
  const auto now = static_cast<int64_t>(seconds_since(begin_));
  int64_t due = next_report_s_.load(std::memory_order_relaxed);
  if (now < due || !next_report_s_.compare_exchange_strong(due, now + kReportSeconds)) return;
  log_info(fmt::format("quantising to {}: {} %", name_of(options_.quantise),
                       finished_bytes_.load(std::memory_order_relaxed) * 100 / bytes()));
}

void PanelStore::pack_now(ThreadPool& pool) {
  const size_t size = scratch_bytes();
  const Pages scratch(size * static_cast<size_t>(pool.threads()), "packing");
  pool.run(pool.threads(), 1,
           [&](int64_t worker, int64_t) { pack_pieces(scratch.data() + static_cast<size_t>(worker) * size); });
  if (bytes() >= quick_bytes_)
    log_info(fmt::format("packed {:.2f} GB of weights in {:.1f} s", gigabytes(bytes()), seconds_since(begin_)));
}

void PanelStore::pack_in_background(int threads) {
  try {
    const size_t size = scratch_bytes();
    const Pages scratch(size * static_cast<size_t>(threads), "packing");
    {
      std::vector<std::jthread> helpers;
      for (int i = 1; i < threads; i++) {
        helpers.emplace_back([this, mine = scratch.data() + static_cast<size_t>(i) * size] {
          lower_priority(Priority::idle);
          pack_pieces(mine);
        });
      }
      lower_priority(Priority::gentle);
      pack_pieces(scratch.data());
    }
    if (stop_.load(std::memory_order_relaxed)) return;
    log_info(fmt::format("packed {:.2f} GB of weights in {:.1f} s", gigabytes(bytes()), seconds_since(begin_)));
    keep();
  } catch (const std::exception& error) {
    log_warning(fmt::format("weights are not packed: {}", error.what()));
  }
}

/// Writes the cache's file. What goes wrong costs the next start some time and nobody anything else.
void PanelStore::keep() {
  if (!cache_.enabled()) return;
  for (size_t i = 0; i < entries_.size(); i++) index_.slots[i].checksum = panels_checksum(entries_[i].hashes);
  const auto begin = Clock::now();
  try {
    cache_.write(index_, {pages_.data(), pages_.size()}, stop_);
    log_info(fmt::format("packed weights kept in {} ({:.2f} GB, {:.1f} s); --pack-cache says where, or off",
                         cache_.file().string(), gigabytes(bytes()), seconds_since(begin)));
  } catch (const Error& error) {
    if (error.fault() != Fault::cancelled)
      log_warning(fmt::format("packed weights are not kept for the next start: {}", error.message()));
  }
}

/// Maps the panels from the cache's file, if it is there and right, and copies them to huge pages later: the first
/// request waits for the check of 0.1 s a gigabyte, not for memory to be cleared and filled.
bool PanelStore::load(ThreadPool& pool) {
  try {
    file_ = std::make_unique<PanelFile>(cache_.file());
    take_index(file_->index());
    hash_mapped(pool);
    for (size_t i = 0; i < entries_.size(); i++) {
      if (panels_checksum(entries_[i].hashes) == index_.slots[i].checksum) continue;
      throw Error(Fault::bad_file, fmt::format("{}: the panels of {} do not have their checksum",
                                               cache_.file().string(), index_.slots[i].name));
    }
  } catch (const Error& error) {
    file_.reset();
    if (error.fault() != Fault::not_found)
      log_warning(fmt::format("packed weights are made anew: {}", error.message()));
    return false;
  }
  for (Entry& entry : entries_) entry.slot.data.store(file_->panels(entry.offset, 0).data(), std::memory_order_release);
  cache_.touch();
  log_info(fmt::format("packed weights: {:.2f} GB mapped from {} in {:.2f} s", gigabytes(bytes()),
                       cache_.file().string(), seconds_since(begin_)));
  if (bytes() <= options_.memory) worker_ = std::jthread([this] { copy_in_background(); });
  return true;
}

void PanelStore::copy_in_background() {
  try {
    pages_ = Pages(bytes(), "packed weights", PageSize::huge);
    lower_priority(Priority::gentle);
    pack_pieces(nullptr);
    if (!stop_.load(std::memory_order_relaxed))
      log_debug(fmt::format("packed weights are in huge pages after {:.1f} s", seconds_since(begin_)));
  } catch (const std::exception& error) {
    log_warning(fmt::format("packed weights stay mapped: {}", error.what()));
  }
}

/// Checks that a file's slots are the model's, and takes their checksums.
void PanelStore::take_index(const PanelIndex& found) {
  const auto fail = [this](const std::string& problem) {
    throw Error(Fault::bad_file, fmt::format("{}: {}", cache_.file().string(), problem));
  };
  if (found.key != index_.key || found.slots.size() != index_.slots.size()) fail("belongs to another model");
  for (size_t i = 0; i < found.slots.size(); i++) {
    index_.slots[i].checksum = found.slots[i].checksum;
    if (found.slots[i] != index_.slots[i]) fail("has other panels than the model for " + index_.slots[i].name);
  }
}

void PanelStore::hash_mapped(ThreadPool& pool) {
  pool.run(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t number, int64_t) {
    const Piece& piece = pieces_[static_cast<size_t>(number)];
    const auto panels = panels_of(piece);
    const auto mapped = file_->panels(panels.offset, panels.bytes);
    file_->file().fetch(mapped);
    const auto size = static_cast<size_t>(piece.entry->slot.bytes);
    for (int64_t i = piece.begin; i < piece.end; i++) {
      piece.entry->hashes[static_cast<size_t>(i)] =
          hash64(mapped.subspan(static_cast<size_t>(i - piece.begin) * size, size));
    }
  });
}

}  // namespace lancet
