// Digests of files that grow and begin anew, and the lock between processes.
#include "hub/file_hasher.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "hub/file_lock.h"
#include "hub/files.h"
#include "support/checkpoint_writer.h"

namespace lancet {
namespace {

class Growing : public testing::Test {
 protected:
  /// Writes behind what is there, and says so.
  void grow(FileHasher& hasher, const std::string& text) {
    ASSERT_EQ(pwrite(file_.number, text.data(), text.size(), static_cast<off_t>(end_)),
              static_cast<ssize_t>(text.size()));
    hasher.advance(end_ += text.size());
  }
  void begin_anew(FileHasher& hasher) {
    hasher.restart();
    ASSERT_EQ(ftruncate(file_.number, 0), 0);
    end_ = 0;
  }

  test::TemporaryFolder folder_;
  const Descriptor file_{open(folder_.write("file", "").c_str(), O_RDWR)};
  uint64_t end_ = 0;
};

// FIPS 180-2, "abc"; git hash-object of "hello\n".
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kHello = "ce013625030ba8dba906f756967f9e9ca394464a";

TEST_F(Growing, DigestsAreThoseOfTheWholeFile) {
  FileHasher sha256(file_.number, 3, 64);
  for (const char* piece : {"a", "b", "c"}) grow(sha256, piece);
  EXPECT_EQ(sha256.finish(), kAbc);
  begin_anew(sha256);
  grow(sha256, "abc");
  EXPECT_EQ(sha256.finish(), kAbc);
  begin_anew(sha256);
  FileHasher git(file_.number, 6, 40);
  grow(git, "hello\n");
  EXPECT_EQ(git.finish(), kHello);
}

TEST_F(Growing, BeginningAnewForgetsWhatWasRead) {
  const std::string wrong(3 << 20, 'x');
  for (int round = 0; round < 20; round++) {
    FileHasher hasher(file_.number, 3, 64);
    grow(hasher, "ab");
    begin_anew(hasher);
    grow(hasher, "abc");
    EXPECT_EQ(hasher.finish(), kAbc);
    begin_anew(hasher);
  }
  FileHasher large(file_.number, wrong.size(), 64);
  grow(large, wrong);
  begin_anew(large);  // perhaps in the middle of it
  grow(large, wrong);
  const std::string digest = large.finish();
  begin_anew(large);
  for (size_t at = 0; at < wrong.size(); at += 1 << 18) grow(large, wrong.substr(at, 1 << 18));
  EXPECT_EQ(large.finish(), digest);
}

TEST_F(Growing, AnEndWithoutAllBytesIsNoDeadlock) {
  FileHasher hasher(file_.number, 100, 64);
  grow(hasher, "abc");
}

TEST(FileLock, OneAtATime) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "x.lock";
  EXPECT_FALSE(is_locked(path));
  {
    const FileLock lock(path, [] { FAIL(); });
    EXPECT_TRUE(is_locked(path));
  }
  EXPECT_FALSE(is_locked(path));
}

TEST(Files, SizesAreForPeople) {
  EXPECT_EQ(size_text(999), "999 bytes");
  EXPECT_EQ(size_text(12'345), "12 kB");
  EXPECT_EQ(size_text(4'671'990'488), "4.67 GB");
}

}  // namespace
}  // namespace lancet
