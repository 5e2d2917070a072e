// A checkpoint's text model as a GGUF file, whatever container it came from: rows are decoded, put into GGUF's rotary
// order, encoded and streamed out, a few megabytes at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/format_mix.h"
#include "checkpoint/gguf_writer.h"

namespace lancet {

/// What a squared error in each column of a matrix counts, by canonical name.
using Importance = std::map<std::string, std::vector<float>>;

struct Conversion {
  const FormatMix& mix;
  std::filesystem::path out;
  bool replace = false;                    // a file of that name
  const Importance* importance = nullptr;  // null, or a matrix that it does not name: all columns count alike
  /// Called after every few megabytes; what it throws ends the conversion. May be empty.
  std::function<void(uint64_t done_bytes, uint64_t all_bytes)> progress = {};
};

/// What became of one tensor.
struct ConvertedTensor {
  std::string name;  // canonical
  Format from, to;
  int64_t values;
  uint64_t bytes;
  double squares, squared_error;  // sums over all values; the error is 0 where no bit was lost

  double relative_rms() const;
};

struct Converted {
  std::vector<ConvertedTensor> tensors;  // in the order of the file
  uint64_t bytes = 0;                    // of the file
};

/// Throws what convert_to_gguf would throw before it writes, as far as that is known without looking at the tensors.
void check_output(const Checkpoint&, const Conversion&);

/// Writes the file; the same bytes for any number of threads. Tensors that have their format already are copied, not
/// encoded again. Throws Error{io} with the reason and leaves nothing behind, Error{bad_request} if the output is one
/// of the model's own files, Error{bad_file} for numbers that are not finite, Error{unsupported} for those that the
/// format cannot hold.
Converted convert_to_gguf(const Checkpoint&, const GgufMetadata&, const Conversion&, ThreadPool&);

}  // namespace lancet
