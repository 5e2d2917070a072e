// Memory straight from the operating system: zero, and physically there only once it is touched, so a cache sized for
// the longest context costs nothing until it fills. POSIX.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lancet {

/// huge: 2 MiB at a time where the system can, for memory that is read from end to end.
enum class PageSize { usual, huge };

/// A private anonymous mapping, owned. Reads as zeros until written.
class Pages {
 public:
  Pages() = default;
  /// Throws Error{io} that says what the memory was for and how many bytes were asked.
  Pages(uint64_t bytes, std::string_view purpose, PageSize = PageSize::usual);
  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;
  ~Pages();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lancet
