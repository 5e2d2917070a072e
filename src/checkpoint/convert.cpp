#include "checkpoint/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/output_file.h"
#include "base/quantise.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/stored_rows.h"

namespace lancet {
namespace {
namespace fs = std::filesystem;

constexpr int64_t kChunkBytes = 8 << 20;  // of f32, between two writes

/// Where row `row` of a GGUF's q or k lies in a matrix whose heads pair (i, i + width / 2): GGUF pairs (2i, 2i + 1).
int64_t half_split_row(int64_t row, int64_t head_width) {
  const int64_t in_head = row % head_width;
  return row - in_head + in_head / 2 + in_head % 2 * (head_width / 2);
}

bool is_rotated(std::string_view name) { return name.ends_with(".attention.q") || name.ends_with(".attention.k"); }

void encode_row(Format format, const float* values, int64_t cols, const float* weights, std::byte* to) {
  const auto put_16 = [&](uint16_t (*narrow)(float)) {
    for (int64_t i = 0; i < cols; i++) {
      const uint16_t bits = narrow(values[i]);
      std::memcpy(to + 2 * i, &bits, sizeof bits);
    }
  };
  switch (format) {
    case Format::f32: std::memcpy(to, values, static_cast<size_t>(cols) * sizeof(float)); break;
    case Format::f16: put_16(f16_from_f32); break;
    case Format::bf16: put_16(bf16_from_f32); break;
    default: quantise_row(format, values, cols, to, weights);
  }
}

/// Turns rows of one tensor into the file's, several at a time.
class TensorConverter {
 public:
  TensorConverter(const StoredTensor& from, Format to, const TextConfig& text, const Importance* importance)
      : from_(from),
        to_(to),
        row_bytes_(row_bytes(to, from.cols)),
        head_width_(is_rotated(from.name) && !text.rope.interleaved ? text.head_width : 0),
        weights_(find_weights(importance)),
        copies_(from.format == to && from.scale.values.empty()) {
    result_ = {from.name, from.format, to, from.rows * from.cols, static_cast<uint64_t>(from.rows * row_bytes_), 0, 0};
  }

  /// The bytes of these rows, valid until the next call.
  std::span<const std::byte> rows(int64_t begin, int64_t end, ThreadPool& pool) {
    bytes_.resize(static_cast<size_t>((end - begin) * row_bytes_));
    sums_.assign(static_cast<size_t>(end - begin), {});
    pool.run(end - begin, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) convert_row(begin + i, static_cast<size_t>(i));
    });
    // In the order of the rows, so that the sums do not depend on who made them.
    for (const RowSums& sums : sums_) {
      result_.squares += sums.squares;
      result_.squared_error += sums.error;
    }
    check_numbers();
    return bytes_;
  }
  const ConvertedTensor& result() const { return result_; }

 private:
  struct RowSums {
    double squares = 0, error = 0;
  };

  const float* find_weights(const Importance* importance) const {
    if (!importance) return nullptr;
    const auto found = importance->find(from_.name);
    return found == importance->end() ? nullptr : found->second.data();
  }

  void convert_row(int64_t row, size_t at) {
    const auto cols = static_cast<size_t>(from_.cols);
    thread_local std::vector<float> values, back;
    values.resize(cols);
    const int64_t source = head_width_ > 0 ? half_split_row(row, head_width_) : row;
    decode_row(from_, source, values);
    std::byte* to = bytes_.data() + at * static_cast<size_t>(row_bytes_);
    RowSums& sums = sums_[at];
    for (const float x : values) sums.squares += double{x} * x;
    if (copies_) {
      std::memcpy(to, from_.bytes.data() + source * row_bytes_, static_cast<size_t>(row_bytes_));
      return;
    }
    encode_row(to_, values.data(), from_.cols, weights_, to);
    back.resize(cols);
    const FormatInfo& info = format_info(to_);
    info.decode(to, back.data(), from_.cols / info.block_values);
    for (size_t i = 0; i < cols; i++) sums.error += (double{back[i]} - values[i]) * (double{back[i]} - values[i]);
  }

