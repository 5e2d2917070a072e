// Reading a safetensors header. Each message names the tensor: a header of 800 entries cannot be searched by eye.
#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "base/json.h"
#include "base/reader.h"
#include "base/sizes.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr size_t kMostDims = 8;

/// The types that the format knows. Those without a Format are carried along: only a tensor that is wanted must have
/// one.
struct Type {
  std::string_view name;
  uint64_t bits;
  std::optional<Format> format;
};
constexpr Type kTypes[] = {
    {"F32", 32, Format::f32},
    {"F16", 16, Format::f16},
    {"BF16", 16, Format::bf16},
    {"F8_E4M3", 8, Format::f8_e4m3},
    {"F64", 64, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
    {"BOOL", 8, {}},
    {"U8", 8, {}},
    {"I8", 8, {}},
    {"U16", 16, {}},
    {"I16", 16, {}},
    {"U32", 32, {}},
    {"I32", 32, {}},
    {"U64", 64, {}},
    {"I64", 64, {}},
    {"C64", 64, {}},
};

const Type* find_type(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Type& t) { return t.name == name; });
  return found == std::end(kTypes) ? nullptr : found;
}

struct Entry {
  RawTensor tensor;
  uint64_t begin = 0, end = 0;  // inside the data section
};

[[noreturn]] void fail(const std::string& source, std::string_view name, const std::string& problem) {
  throw Error(Fault::bad_file, fmt::format("{}: tensor {}: {}", source, lancet::quoted(name), problem));
}

/// Bytes of a tensor of this type and shape, or nothing if that is no whole number that fits.
std::optional<uint64_t> wanted_bytes(const Type& type, std::span<const int64_t> shape) {
  std::optional<uint64_t> bits = type.bits;
  for (const int64_t dim : shape) {
    if (bits) bits = checked_multiply(*bits, static_cast<uint64_t>(dim));
  }
  if (!bits || *bits % 8 != 0) return std::nullopt;
  return *bits / 8;
}

Entry read_entry(std::string_view name, const json::value& value, const std::string& source) {
  const auto* object = value.if_object();
  if (!object) fail(source, name, "its entry in the header is no object");
  const JsonView view(value, fmt::format("{}: tensor {}", source, lancet::quoted(name)), Fault::bad_file);
  Entry entry;
  entry.tensor.name = name;
  entry.tensor.file = source;
  entry.tensor.type = view.at("dtype").string();
  const Type* type = find_type(entry.tensor.type);
  if (!type)
    fail(source, name, fmt::format("its dtype {} is not one of the format", lancet::quoted(entry.tensor.type)));
  entry.tensor.format = type->format;

  const JsonView shape = view.at("shape");
  if (shape.size() > kMostDims) {
    fail(source, name, fmt::format("it has {} dimensions, at most {} are read", shape.size(), kMostDims));
  }
  for (size_t i = 0; i < shape.size(); i++) entry.tensor.shape.push_back(shape.element(i).integer(0, INT64_MAX));

  const JsonView offsets = view.at("data_offsets");
  if (offsets.size() != 2) fail(source, name, fmt::format("data_offsets has {} numbers, wanted 2", offsets.size()));
  entry.begin = static_cast<uint64_t>(offsets.element(0).integer(0, INT64_MAX));
  entry.end = static_cast<uint64_t>(offsets.element(1).integer(0, INT64_MAX));
  if (entry.begin > entry.end) {
    fail(source, name, fmt::format("its data begins at {} and ends before that, at {}", entry.begin, entry.end));
  }
  const auto wanted = wanted_bytes(*type, entry.tensor.shape);
  if (!wanted) {
    fail(source, name,
         fmt::format("the size of {} {} is no whole number of bytes below 2^64", entry.tensor.type,
                     shape_text(entry.tensor.shape)));
  }
  if (*wanted != entry.end - entry.begin) {
    fail(source, name,
         fmt::format("{} {} needs {} bytes, its data_offsets give it {}", entry.tensor.type,
                     shape_text(entry.tensor.shape), *wanted, entry.end - entry.begin));
  }
  return entry;
}

std::vector<Entry> read_header(std::string_view header, const std::string& source, Budget& budget) {
  if (!header.starts_with('{')) throw Error(Fault::bad_file, source + ": the header does not begin with \"{\"");
  // The shortest entry that can be right has five bytes a node, so the header's size bounds the tree.
  const JsonLimits limits{.nodes = header.size() / 4 + 65536};
  const json::value root = parse_json(header, source + ": header", limits, budget);
  if (!root.is_object()) throw Error(Fault::bad_file, source + ": the header is no JSON object");
  std::vector<Entry> entries;
  for (const auto& [key, value] : root.get_object()) {
    budget.step();
    const std::string_view name(key.data(), key.size());
    if (name == "__metadata__") continue;
    if (entries.size() == kTensorLimit) {
      throw Error(Fault::bad_file, fmt::format("{}: has more than {} tensors", source, kTensorLimit));
    }
    entries.push_back(read_entry(name, value, source));
  }
  return entries;
}

/// The tensors must tile the data section: no overlap, no hole, nothing left over.
void check_tiling(const std::vector<Entry>& entries, uint64_t data_bytes, const std::string& source) {
  uint64_t at = 0;
  const Entry* before = nullptr;
  for (const Entry& entry : entries) {
    const std::string neighbour = before ? "tensor " + lancet::quoted(before->tensor.name) : "the header";
    if (entry.begin < at) {
      fail(source, entry.tensor.name,
           fmt::format("it begins at byte {} and overlaps {}, which ends at {}", entry.begin, neighbour, at));
    }
    if (entry.begin > at) {
      fail(source, entry.tensor.name,
           fmt::format("it begins at byte {}, which leaves a hole of {} bytes after {}", entry.begin, entry.begin - at,
                       neighbour));
    }
    if (entry.end > data_bytes) {
      fail(
          source, entry.tensor.name,
          fmt::format("its data ends at byte {} of the data section, the file has only {} bytes there: it is truncated",
                      entry.end, data_bytes));
    }
    at = entry.end;
    before = &entry;
  }
  if (at != data_bytes) {
    throw Error(Fault::bad_file, fmt::format("{}: {} bytes follow the last tensor{}", source, data_bytes - at,
                                             before ? " " + lancet::quoted(before->tensor.name) : ""));
  }
}

}  // namespace

std::vector<RawTensor> read_safetensors(std::span<const std::byte> bytes, const std::string& source, Budget& budget) {
  refuse_impostor(bytes, source);
  Reader reader(bytes, source);
  const auto header_bytes = reader.number<uint64_t>("the header's length");
  if (header_bytes > kSafetensorsHeaderBytes) {
    throw Error(Fault::bad_file,
                fmt::format("{}: the header claims {} bytes, at most {} are read; is this a safetensors "
                            "file?",
                            source, header_bytes, kSafetensorsHeaderBytes));
  }
  const std::string_view header = reader.text(header_bytes, "the header");
  const auto data = bytes.subspan(reader.offset());
  auto entries = read_header(header, source, budget);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  check_tiling(entries, data.size(), source);
  std::vector<RawTensor> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    tensors.push_back(std::move(entry.tensor));
  }
  return tensors;
}

}  // namespace lancet
