// Files that appear complete or not at all.
#include "base/output_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "base/error.h"

namespace lancet {
namespace {
namespace fs = std::filesystem;
using Existing = OutputFile::Existing;

class OutputFileTest : public testing::Test {
 protected:
  OutputFileTest() {
    std::string name = (fs::temp_directory_path() / "output_file.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~OutputFileTest() override { fs::remove_all(folder_); }

  static void write(OutputFile& file, const std::string& text) { file.write(std::as_bytes(std::span(text))); }
  static std::string read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  long files() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }
  static std::string refusal(const fs::path& path, Existing existing, uint64_t bytes = 1) {
    try {
      OutputFile file(path, existing, bytes);
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(OutputFileTest, AppearsWholeWhenCommittedAndLeavesNothingElse) {
  {
    OutputFile file(folder_ / "out", Existing::refuse, 6);
    write(file, "abc");
    EXPECT_FALSE(fs::exists(folder_ / "out"));
    write(file, "def");
    EXPECT_EQ(file.written_bytes(), 6u);
    file.commit();
  }
  EXPECT_EQ(read(folder_ / "out"), "abcdef");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, LeavesNothingWithoutCommit) {
  {
    OutputFile file(folder_ / "out", Existing::refuse, 3);
    write(file, "abc");
  }
  EXPECT_EQ(files(), 0);
}

TEST_F(OutputFileTest, ReplacesOnlyWhenAsked) {
  std::ofstream(folder_ / "out") << "old";
  EXPECT_NE(refusal(folder_ / "out", Existing::refuse).find("exists already"), std::string::npos);
  {
    OutputFile file(folder_ / "out", Existing::replace, 3);
    write(file, "new");
    EXPECT_EQ(read(folder_ / "out"), "old");
    file.commit();
  }
  EXPECT_EQ(read(folder_ / "out"), "new");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, WhatAppearedInTheMeantimeStays) {
  {
    OutputFile file(folder_ / "out", Existing::refuse, 3);
    write(file, "new");
    std::ofstream(folder_ / "out") << "theirs";
    EXPECT_THROW(file.commit(), Error);
  }
  EXPECT_EQ(read(folder_ / "out"), "theirs");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, RefusesAtOnceWhatCannotBeFinished) {
  EXPECT_NE(refusal(folder_ / "out", Existing::refuse, UINT64_MAX).find("bytes, the disk has"), std::string::npos);
  EXPECT_NE(refusal(folder_ / "none" / "out", Existing::refuse).find("No such file"), std::string::npos);
  EXPECT_NE(refusal(folder_, Existing::replace).find("is a folder"), std::string::npos);
  EXPECT_EQ(files(), 0);
}

}  // namespace
}  // namespace lancet
