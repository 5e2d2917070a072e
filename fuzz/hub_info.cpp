// A hub's document about a repository, and the choice of files from it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "hub/repository.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lancet;
  Budget budget("fuzzing", {.steps = 1'000'000});
  try {
    const auto info = parse_repository_info({reinterpret_cast<const char*>(data), size}, "fuzz", budget);
    for (const char* quant : {"", "Q8_0"}) {
      try {
        for (const RepositoryFile& file : choose_files("owner/repo", info, quant))
          if (!is_safe_file_name(file.name) || !is_digest(file.digest)) std::abort();
      } catch (const Error&) {}
    }
  } catch (const Error&) {}
  return 0;
}
