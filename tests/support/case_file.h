// Test cases that a person can read: a text file of cases, each a few named sections.
//
//     === name of the case
//     --- section
//     any lines, the last line break not counted
//
// Lines before the first case are comments.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace lancet::test {

struct TestCase {
  std::string name;
  std::map<std::string, std::string> sections;

  /// The section, or empty.
  std::string section(const std::string& wanted) const;
};

/// All cases of a file; throws std::runtime_error if there is none or a line stands outside of a section.
std::vector<TestCase> read_cases(const std::filesystem::path& path);

}  // namespace lancet::test
