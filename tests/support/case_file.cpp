// Reads .case files. See case_file.h.
#include "support/case_file.h"

#include <fstream>
#include <stdexcept>

namespace lancet::test {

std::string TestCase::section(const std::string& wanted) const {
  const auto found = sections.find(wanted);
  return found == sections.end() ? std::string() : found->second;
}

std::vector<TestCase> read_cases(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<TestCase> cases;
  std::string* section = nullptr;
  bool empty = true;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("=== ")) {
      cases.push_back({line.substr(4), {}});
      section = nullptr;
    } else if (line.starts_with("--- ") && !cases.empty()) {
      section = &cases.back().sections[line.substr(4)];
      empty = true;
    } else if (section) {
      if (!empty) *section += '\n';
      *section += line;
      empty = false;
    } else if (!cases.empty() && !line.empty()) {
      throw std::runtime_error(path.string() + ": \"" + line + "\" stands outside of a section");
    }
  }
  if (cases.empty()) throw std::runtime_error(path.string() + ": no cases");
  return cases;
}

}  // namespace lancet::test
