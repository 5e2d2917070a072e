#include "cli/bench_test.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

/// A number after `sign` at the front of `text`, which is cut off; false: there is none, or it is out of bounds.
bool take_number(std::string_view& text, std::string_view sign, int low, int& into) {
  if (!text.starts_with(sign)) return false;
  const char* begin = text.data() + sign.size();
  const char* end = text.data() + text.size();
  const auto [rest, fault] = std::from_chars(begin, end, into);
  if (fault != std::errc() || into < low || into > 1 << 20) return false;
  text.remove_prefix(static_cast<size_t>(rest - text.data()));
  return true;
}

BenchTest parse_one(std::string_view spec) {
  BenchTest test{.prompt = spec.starts_with("pp")};
  std::string_view rest = spec;
  bool good = take_number(rest, test.prompt ? "pp" : "tg", 1, test.tokens);
  if (good && rest.starts_with("@")) good = take_number(rest, "@", 0, test.depth);
  if (good && !test.prompt && rest.starts_with("b")) good = take_number(rest, "b", 1, test.batch) && test.batch <= 256;
  if (!good || !rest.empty())
    throw Error(
        Fault::bad_request,
        fmt::format("{} is no test: wanted ppN, tgN, ppN@DEPTH, tgN@DEPTH or tgN[@DEPTH]bBATCH", lancet::quoted(spec)),
        "tests");
  return test;
}

Arithmetic arithmetic_of(Format format, const ModelFlags& flags) {
  const KernelTable& kernels = select_kernels(flags.kernels);
  const auto row = static_cast<size_t>(format);
  if (flags.exact) return Arithmetic::f32;
  return kernels.panel[row].multiply ? kernels.panel[row].arithmetic : Arithmetic::f32;
}

}  // namespace

std::string BenchTest::name() const {
  std::string name = fmt::format("{}{}", prompt ? "pp" : "tg", tokens);
  if (depth > 0) name += fmt::format("@{}", depth);
  if (batch > 1) name += fmt::format("b{}", batch);
  return name;
}

std::vector<BenchTest> parse_bench_tests(std::string_view list) {
  std::vector<BenchTest> tests;
  while (true) {
    const size_t comma = list.find(',');
    tests.push_back(parse_one(list.substr(0, comma)));
    if (comma == std::string_view::npos) return tests;
    list.remove_prefix(comma + 1);
  }
}

BenchWork bench_work(const BenchTest& test, const LoadedModel& loaded, const ModelFlags& flags) {
  const TextConfig& config = loaded.checkpoint->config().text;
  const double sequences = test.batch, tokens = test.tokens, passes = test.prompt ? 1 : tokens;
  const double head_rows = (test.prompt ? 1 : tokens) * sequences;
  BenchWork work;
  const bool tied = loaded.checkpoint->find("text.output") == nullptr;
  for (const StoredTensor& tensor : loaded.checkpoint->tensors()) {
    const bool head = tensor.name == (tied ? "text.embedding" : "text.output");
    if (!tensor.name.starts_with("text.") || (tensor.name == "text.embedding" && !head)) continue;
    const double values = static_cast<double>(tensor.rows) * static_cast<double>(tensor.cols);
    // The head of numbers without blocks is kept in blocks of 8 bits.
    const bool packed_head =
        head && !flags.exact && format_info(tensor.format).floating && tensor.cols % kQuantBlock == 0;
    const Format format = packed_head ? Format::q8_0 : tensor.format;
    const double bytes =
        packed_head ? values / kQuantBlock * format_info(format).block_bytes : static_cast<double>(tensor.bytes.size());
    work.bytes += passes * bytes;
    if (tensor.rows > 1)
      work.macs[static_cast<int>(arithmetic_of(format, flags))] += values * (head ? head_rows : tokens * sequences);
  }
  // Token i attends to the depth before it, to itself and to those of its own test.
  const double attended = sequences * tokens * (test.depth + (tokens + 1) / 2);
  const double cache_token =
      static_cast<double>(loaded.backend->cache_bytes_per_block(config.layers, config.kv_heads, config.head_width)) /
      kBlockTokens;
  work.bytes += cache_token * (test.prompt ? test.room() : attended);
  work.macs[static_cast<int>(flags.exact ? Arithmetic::f32 : Arithmetic::bf16)] +=
      2.0 * config.layers * config.heads * config.head_width * attended;
  return work;
}

BenchLimit bench_limit(const BenchTest& test, const BenchWork& work, const MachinePeaks& peaks) {
  double arithmetic_s = 0;
  for (const Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16, Arithmetic::int8})
    arithmetic_s += work.macs[static_cast<int>(arithmetic)] / peaks.macs_s(arithmetic);
  const double memory_s = work.bytes / peaks.read_bytes_s;
  return {.tokens_s = test.counted() / std::max(arithmetic_s, memory_s), .memory = memory_s >= arithmetic_s};
}

}  // namespace lancet
