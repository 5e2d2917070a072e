// A bounded little-endian reader over untrusted bytes. Every message says the source and the offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace lancet {

/// Reads forward through bytes it does not own; each read past the end throws Error{bad_file} with the offset.
class Reader {
 public:
  /// `source` names the bytes in messages, usually the file's name.
  Reader(std::span<const std::byte> bytes, std::string source) : bytes_(bytes), source_(std::move(source)) {}

  size_t offset() const { return offset_; }
  size_t left() const { return bytes_.size() - offset_; }
  const std::string& source() const { return source_; }

  /// The next `count` bytes as a view; `what` names them in the message.
  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    if (count > left()) fail_short(count, what);
    const auto view = bytes_.subspan(offset_, static_cast<size_t>(count));
    offset_ += static_cast<size_t>(count);
    return view;
  }
  std::string_view text(uint64_t count, std::string_view what) {
    const auto view = take(count, what);
    return {reinterpret_cast<const char*>(view.data()), view.size()};
  }
  template <typename T>
  T number(std::string_view what) {
    static_assert(std::is_arithmetic_v<T>);
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  /// Error{bad_file}: "model.gguf: at byte 24: ...".
  [[noreturn]] void fail(const std::string& problem) const;

 private:
  [[noreturn]] void fail_short(uint64_t count, std::string_view what) const;

  std::span<const std::byte> bytes_;
  std::string source_;
  size_t offset_ = 0;
};

}  // namespace lancet