  void check_numbers() const {
    if (std::isfinite(result_.squares) && std::isfinite(result_.squared_error)) return;
    const std::string label = fmt::format("{}: tensor {} ({})", from_.file, quoted(from_.file_name), from_.name);
    if (!std::isfinite(result_.squares))
      throw Error(Fault::bad_file, label + " has numbers that are not finite: there is nothing right to write");
    throw Error(Fault::unsupported, fmt::format("{} has numbers that are too large for {}", label, format_name(to_)));
  }

  const StoredTensor& from_;
  Format to_;
  int64_t row_bytes_;
  int64_t head_width_;    // 0: rows keep their order
  const float* weights_;  // null: all columns count alike
  bool copies_;
  std::vector<std::byte> bytes_;
  std::vector<RowSums> sums_;
  ConvertedTensor result_;
};

/// Head and single tensors first, then layer by layer: the order in which a reader wants them.
std::vector<const StoredTensor*> text_tensors(const Checkpoint& checkpoint) {
  std::vector<const StoredTensor*> out;
  for (const StoredTensor& tensor : checkpoint.tensors())
    if (tensor.name.starts_with("text.")) out.push_back(&tensor);
  const auto layer = [](const StoredTensor* tensor) {
    const std::string_view rest = std::string_view(tensor->name).substr(5);
    int number = -1;
    for (const char c : rest) {
      if (c < '0' || c > '9') break;
      number = std::max(number, 0) * 10 + (c - '0');
    }
    return number;
  };
  std::stable_sort(out.begin(), out.end(), [&](const auto* a, const auto* b) { return layer(a) < layer(b); });
  return out;
}

void refuse_own_file(const Checkpoint& checkpoint, const fs::path& out) {
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    std::error_code ignored;  // what is not there yet is no file of the model's
    if (!tensor.mapping || !fs::equivalent(tensor.mapping->path(), out, ignored)) continue;
    throw Error(Fault::bad_request, fmt::format("{}: is a file of the model itself, wanted another name for the output",
                                                quoted(out.string())));
  }
}

OutputFile::Existing existing_of(const Conversion& conversion) {
  return conversion.replace ? OutputFile::Existing::replace : OutputFile::Existing::refuse;
}

}  // namespace

void check_output(const Checkpoint& checkpoint, const Conversion& conversion) {
  refuse_own_file(checkpoint, conversion.out);
  OutputFile::check(conversion.out, existing_of(conversion), 0);
}

double ConvertedTensor::relative_rms() const { return squares > 0 ? std::sqrt(squared_error / squares) : 0; }

Converted convert_to_gguf(const Checkpoint& checkpoint, const GgufMetadata& metadata, const Conversion& conversion,
                          ThreadPool& pool) {
  check_output(checkpoint, conversion);
  const TextConfig& text = checkpoint.config().text;
  const bool tied = checkpoint.find("text.output") == nullptr;
  const std::vector<const StoredTensor*> sources = text_tensors(checkpoint);
  std::vector<GgufTensor> table;
  Converted out;
  for (const StoredTensor* source : sources) {
    const bool head = source->name == (tied ? "text.embedding" : "text.output");
    const Format format = mix_format(conversion.mix, {source->name, source->rows, source->cols, head}, text);
    table.push_back({spell_gguf_name(source->name), format, source->rows, source->cols});
    out.bytes += padded_bytes(table.back());
  }
  const std::vector<std::byte> header = gguf_header(metadata, table);
  out.bytes += header.size();
  OutputFile file(conversion.out, existing_of(conversion), out.bytes);
  file.write(header);
  for (size_t i = 0; i < table.size(); i++) {
    const StoredTensor& source = *sources[i];
    TensorConverter converter(source, table[i].format, text, conversion.importance);
    const int64_t step = std::max<int64_t>(1, kChunkBytes / (source.cols * static_cast<int64_t>(sizeof(float))));
    for (int64_t row = 0; row < source.rows; row += step) {
      file.write(converter.rows(row, std::min(row + step, source.rows), pool));
      if (conversion.progress) conversion.progress(file.written_bytes(), out.bytes);
    }
    const std::vector<std::byte> padding(padded_bytes(table[i]) - table[i].bytes());
    file.write(padding);
    out.tensors.push_back(converter.result());
  }
  file.commit();
  return out;
}

}  // namespace lancet
