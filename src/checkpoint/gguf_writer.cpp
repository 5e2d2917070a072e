#include "checkpoint/gguf_writer.h"

#include "base/check.h"
#include "base/sizes.h"

namespace lancet {
namespace {

constexpr uint32_t kVersion = 3;

/// Numbers are little-endian in the file, as they are in memory on every machine that Lancet runs on.
template <typename T>
void put(std::vector<std::byte>& to, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), bytes, bytes + sizeof value);
}

void put(std::vector<std::byte>& to, std::string_view text) {
  put(to, uint64_t{text.size()});
  const auto bytes = std::as_bytes(std::span(text));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void put_type(std::vector<std::byte>& to, GgufType type) { put(to, static_cast<uint32_t>(type)); }

void pad(std::vector<std::byte>& to) { to.resize(*round_up(to.size(), kGgufPadding)); }

}  // namespace

void GgufMetadata::begin(std::string_view key, GgufType type) {
  put(bytes_, key);
  put_type(bytes_, type);
  count_++;
}

void GgufMetadata::add(std::string_view key, std::string_view value) {
  begin(key, GgufType::string);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, uint32_t value) {
  begin(key, GgufType::u32);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, float value) {
  begin(key, GgufType::f32);
  put(bytes_, value);
}

void GgufMetadata::add(std::string_view key, bool value) {
  begin(key, GgufType::boolean);
  put(bytes_, static_cast<uint8_t>(value));
}

void GgufMetadata::add(std::string_view key, std::span<const std::string> values) {
  begin(key, GgufType::array);
  put_type(bytes_, GgufType::string);
  put(bytes_, uint64_t{values.size()});
  for (const std::string& value : values) put(bytes_, std::string_view(value));
}

void GgufMetadata::add(std::string_view key, std::span<const int32_t> values) {
  begin(key, GgufType::array);
  put_type(bytes_, GgufType::i32);
  put(bytes_, uint64_t{values.size()});
  for (const int32_t value : values) put(bytes_, value);
}

void GgufMetadata::add(const GgufValue& value) {
  begin(value.key, value.type);
  if (value.type == GgufType::array) {
    put_type(bytes_, value.element);
    put(bytes_, value.count);
  }
  bytes_.insert(bytes_.end(), value.bytes.begin(), value.bytes.end());
}

uint64_t padded_bytes(const GgufTensor& tensor) { return *round_up(tensor.bytes(), kGgufPadding); }

std::vector<std::byte> gguf_header(const GgufMetadata& metadata, std::span<const GgufTensor> tensors) {
  std::vector<std::byte> out;
  for (const char c : {'G', 'G', 'U', 'F'}) put(out, c);
  put(out, kVersion);
  put(out, uint64_t{tensors.size()});
  put(out, metadata.count());
  out.insert(out.end(), metadata.bytes().begin(), metadata.bytes().end());
  uint64_t offset = 0;
  for (const GgufTensor& tensor : tensors) {
    const auto type = gguf_type_number(tensor.format);
    CHECK(type);
    put(out, std::string_view(tensor.name));
    put(out, uint32_t{tensor.rows == 1 ? 1u : 2u});
    put(out, static_cast<uint64_t>(tensor.cols));  // the contiguous one first
    if (tensor.rows != 1) put(out, static_cast<uint64_t>(tensor.rows));
    put(out, *type);
    put(out, offset);
    offset += padded_bytes(tensor);
  }
  pad(out);
  return out;
}

}  // namespace lancet
