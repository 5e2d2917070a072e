// Reading a GGUF. Every count is compared with the bytes that are left before anything is reserved for it: files that
// claimed more were how other readers were broken (llama.cpp CVE-2024-21836 and its successors).
#include "checkpoint/gguf.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/reader.h"
#include "base/sizes.h"
#include "checkpoint/safetensors.h"

namespace lancet {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kDefaultAlignment = 32;
constexpr uint64_t kSmallestKey = 8 + 4 + 1;             // empty name, type, one byte
constexpr uint64_t kSmallestTensor = 8 + 4 + 8 + 4 + 8;  // empty name, one dimension

/// ggml's type numbers (ggml.h, enum ggml_type). Those without a Format are named in the refusal.
struct TensorType {
  uint32_t number;
  std::string_view name;
  std::optional<Format> format;
};
constexpr TensorType kTensorTypes[] = {
    {0, "F32", Format::f32},
    {1, "F16", Format::f16},
    {2, "Q4_0", Format::q4_0},
    {3, "Q4_1", Format::q4_1},
    {6, "Q5_0", Format::q5_0},
    {7, "Q5_1", Format::q5_1},
    {8, "Q8_0", Format::q8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", Format::q2_k},
    {11, "Q3_K", Format::q3_k},
    {12, "Q4_K", Format::q4_k},
    {13, "Q5_K", Format::q5_k},
    {14, "Q6_K", Format::q6_k},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", Format::iq4_nl},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", Format::iq4_xs},
    {24, "I8", {}},
    {25, "I16", {}},
    {26, "I32", {}},
    {27, "I64", {}},
    {28, "F64", {}},
    {29, "IQ1_M", {}},
    {30, "BF16", Format::bf16},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {39, "MXFP4", {}},
};

/// Bytes of one value of a fixed-size type; 0: strings and arrays.
uint64_t value_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean: return 1;
    case GgufType::u16:
    case GgufType::i16: return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32: return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64: return 8;
    case GgufType::string:
    case GgufType::array: return 0;
  }
  return 0;
}

std::string_view type_name(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(type)];
}

GgufType read_type(Reader& reader, std::string_view key) {
  const auto number = reader.number<uint32_t>("a type");
  if (number > static_cast<uint32_t>(GgufType::f64)) {
    reader.fail(fmt::format("key {} has the unknown type {}", lancet::quoted(key), number));
  }
  return static_cast<GgufType>(number);
}

std::string_view read_string(Reader& reader, std::string_view what) {
  const auto length = reader.number<uint64_t>(what);
  if (length > kGgufStringBytes) {
    reader.fail(fmt::format("{} claims {} bytes, at most {} are read", what, length, kGgufStringBytes));
  }
  return reader.text(length, what);
}

/// One number at the start of a value's bytes.
template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

std::optional<int64_t> load_integer(GgufType type, const std::byte* from) {
  switch (type) {
    case GgufType::u8: return load<uint8_t>(from);
    case GgufType::i8: return load<int8_t>(from);
    case GgufType::u16: return load<uint16_t>(from);
    case GgufType::i16: return load<int16_t>(from);
    case GgufType::u32: return load<uint32_t>(from);
    case GgufType::i32: return load<int32_t>(from);
    case GgufType::i64: return load<int64_t>(from);
    case GgufType::u64:
      if (const auto value = load<uint64_t>(from); value <= INT64_MAX) return static_cast<int64_t>(value);
      return std::nullopt;
    default: return std::nullopt;
  }
}

