// The loops that measure the machine: they run, and the read leaves nothing out.
#include "kernels/peaks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/random.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

TEST(Peaks, EveryTableHasThemUnderItsName) {
  for (const KernelTable* table : kernel_tables()) {
    const Peaks& peaks = peaks_of(table->name);
    EXPECT_EQ(peaks.table, table->name);
    for (const PeakLoop* loop : {&peaks.f32, &peaks.bf16, &peaks.int8}) {
      if (!loop->run) continue;
      EXPECT_GT(loop->macs_per_round, 0);
      EXPECT_FALSE(loop->instructions.empty());
      loop->run(10);
      loop->run(0);
    }
  }
  EXPECT_EQ(peaks_of("no such table").table, "scalar");
}

TEST(Peaks, TheReadSumsAllWords) {
  Random random(3);
  std::vector<uint64_t> words(32 * 50);
  uint64_t sum = 0;
  for (uint64_t& word : words) sum += word = random.next();
  for (const KernelTable* table : kernel_tables()) {
    EXPECT_EQ(peaks_of(table->name).read(std::as_bytes(std::span(words))), sum) << table->name;
    EXPECT_EQ(peaks_of(table->name).read({}), 0u);
  }
}

}  // namespace
}  // namespace lancet
