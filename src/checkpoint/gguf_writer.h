// The other direction of gguf.h: metadata and a tensor table as bytes. The data follows, each tensor padded to
// kGgufPadding; whoever writes it streams it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/format.h"
#include "checkpoint/gguf.h"

namespace lancet {

inline constexpr uint64_t kGgufPadding = 32;  // what readers assume if no key says otherwise

/// Metadata in the order of adding. A key is added once.
class GgufMetadata {
 public:
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }  // which is no bool
  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const int32_t> values);
  void add(const GgufValue& value);  // another file's

  uint64_t count() const { return count_; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  void begin(std::string_view key, GgufType type);

  uint64_t count_ = 0;
  std::vector<std::byte> bytes_;
};

/// A row of the tensor table. One row is a vector.
struct GgufTensor {
  std::string name;
  Format format;
  int64_t rows, cols;

  uint64_t bytes() const { return static_cast<uint64_t>(rows * row_bytes(format, cols)); }
};

/// Bytes of a tensor with the padding behind it.
uint64_t padded_bytes(const GgufTensor&);

/// Everything that stands before the data of these tensors, which lie in this order.
std::vector<std::byte> gguf_header(const GgufMetadata&, std::span<const GgufTensor>);

}  // namespace lancet