/// The double that the shortest decimal spelling of an f32 stands for.
double shortest_decimal(float value) {
  if (!std::isfinite(value)) return value;
  const std::string text = fmt::format("{}", value);
  double out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

GgufValue read_value(Reader& reader, Budget& budget) {
  GgufValue out;
  out.key = read_string(reader, "a key");
  out.type = out.element = read_type(reader, out.key);
  out.count = 1;
  if (out.type == GgufType::array) {
    out.element = read_type(reader, out.key);
    out.count = reader.number<uint64_t>("an array's length");
    if (out.element == GgufType::array)
      reader.fail(fmt::format("key {} is an array of arrays", lancet::quoted(out.key)));
    const uint64_t smallest = std::max<uint64_t>(value_bytes(out.element), out.element == GgufType::string ? 8 : 1);
    if (out.count > kGgufArrayValues || out.count > reader.left() / smallest) {
      reader.fail(fmt::format("key {} claims {} values; at most {} are read, and {} bytes are left",
                              lancet::quoted(out.key), out.count, kGgufArrayValues, reader.left()));
    }
  }
  if (out.element != GgufType::string) {
    out.bytes = reader.take(out.count * value_bytes(out.element), "a value");
    return out;
  }
  Reader ahead = reader;
  for (uint64_t i = 0; i < out.count; i++) {
    budget.step();
    read_string(ahead, "a string");
  }
  out.bytes = reader.take(ahead.offset() - reader.offset(), "a string");
  return out;
}

uint64_t alignment_of(const GgufFile& file) {
  const GgufValue* value = file.find("general.alignment");
  if (!value) return kDefaultAlignment;
  if (value->type != GgufType::u32) {
    file.fail(value->key, fmt::format("is of type {}, wanted u32", type_name(value->type)));
  }
  const auto alignment = load<uint32_t>(value->bytes.data());
  if (!std::has_single_bit(alignment) || alignment > kGgufAlignment) {
    file.fail(value->key, fmt::format("is {}, wanted a power of two up to {}", alignment, kGgufAlignment));
  }
  return alignment;
}

/// A row of the tensor table before its bytes are known.
struct TableRow {
  RawTensor tensor;
  uint64_t offset = 0, size = 0;
};

const TensorType& read_tensor_type(Reader& reader, std::string_view name) {
  const auto number = reader.number<uint32_t>("a tensor's type");
  const auto* type = std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes),
                                  [&](const TensorType& t) { return t.number == number; });
  const bool known = type != std::end(kTensorTypes);
  if (known && type->format) return *type;
  throw Error(
      known ? Fault::unsupported : Fault::bad_file,
      fmt::format("{}: tensor {} has the type {}; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K "
                  "to Q6_K, IQ4_NL and IQ4_XS",
                  reader.source(), lancet::quoted(name),
                  known ? std::string(type->name) : fmt::format("number {}", number)));
}

TableRow read_table_row(Reader& reader) {
  TableRow row;
  RawTensor& tensor = row.tensor;
  tensor.name = read_string(reader, "a tensor's name");
  tensor.file = reader.source();
  const auto dims = reader.number<uint32_t>("a tensor's number of dimensions");
  if (dims == 0 || dims > kGgufDims) {
    reader.fail(
        fmt::format("tensor {} has {} dimensions, wanted 1 to {}", lancet::quoted(tensor.name), dims, kGgufDims));
  }
  for (uint32_t i = 0; i < dims; i++) {
    const auto dim = reader.number<uint64_t>("a dimension");
    if (dim == 0 || dim > INT64_MAX) {
      reader.fail(fmt::format("dimension {} of tensor {} is {}", i, lancet::quoted(tensor.name), dim));
    }
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(dim));  // the file has the contiguous one first
  }
  const TensorType& type = read_tensor_type(reader, tensor.name);
  tensor.type = type.name;
  tensor.format = type.format;
  const FormatInfo& info = format_info(*type.format);
  const auto cols = static_cast<uint64_t>(tensor.shape.back());
  const auto block_values = static_cast<uint64_t>(info.block_values);
  if (cols % block_values != 0) {
    reader.fail(fmt::format("tensor {} has rows of {} values, which is no whole number of {} blocks of {}",
                            lancet::quoted(tensor.name), cols, type.name, block_values));
  }
  std::optional<uint64_t> bytes = checked_multiply(cols / block_values, static_cast<uint64_t>(info.block_bytes));
  for (size_t i = 0; bytes && i + 1 < tensor.shape.size(); i++) {
    bytes = checked_multiply(*bytes, static_cast<uint64_t>(tensor.shape[i]));
  }
  if (!bytes)
    reader.fail(
        fmt::format("tensor {} of shape {} is too large", lancet::quoted(tensor.name), shape_text(tensor.shape)));
  row.size = *bytes;
  row.offset = reader.number<uint64_t>("a tensor's offset");
  return row;
}

