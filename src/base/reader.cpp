#include "base/reader.h"

#include <fmt/format.h>

namespace lancet {

void Reader::fail(const std::string& problem) const {
  throw Error(Fault::bad_file, fmt::format("{}: at byte {}: {}", source_, offset_, problem));
}

void Reader::fail_short(uint64_t count, std::string_view what) const {
  fail(fmt::format("{} needs {} bytes, the file has {} left", what, count, left()));
}

}  // namespace lancet
