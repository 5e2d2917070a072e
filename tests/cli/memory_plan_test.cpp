// The memory plan: tables of numbers, and what it reads of a system.
#include "cli/memory_plan.h"

#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "support/paths.h"

namespace lancet::test {
namespace {

constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

/// Ministral 3 3B in FP8 with an f16 cache: 26 layers, 8 key heads of 128; 1.6 MiB a block, 104 KiB a token.
MemoryNeeds big(uint64_t weights = 4 * kGiB) {
  return {.weights = weights,
          .block = uint64_t{2} * 26 * 1024 * 2 * kBlockTokens,
          .scratch = 64 * kMiB,
          .model_context = 262144};
}

/// What is left for weights and cache once scratch and reserve are taken is `room`.
uint64_t with_room(uint64_t room) { return room + 64 * kMiB + kMemoryReserve; }

TEST(MemoryPlan, ChoosesHalfOfWhatIsFreeAfterTheWeights) {
  const uint64_t token = big().block / kBlockTokens;
  struct Case {
    uint64_t half_tokens;  // that half of the free memory would hold
    int context;
  };
  for (const Case& c : {Case{0, 4096},
                        {4095, 4096},
                        {4096, 4096},
                        {4112, 4112},
                        {20000, 20000},
                        {32752, 32752},
                        {32768, 32768},
                        {32784, 32768},
                        {1'000'000, 32768}}) {
    const auto plan = plan_memory(big(), {.parallel = 4}, with_room(4 * kGiB + 2 * c.half_tokens * token));
    EXPECT_EQ(plan.context, c.context) << c.half_tokens;
    EXPECT_EQ(plan.context % kBlockTokens, 0);
    EXPECT_TRUE(plan.fits);
  }
}

TEST(MemoryPlan, ChoosesNoMoreThanTheModelHas) {
  MemoryNeeds needs = big();
  for (const int context : {1, 512, 4095, 4096, 8192, 32767}) {
    needs.model_context = context;
    EXPECT_EQ(plan_memory(needs, {}, 64 * kGiB).context, context);
  }
}

TEST(MemoryPlan, TakesTheAskedContextUpToTheModels) {
  for (const int asked : {16, 100, 4096, 40000, 262144}) {
    EXPECT_EQ(plan_memory(big(), {.context = asked}, 64 * kGiB).context, asked);
  }
  EXPECT_EQ(plan_memory(big(), {.context = 262145}, 64 * kGiB).context, 262144);
}

TEST(MemoryPlan, RequestsShareNoMoreThanHalfButOneAlwaysHasRoom) {
  const uint64_t block = big().block;
  struct Case {
    uint64_t half_blocks;
    int parallel;
    int64_t blocks;  // of 4096 tokens, 256 blocks a request
  };
  for (const Case& c : {Case{2000, 1, 256},
                        {2000, 4, 1024},
                        {1024, 4, 1024},
                        {1023, 4, 1023},
                        {257, 4, 257},
                        {256, 4, 256},
                        {255, 4, 256},
                        {0, 4, 256},
                        {1 << 20, 1024, 262144}}) {
    const auto plan =
        plan_memory(big(), {.context = 4096, .parallel = c.parallel}, with_room(4 * kGiB + 2 * c.half_blocks * block));
    EXPECT_EQ(plan.blocks, c.blocks) << c.half_blocks << " " << c.parallel;
    EXPECT_EQ(plan.cache_bytes(), static_cast<uint64_t>(c.blocks) * block);
  }
}

TEST(MemoryPlan, FitsExactlyAndNotWithOneByteLess) {
  const uint64_t one = 256 * big().block;  // 4096 tokens
  for (const uint64_t weights : {uint64_t{0}, 4 * kGiB, 400 * kGiB}) {
    const auto fits = plan_memory(big(weights), {.context = 4096}, with_room(one));
    EXPECT_TRUE(fits.fits);
    EXPECT_EQ(fits.fitting_context, 4096);
    EXPECT_NO_THROW(require_fit(fits));
    const auto over = plan_memory(big(weights), {.context = 4096}, with_room(one) - 1);
    EXPECT_FALSE(over.fits);
    EXPECT_EQ(over.fitting_context, 4096 - kBlockTokens);
    EXPECT_TRUE(plan_memory(big(weights), {.context = over.fitting_context}, with_room(one) - 1).fits);
    EXPECT_FALSE(plan_memory(big(weights), {.context = over.fitting_context + 1}, with_room(one) - 1).fits);
  }
}

TEST(MemoryPlan, FittingContextIsNeverMoreThanTheModels) {
  MemoryNeeds needs = big();
  needs.model_context = 1000;  // 63 blocks, the last one half used
  EXPECT_EQ(plan_memory(needs, {}, with_room(64 * needs.block)).fitting_context, 1000);
  EXPECT_EQ(plan_memory(needs, {}, with_room(63 * needs.block)).fitting_context, 1000);
  EXPECT_EQ(plan_memory(needs, {}, with_room(62 * needs.block)).fitting_context, 992);
}

std::string refusal(const MemoryPlan& plan) {
  try {
    require_fit(plan);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::unsupported);
    return error.message();
  }
  return {};
}

TEST(MemoryPlan, RefusalNamesTheNumbersAndTheContextThatFits) {
  const auto message = refusal(plan_memory(big(), {.context = 131072}, 2 * kGiB));
  EXPECT_EQ(message,
            "a context of 131072 tokens needs 13.00 GiB of cache, 64.0 MiB of scratch and 256.0 MiB in reserve, but "
            "2.00 GiB are available; --ctx 17008 would fit");
  EXPECT_TRUE(plan_memory(big(), {.context = 17008}, 2 * kGiB).fits);
  EXPECT_FALSE(plan_memory(big(), {.context = 17009}, 2 * kGiB).fits);
  EXPECT_NE(refusal(plan_memory(big(), {}, 100 * kMiB)).find("no context fits"), std::string::npos);
}

TEST(MemoryPlan, ChosenContextIsRefusedToo) {
  const auto plan = plan_memory(big(), {}, with_room(255 * big().block));
  EXPECT_EQ(plan.context, 4096);
  EXPECT_NE(refusal(plan).find("--ctx 4080 would fit"), std::string::npos);
}

TEST(MemoryPlan, WeightsAreNeverRefusedButSaidToExceed) {
  const uint64_t room = 256 * big().block + 4 * kGiB;
  const MemoryWish wish{.context = 4096, .parallel = 1};
  EXPECT_FALSE(plan_memory(big(), wish, with_room(room)).weights_exceed());
  const auto plan = plan_memory(big(4 * kGiB + 1), wish, with_room(room));
  EXPECT_TRUE(plan.weights_exceed());
  EXPECT_TRUE(plan.fits);
  EXPECT_NE(memory_table(plan)[1].find("again"), std::string::npos);
  EXPECT_EQ(memory_table(plan_memory(big(), wish, with_room(room)))[1].find("again"), std::string::npos);
}

TEST(MemoryPlan, SystemThatSaysNothingRefusesNothing) {
  const auto plan = plan_memory(big(), {.context = 262144, .parallel = 1024}, kNoLimit);
  EXPECT_TRUE(plan.fits);
  EXPECT_FALSE(plan.weights_exceed());
  EXPECT_EQ(plan.blocks, 1024 * 16384);
  EXPECT_EQ(plan.fitting_context, 262144);
  EXPECT_EQ(plan_memory(big(), {}, kNoLimit).context, 32768);
  EXPECT_EQ(memory_table(plan).size(), 5u);
  const auto none = plan_memory(big(), {}, 0);
  EXPECT_FALSE(none.fits);
  EXPECT_TRUE(none.weights_exceed());
}

TEST(MemoryPlan, TableIsAligned) {
  const auto lines = memory_table(plan_memory(big(), {.parallel = 4}, 24 * kGiB));
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[1], "  weights      4.00 GiB  mapped from the files, then packed for fast products instead");
  EXPECT_EQ(lines[2],
            "  cache        9.84 GiB  99248 tokens for up to 4 requests of 32768 (chosen); taken only as it fills");
  EXPECT_EQ(lines[3], "  scratch      64.0 MiB  at most, in the largest step");
}