/// Inside the data, aligned, and no two on the same bytes. Gaps are allowed: alignment makes them.
void check_table(std::vector<TableRow>& rows, uint64_t data_bytes, uint64_t alignment, const std::string& source) {
  std::vector<const TableRow*> sorted;
  for (const TableRow& row : rows) {
    const auto label = [&] { return fmt::format("{}: tensor {}", source, lancet::quoted(row.tensor.name)); };
    if (row.offset % alignment != 0) {
      throw Error(Fault::bad_file,
                  fmt::format("{}: its offset {} is no multiple of {}", label(), row.offset, alignment));
    }
    const auto end = checked_add(row.offset, row.size);
    if (!end || *end > data_bytes) {
      throw Error(Fault::bad_file,
                  fmt::format("{}: its {} bytes at offset {} do not fit into the {} bytes of data: the file "
                              "is truncated or damaged",
                              label(), row.size, row.offset, data_bytes));
    }
    sorted.push_back(&row);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < sorted.size(); i++) {
    const TableRow &before = *sorted[i - 1], &row = *sorted[i];
    if (before.offset + before.size <= row.offset) continue;
    throw Error(Fault::bad_file, fmt::format("{}: tensor {} begins inside tensor {}", source,
                                             lancet::quoted(row.tensor.name), lancet::quoted(before.tensor.name)));
  }
  std::vector<std::string_view> names;
  for (const TableRow& row : rows) names.push_back(row.tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    throw Error(Fault::bad_file, fmt::format("{}: tensor {} is there twice", source, lancet::quoted(*twice)));
  }
}

uint64_t read_count(Reader& reader, std::string_view what, uint64_t limit) {
  const auto count = reader.number<uint64_t>(what);
  if (count > limit) reader.fail(fmt::format("{} is {}, at most {} are read", what, count, limit));
  return count;
}

void check_fits(const Reader& reader, std::string_view what, uint64_t count, uint64_t smallest) {
  if (count <= reader.left() / smallest) return;
  reader.fail(fmt::format("{} is {}, more than fit into the {} bytes that are left", what, count, reader.left()));
}

}  // namespace

std::optional<uint32_t> gguf_type_number(Format format) {
  for (const TensorType& type : kTensorTypes)
    if (type.format == format) return type.number;
  return std::nullopt;
}

bool has_gguf_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string source, Budget& budget) : source_(std::move(source)) {
  refuse_impostor(bytes, source_);
  Reader reader(bytes, source_);
  if (reader.text(kMagic.size(), "the magic") != kMagic) {
    throw Error(Fault::bad_file, source_ + ": does not begin with \"GGUF\": this is no GGUF file");
  }
  version_ = reader.number<uint32_t>("the version");
  if (version_ == __builtin_bswap32(2) || version_ == __builtin_bswap32(3)) {
    throw Error(Fault::unsupported, source_ + ": is a big-endian GGUF, supported are little-endian ones");
  }
  if (version_ != 2 && version_ != 3) {
    throw Error(Fault::unsupported, fmt::format("{}: is GGUF version {}, supported are 2 and 3", source_, version_));
  }
  const uint64_t tensors = read_count(reader, "the number of tensors", kTensorLimit);
  const uint64_t values = read_count(reader, "the number of keys", kGgufKeys);
  read_values(reader, values, budget);
  read_tensors(reader, tensors, budget);
}

