// CHECK: a condition that only our own mistake can break. It aborts, in release too; no user input may reach one.
#pragma once

namespace lancet {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace lancet

#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) [[unlikely]]                            \
      ::lancet::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
