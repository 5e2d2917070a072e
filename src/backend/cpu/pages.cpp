#include "backend/cpu/pages.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <sys/mman.h>

#include "base/error.h"

namespace lancet {

Pages::Pages(uint64_t bytes, std::string_view purpose, PageSize pages) {
  if (bytes == 0) return;
  // Without MAP_NORESERVE the kernel refuses at once what the machine could never hold.
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    throw Error(Fault::io, fmt::format("{} needs {} bytes of memory, which the system refused: {}", purpose, bytes,
                                       std::strerror(errno)));
  }
#ifdef MADV_HUGEPAGE
  if (pages == PageSize::huge) madvise(address, bytes, MADV_HUGEPAGE);  // a wish: usual pages do as well
#else
  static_cast<void>(pages);
#endif
  data_ = static_cast<std::byte*>(address);
  size_ = bytes;
}

Pages::Pages(Pages&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Pages::~Pages() {
  if (data_) munmap(data_, size_);
}

}  // namespace lancet