void GgufFile::read_values(Reader& reader, uint64_t count, Budget& budget) {
  check_fits(reader, "the number of keys", count, kSmallestKey);
  values_.reserve(count);
  for (uint64_t i = 0; i < count; i++) {
    budget.step();
    values_.push_back(read_value(reader, budget));
  }
  std::sort(values_.begin(), values_.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  for (size_t i = 1; i < values_.size(); i++) {
    if (values_[i - 1].key == values_[i].key) fail(values_[i].key, "is there twice");
  }
}

void GgufFile::read_tensors(Reader& reader, uint64_t count, Budget& budget) {
  check_fits(reader, "the number of tensors", count, kSmallestTensor);
  const uint64_t alignment = alignment_of(*this);
  std::vector<TableRow> rows;
  rows.reserve(count);
  for (uint64_t i = 0; i < count; i++) {
    budget.step();
    rows.push_back(read_table_row(reader));
  }
  if (count == 0) return;
  const uint64_t padding = *round_up(reader.offset(), alignment) - reader.offset();
  reader.take(padding, "the padding before the data");
  const auto data = reader.take(reader.left(), "the data");
  check_table(rows, data.size(), alignment, source_);
  tensors_.reserve(rows.size());
  for (TableRow& row : rows) {
    row.tensor.bytes = data.subspan(row.offset, row.size);
    tensors_.push_back(std::move(row.tensor));
  }
}

void GgufFile::fail(std::string_view key, const std::string& problem) const {
  throw Error(Fault::bad_file, fmt::format("{}: key {} {}", source_, lancet::quoted(key), problem), std::string(key));
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto at = std::lower_bound(values_.begin(), values_.end(), key,
                                   [](const GgufValue& value, std::string_view k) { return value.key < k; });
  return at != values_.end() && at->key == key ? &*at : nullptr;
}

std::optional<std::string_view> GgufFile::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->type != GgufType::string) fail(key, fmt::format("is of type {}, wanted a string", type_name(value->type)));
  Reader reader(value->bytes, source_);
  return read_string(reader, "a string");
}

std::optional<int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto number = value->type == GgufType::array ? std::nullopt : load_integer(value->type, value->bytes.data());
  if (!number) fail(key, fmt::format("is of type {}, wanted an integer below 2^63", type_name(value->type)));
  return number;
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->type == GgufType::f32) return shortest_decimal(load<float>(value->bytes.data()));
  if (value->type == GgufType::f64) return load<double>(value->bytes.data());
  return static_cast<double>(*integer(key));
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->type != GgufType::boolean) fail(key, fmt::format("is of type {}, wanted a bool", type_name(value->type)));
  return load<uint8_t>(value->bytes.data()) != 0;
}

std::vector<std::string_view> GgufFile::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  if (value->type != GgufType::array || value->element != GgufType::string) {
    fail(key, fmt::format("is of type {}, wanted an array of strings", type_name(value->type)));
  }
  std::vector<std::string_view> out;
  out.reserve(value->count);
  Reader reader(value->bytes, source_);
  for (uint64_t i = 0; i < value->count; i++) out.push_back(read_string(reader, "a string"));
  return out;
}

std::vector<int32_t> GgufFile::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  if (value->type != GgufType::array) fail(key, fmt::format("is of type {}, wanted an array", type_name(value->type)));
  std::vector<int32_t> out;
  out.reserve(value->count);
  for (uint64_t i = 0; i < value->count; i++) {
    const auto number = load_integer(value->element, value->bytes.data() + i * value_bytes(value->element));
    if (!number || *number < INT32_MIN || *number > INT32_MAX) {
      fail(key, fmt::format("value {} is no 32-bit integer", i));
    }
    out.push_back(static_cast<int32_t>(*number));
  }
  return out;
}

}  // namespace lancet
