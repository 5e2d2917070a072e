#include "support/paths.h"

#include <cstdlib>

namespace lancet::test {

std::filesystem::path data_path(const std::filesystem::path& name) { return LANCET_TEST_DATA / name; }
std::filesystem::path case_path(const std::filesystem::path& name) { return LANCET_TEST_CASES / name; }

std::optional<std::filesystem::path> oracle_folder() {
  const char* folder = std::getenv("LANCET_ORACLES");
  if (!folder || !std::filesystem::is_directory(folder)) return std::nullopt;
  return std::filesystem::path(folder);
}

}  // namespace lancet::test