constexpr uint64_t kSystem = uint64_t{8'000'000} * 1024;

/// A folder that looks like the root of a system.
class FakeSystem : public testing::Test {
 protected:
  FakeSystem() : root_(std::filesystem::temp_directory_path() / ("lancet-memory-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(root_);
    write("proc/meminfo", "MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\nCached: 5 kB\n");
  }
  ~FakeSystem() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::filesystem::path root_;
};

TEST_F(FakeSystem, WithoutGroupsTheSystemDecides) {
  EXPECT_EQ(available_memory(root_), kSystem);
  EXPECT_EQ(available_memory(root_ / "nothing"), kNoLimit);
}

TEST_F(FakeSystem, GroupOfVersion2Decides) {
  write("proc/self/cgroup", "0::/system.slice/lancet\n");
  write("sys/fs/cgroup/system.slice/lancet/memory.max", "1000000\n");
  write("sys/fs/cgroup/system.slice/lancet/memory.current", "400000\n");
  EXPECT_EQ(available_memory(root_), 600'000u);
  write("sys/fs/cgroup/system.slice/lancet/memory.stat", "anon 1\ninactive_file 100000\nactive_file 50000\nshmem 9\n");
  EXPECT_EQ(available_memory(root_), 750'000u);
  write("sys/fs/cgroup/system.slice/lancet/memory.max", "max\n");
  EXPECT_EQ(available_memory(root_), kSystem);
  write("sys/fs/cgroup/system.slice/memory.max", "500000\n");
  EXPECT_EQ(available_memory(root_), 500'000u);
}

TEST_F(FakeSystem, GroupThatIsOverItsLimitLeavesNothing) {
  write("proc/self/cgroup", "0::/a\n");
  write("sys/fs/cgroup/a/memory.max", "1000\n");
  write("sys/fs/cgroup/a/memory.current", "1001\n");
  EXPECT_EQ(available_memory(root_), 0u);
}

TEST_F(FakeSystem, GroupOfVersion1Decides) {
  write("proc/self/cgroup", "5:cpu,memory:/docker/abc\n0::/\n");
  write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2000000\n");
  write("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "500000\n");
  EXPECT_EQ(available_memory(root_), 1'500'000u);
  write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(available_memory(root_), kSystem);
}

TEST_F(FakeSystem, InsideAContainerTheMountIsTheGroup) {
  write("proc/self/cgroup", "5:memory:/docker/of/the/host\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "3000000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
  EXPECT_EQ(available_memory(root_), 3'000'000u);
}

TEST(MemoryNeeds, AreOfTheTensorsTheCacheAndTheLargestStep) {
  const auto checkpoint = open_checkpoint(data_path("tiny/fp8"));
  const auto half = make_cpu_backend({.kv = KvFormat::f16}), eight = make_cpu_backend({.kv = KvFormat::q8});
  const auto needs = memory_needs(*checkpoint, *half, 256, 4);
  uint64_t bytes = 0;
  for (const StoredTensor& tensor : checkpoint->tensors()) bytes += tensor.bytes.size();
  EXPECT_EQ(needs.weights, bytes);
  EXPECT_EQ(needs.block, 2u * 3 * 2 * (32 * 2 + 4) * 16);
  EXPECT_EQ(memory_needs(*checkpoint, *eight, 256, 4).block, 2u * 3 * 64 / 32 * 34 * 16);
  EXPECT_EQ(needs.model_context, checkpoint->config().text.context);
  EXPECT_EQ(memory_needs(*checkpoint, *half, 256, 5).scratch - needs.scratch, 4u * (2 * 64 + 1536));
}

}  // namespace
}  // namespace lancet::test
