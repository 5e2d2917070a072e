// Where tests find their data.
#pragma once

#include <filesystem>
#include <optional>

namespace lancet::test {

/// tests/data/<name>.
std::filesystem::path data_path(const std::filesystem::path& name);
/// tests/cases/<name>.
std::filesystem::path case_path(const std::filesystem::path& name);
/// The folder of reference data that is not part of the project ($LANCET_ORACLES), if it was named and exists.
std::optional<std::filesystem::path> oracle_folder();

}  // namespace lancet::test

/// Skips the test loudly when $LANCET_ORACLES does not name the reference folder; else binds it to `name`.
#define LANCET_NEEDS_ORACLES(name)                                                             \
  const auto name##_folder = ::lancet::test::oracle_folder();                                  \
  if (!name##_folder) GTEST_SKIP() << "DID NOT RUN: LANCET_ORACLES does not name the oracles"; \
  const std::filesystem::path& name = *name##_folder
