// Who gets panels, when they are there, and what a file of packed weights may do to a start: nothing but make it
// faster.
#include "backend/cpu/panel_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "backend/cpu/product.h"
#include "backend/fixtures.h"
#include "base/error.h"
#include "base/quantise.h"
#include "support/checkpoint_writer.h"

namespace lancet::test {
namespace {
namespace fs = std::filesystem;

// The table of a file with World's three slots, whose names have 6 letters: panel_cache.h.
constexpr size_t kTableBytes = 52 + 3 * (2 + 6 + 1 + 2 * 4 + 3 * 8);

const KernelTable& scalar() { return select_kernels("scalar"); }

Weight weight_of(const OwnedTensor& tensor) {
  return {.format = tensor.stored.format,
          .rows = static_cast<int>(tensor.stored.rows),
          .cols = static_cast<int>(tensor.stored.cols),
          .data = tensor.stored.bytes.data(),
          .scale = tensor.stored.scale.values.empty() ? nullptr : &tensor.stored.scale};
}

/// A few weights and what their panels must be.
struct World {
  std::vector<OwnedTensor> tensors;

  explicit World(uint64_t seed = 1) {
    tensors.push_back(random_tensor(Format::bf16, 50, 64, seed));
    tensors.push_back(random_tensor(Format::f8_e4m3, 33, 96, seed + 1));
    tensors.push_back(random_tensor(Format::q8_0, 17, 128, seed + 2));
    for (size_t i = 0; i < tensors.size(); i++) tensors[i].stored.name = "text." + std::to_string(i);
  }

