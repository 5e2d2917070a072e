// Budget, Reader, MappedFile, sizes, quoted: the promises that the rest relies on.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <vector>

#include "base/budget.h"
#include "base/mapped_file.h"
#include "base/random.h"
#include "base/reader.h"
#include "base/sizes.h"

namespace lancet {
namespace {

TEST(Budget, EndsAtItsLimitAndNotBefore) {
  Budget budget("the work", {.steps = 10, .bytes = 100});
  for (int i = 0; i < 10; i++) budget.step();
  EXPECT_THROW(budget.step(), Error);
  budget.charge(100);
  EXPECT_THROW(budget.charge(1), Error);
}

TEST(Budget, SeesTheCancelFlagWithinAFewThousandSteps) {
  const auto flag = std::make_shared<CancelFlag>();
  Budget budget("the work", {}, flag);
  budget.step();
  flag->raise();
  const auto spend = [&] {
    for (int i = 0; i < 10000; i++) budget.step();
  };
  EXPECT_THROW(spend(), Error);
}

TEST(Budget, EndsAtItsDeadline) {
  Budget budget("the work", {.time = std::chrono::nanoseconds(1)});
  const auto spend = [&] {
    for (uint64_t i = 0; i < 1'000'000'000; i++) budget.step();
  };
  EXPECT_THROW(spend(), Error);
}

TEST(Reader, NeverReadsPastTheEndAndSaysWhere) {
  const uint8_t raw[] = {1, 0, 0, 0, 2};
  Reader reader(std::as_bytes(std::span(raw)), "x.bin");
  EXPECT_EQ(reader.number<uint32_t>("the count"), 1u);
  try {
    reader.number<uint16_t>("the kind");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "x.bin: at byte 4: the kind needs 2 bytes, the file has 1 left");
  }
  EXPECT_THROW(reader.take(UINT64_MAX, "all"), Error);
  EXPECT_EQ(reader.left(), 1u);
}

TEST(Sizes, OverflowIsSeen) {
  EXPECT_EQ(checked_multiply(1u << 31, 2u), uint64_t{1} << 32);
  EXPECT_FALSE(checked_multiply(uint64_t{1} << 32, uint64_t{1} << 32));
  EXPECT_FALSE(checked_add(UINT64_MAX, 1));
  EXPECT_EQ(divide_up(UINT64_MAX, 2), (uint64_t{1} << 63));
  EXPECT_FALSE(round_up(UINT64_MAX, 2));
}

TEST(MappedFile, ShowsTheBytesAndNamesWhatIsWrong) {
  const auto path = std::filesystem::temp_directory_path() / "lancet_mapped_file_test";
  std::ofstream(path) << "hello";
  EXPECT_EQ(MappedFile(path).text(), "hello");
  std::ofstream(path, std::ios::trunc).close();
  EXPECT_EQ(MappedFile(path).text(), "");
  std::filesystem::remove(path);
  EXPECT_THROW(MappedFile{path}, Error);
  EXPECT_THROW(MappedFile{std::filesystem::temp_directory_path()}, Error);
}

TEST(Quoted, EscapesWhatCouldFoolATerminalOrALog) {
  EXPECT_EQ(quoted("a\nb\x1b[0m"), "\"a\\x0ab\\x1b[0m\"");
  EXPECT_EQ(quoted("é\xff"), "\"é\\xff\"");
  EXPECT_EQ(quoted("\xe2\x80\xae"), "\"\\xe2\\x80\\xae\"");  // right-to-left override
  EXPECT_EQ(quoted("say \"x\""), "\"say \\\"x\\\"\"");
  EXPECT_EQ(quoted(std::string(500, 'x')).size(), 120 + 2 + 3u);
}

TEST(Random, NumbersAreTheSameEverywhere) {
  Random random(1234567);
  EXPECT_EQ(random.next(), 6457827717110365317u);  // SplitMix64's published first output for this seed
  for (int i = 0; i < 1000; i++) {
    const double u = random.uniform();
    EXPECT_TRUE(u >= 0 && u < 1);
    EXPECT_LT(random.below(7), 7u);
  }
}

}  // namespace
}  // namespace lancet