  std::vector<const PanelSlot*> add_to(PanelStore& store) const {
    std::vector<const PanelSlot*> slots;
    for (const OwnedTensor& tensor : tensors)
      slots.push_back(store.add(tensor.stored, weight_of(tensor), WeightUse::product));
    return slots;
  }
};

std::vector<std::byte> packed(const Weight& weight, const PanelSlot& slot) {
  const int64_t panels = (weight.rows + kPanelRows - 1) / kPanelRows;
  std::vector<std::byte> out(static_cast<size_t>(panels * slot.bytes));
  const Pages scratch(static_cast<uint64_t>(pack_scratch_bytes(weight, slot)) + 64, "a test");
  for (int64_t panel = 0; panel < panels; panel++)
    pack_panel(scalar(), weight, slot, panel, scratch.data(), out.data() + panel * slot.bytes);
  return out;
}

void expect_packed(const World& world, const std::vector<const PanelSlot*>& slots) {
  for (size_t i = 0; i < slots.size(); i++) {
    ASSERT_TRUE(slots[i] && slots[i]->data.load()) << i;
    const std::vector<std::byte> wanted = packed(weight_of(world.tensors[i]), *slots[i]);
    EXPECT_EQ(std::memcmp(slots[i]->data.load(), wanted.data(), wanted.size()), 0) << i;
  }
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

PackingOptions cached_in(const TemporaryFolder& folder) {
  return {.cache = folder.path() / "packed", .model = "a model", .identity = 7};
}

/// Packs `world` with a cache in the folder, in the background as large models are, and waits.
void expect_start(const World& world, const PackingOptions& options) {
  ThreadPool pool(2);
  PanelStore store(scalar(), false, options, 0);
  const auto slots = world.add_to(store);
  store.prepare(pool);
  store.settle();
  expect_packed(world, slots);
}

TEST(PanelStore, FewPanelsAreThereAtOnce) {
  const World world;
  ThreadPool pool(2);
  PanelStore store(scalar(), false, {});
  const auto slots = world.add_to(store);
  for (const PanelSlot* slot : slots) EXPECT_EQ(slot->data.load(), nullptr);
  store.prepare(pool);
  expect_packed(world, slots);
}

TEST(PanelStore, ProductsAreTheSameBeforeDuringAndAfterPacking) {
  for (const KernelTable* table : kernel_tables()) {
    if (!table->panel[static_cast<int>(Format::bf16)].multiply) continue;
    const OwnedTensor tensor = random_tensor(Format::bf16, 4000, 256, 3);
    CpuCore core{.kernels = *table, .pool = ThreadPool(2), .arena = {}, .exact = false};
    for (const WeightUse use : {WeightUse::product, WeightUse::head}) {
      PanelStore store(*table, false, {}, 0);
      Weight weight = weight_of(tensor);
      weight.panels = store.add(tensor.stored, weight, use);
      ASSERT_TRUE(weight.panels);
      std::vector<float> x = random_floats(3 * 256, 9), before(3 * 4000), now(3 * 4000);
      const auto multiply_into = [&](std::vector<float>& out) {
        const Product product{.out = {out.data(), 3, 4000}, .weight = weight};
        multiply(core, {x.data(), 3, 256}, {&product, 1});
      };
      multiply_into(before);
      ThreadPool pool(2);
      store.prepare(pool);
      while (!weight.panels->data.load()) {
        multiply_into(now);
        ASSERT_EQ(now, before) << table->name;
      }
      multiply_into(now);
      EXPECT_EQ(now, before) << table->name;
    }
  }
}

TEST(PanelStore, ExactArithmeticAndLookupsHaveNoPanels) {
  const World world;
  PanelStore exact(scalar(), true, {}), store(scalar(), false, {});
  const StoredTensor& tensor = world.tensors[0].stored;
  EXPECT_EQ(exact.add(tensor, weight_of(world.tensors[0]), WeightUse::product), nullptr);
  EXPECT_EQ(store.add(tensor, weight_of(world.tensors[0]), WeightUse::lookup), nullptr);
}

TEST(PanelStore, TheHeadIsKeptInEightBitsAndTheRestAsItIs) {
  const World world;
  PanelStore store(scalar(), false, {});
  const Weight weight = weight_of(world.tensors[0]);
  EXPECT_EQ(store.add(world.tensors[0].stored, weight, WeightUse::head)->format, Format::q8_0);
  EXPECT_EQ(store.add(world.tensors[0].stored, weight, WeightUse::product)->format, Format::bf16);
}

TEST(PanelStore, QuantisingTakesTheWishedFormatWhereItFits) {
  PanelStore store(scalar(), false, {.quantise = Format::q4_k});
  const auto chosen = [&](int64_t cols, WeightUse use) {
    const OwnedTensor tensor = random_tensor(Format::bf16, 32, cols, 1);
    return store.add(tensor.stored, weight_of(tensor), use)->format;
  };
  EXPECT_EQ(chosen(256, WeightUse::product), Format::q4_k);
  EXPECT_EQ(chosen(256, WeightUse::head), Format::q6_k);
  EXPECT_EQ(chosen(96, WeightUse::product), Format::q8_0);   // no whole superblocks
  EXPECT_EQ(chosen(100, WeightUse::product), Format::bf16);  // no whole blocks
}

TEST(PanelStore, ScalesInsideARowNeedQuantising) {
  OwnedTensor tensor = random_tensor(Format::f8_e4m3, 32, 64, 1);
  tensor.stored.scale = {.row_block = 32, .col_block = 32, .values = {0.5f, 2.0f}};
  PanelStore plain(scalar(), false, {}), quantised(scalar(), false, {.quantise = Format::q8_0});
  EXPECT_EQ(plain.add(tensor.stored, weight_of(tensor), WeightUse::product), nullptr);
  const PanelSlot* slot = quantised.add(tensor.stored, weight_of(tensor), WeightUse::product);
  ASSERT_TRUE(slot);
  EXPECT_EQ(slot->format, Format::q8_0);
}

TEST(PanelStore, QuantisingIsRefusedWhereItCannotBe) {
  EXPECT_THROW(PanelStore(scalar(), true, {.quantise = Format::q8_0}), Error);
  EXPECT_THROW(PanelStore(scalar(), false, {.quantise = Format::iq4_nl}), Error);
}

TEST(PanelStore, WithoutMemoryProductsDoWithoutPanelsButNotWithoutQuantising) {
  const World world;
  ThreadPool pool(1);
  PanelStore store(scalar(), false, {.memory = 100});
  const auto slots = world.add_to(store);
  store.prepare(pool);
  for (const PanelSlot* slot : slots) EXPECT_EQ(slot->data.load(), nullptr);
  PanelStore quantised(scalar(), false, {.quantise = Format::q8_0});
  world.add_to(quantised);
  quantised.limit(100);
  EXPECT_THROW(quantised.prepare(pool), Error);
}

TEST(PanelStore, GoingAwayEndsThePacking) {
  const OwnedTensor tensor = random_tensor(Format::bf16, 20000, 256, 3);
  ThreadPool pool(2);
  PanelStore store(scalar(), false, {}, 0);
  store.add(tensor.stored, weight_of(tensor), WeightUse::head);
  store.prepare(pool);
}

TEST(PanelStore, TheNextStartTakesThePanelsFromTheFile) {
  const TemporaryFolder folder;
  World world;
  const PackingOptions options = cached_in(folder);
  expect_start(world, options);
  ASSERT_EQ(files_in(options.cache).size(), 1u);

  // Other contents where nobody looks, under the identity of the first: what is found then is the file's.
  World changed = world;
  for (size_t i = 0; i < changed.tensors.size(); i++) {
    OwnedTensor& tensor = changed.tensors[i];
    tensor.stored.bytes = std::span<const std::byte>(tensor.bytes);
    tensor.bytes[100] ^= std::byte{1};
  }
  for (const uint64_t memory : {UINT64_MAX, uint64_t{100}}) {  // read, mapped
    ThreadPool pool(2);
    PackingOptions limited = options;
    limited.memory = memory;
    PanelStore store(scalar(), false, limited, 0);
    const auto slots = changed.add_to(store);
    store.prepare(pool);
    expect_packed(world, slots);
  }
  PackingOptions other = options;
  other.identity = 8;
  expect_start(changed, other);
  EXPECT_EQ(files_in(options.cache).size(), 1u);  // what it replaces is stale
}

TEST(PanelStore, DamageAnywhereIsSeenAndRepaired) {
  const TemporaryFolder folder;
  const World world;
  const PackingOptions options = cached_in(folder);
  expect_start(world, options);
  const fs::path file = files_in(options.cache).front();
  const std::string right = bytes_of(file);
  const auto expect_repaired = [&](std::string wrong) {
    std::ofstream(file, std::ios::binary) << wrong;
    expect_start(world, options);
    EXPECT_TRUE(bytes_of(file) == right);
  };
  const PanelIndex index = read_panel_index(std::as_bytes(std::span(right)), right.size(), "a test");
  std::vector<size_t> places;
  for (size_t at = 0; at < kTableBytes; at++) places.push_back(at);
  for (const CachedSlot& slot : index.slots) {
    const size_t begin = panel_data_offset(index) + slot.offset;
    for (const size_t at : {begin, begin + slot.bytes / 2, begin + slot.bytes - 1}) places.push_back(at);
  }
  for (const size_t at : places) {
    std::string wrong = right;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x10);
    expect_repaired(wrong);
    if (HasFailure()) FAIL() << at;
  }
  for (const size_t size : {size_t{0}, size_t{10}, size_t{200}, right.size() / 2, right.size() - 1})
    expect_repaired(right.substr(0, size));
  expect_repaired(right + "x");
}

TEST(PanelStore, SeveralMayWriteTheSameFileAtOnce) {
  const TemporaryFolder folder;
  const World world;
  const PackingOptions options = cached_in(folder);
  {
    std::vector<std::jthread> starts;
    for (int i = 0; i < 4; i++) starts.emplace_back([&] { expect_start(world, options); });
  }
  EXPECT_EQ(files_in(options.cache).size(), 1u);
  expect_start(world, options);
}

TEST(PanelStore, AFolderThatCannotBeWrittenCostsNothing) {
  const TemporaryFolder folder;
  const World world;
  PackingOptions options = cached_in(folder);
  options.cache = folder.write("a file", "no folder") / "packed";
  expect_start(world, options);
}

TEST(PanelStore, OnlyWhatDeadWritersLeftIsRemoved) {
  const TemporaryFolder folder;
  const World world;
  const PackingOptions options = cached_in(folder);
  const fs::path dead = folder.write("packed/dead.unfinished", "1"), live = folder.write("packed/live.unfinished", "2");
  const int lock = open(live.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_EX | LOCK_NB), 0);
  expect_start(world, options);
  close(lock);
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(live));
}

TEST(PanelStore, TheFolderKeepsTheModelsUsedLast) {
  const TemporaryFolder folder;
  const World world;
  PackingOptions options = cached_in(folder);
  for (size_t i = 0; i < PanelCache::kMostFiles + 2; i++) {
    options.model = "model " + std::to_string(i);
    expect_start(world, options);
    EXPECT_EQ(files_in(options.cache).size(), std::min(i + 1, PanelCache::kMostFiles));
  }
}

TEST(PanelIndex, EveryCutIsRefused) {
  const TemporaryFolder folder;
  const PackingOptions options = cached_in(folder);
  expect_start(World(), options);
  const std::string right = bytes_of(files_in(options.cache).front());
  const auto bytes = std::as_bytes(std::span(right));
  for (size_t size = 0; size < kTableBytes; size++)
    EXPECT_THROW(read_panel_index(bytes.first(size), right.size(), "a test"), Error) << size;
}

}  // namespace
}  // namespace lancet::test
