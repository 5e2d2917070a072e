// Paged attention: right, and the same however the work is cut, placed and shared.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "backend/fixtures.h"
#include "kernels/kernels.h"

namespace lancet::test {
namespace {

constexpr int kHeads = 6, kKvHeads = 2, kWidth = 32, kBlocks = 100;

const BackendOptions kExact{.exact = true};
const BackendOptions kArithmetics[] = {
    kExact,
    {.kv = KvFormat::f16},
    {.kv = KvFormat::q8},
    {.kernels = "scalar", .kv = KvFormat::q8},
};

std::string name_of(const BackendOptions& options) { return make_cpu_backend(options)->description(); }

std::vector<int32_t> in_order(int count) {
  std::vector<int32_t> blocks(static_cast<size_t>(count));
  std::iota(blocks.begin(), blocks.end(), 0);
  return blocks;
}

struct Layout {
  int threads = 2;
  int chunk = 1000;  // rows a step
  std::vector<int32_t> blocks = in_order(10);
  int companions = 0;  // other sequences in every step
};

/// Queries, keys and values of `rows` positions.
struct Input {
  explicit Input(int rows)
      : q(random_floats(rows * kHeads * kWidth, 1, 2.0f)),
        k(random_floats(rows * kKvHeads * kWidth, 2, 2.0f)),
        v(random_floats(rows * kKvHeads * kWidth, 3)) {}
  std::vector<float> q, k, v;
};

std::vector<float> slice(const std::vector<float>& rows, int cols, int first, int count, int companions) {
  std::vector<float> out(rows.begin() + first * cols, rows.begin() + (first + count) * cols);
  const std::vector<float> other = random_floats(companions * cols, static_cast<uint64_t>(100 + first), 3.0f);
  out.insert(out.end(), other.begin(), other.end());
  return out;
}

std::vector<float> attended(const Input& input, int rows, const Layout& layout, BackendOptions options) {
  options.threads = layout.threads;
  const auto backend = make_cpu_backend(options);
  const auto layers = backend->allocate_cache(2, kBlocks, kKvHeads, kWidth);
  std::vector<float> result;
  for (int first = 0; first < rows; first += layout.chunk) {
    const int count = std::min(layout.chunk, rows - first);
    Batch batch = one_sequence(std::vector<TokenId>(static_cast<size_t>(count)), first, layout.blocks);
    for (int i = 0; i < layout.companions; i++) {
      const int32_t block = kBlocks - 1 - i;
      batch.tokens.push_back(0);
      batch.positions.push_back(0);
      batch.slots.push_back(block * kBlockTokens);
      batch.sequences.push_back(
          {.first_row = count + i, .rows = 1, .context = 1, .first_block = static_cast<int>(batch.blocks.size())});
      batch.blocks.push_back(block);
    }
    backend->begin_step(batch);
    const int all = count + layout.companions;
    const auto matrix = [&](const std::vector<float>& from, int cols) {
      return filled(*backend, all, cols, slice(from, cols, first, count, layout.companions));
    };
    backend->store_kv(layers[1], matrix(input.k, kKvHeads * kWidth), matrix(input.v, kKvHeads * kWidth));
    const Matrix out = backend->scratch(all, kHeads * kWidth);
    backend->attend(out, matrix(input.q, kHeads * kWidth), layers[1]);
    result.insert(result.end(), out.data, out.data + count * kHeads * kWidth);
  }
  return result;
}

double expected(const Input& input, int row, int head, int column) {
  const int kv_head = head / (kHeads / kKvHeads);
  std::vector<double> scores;
  for (int key = 0; key <= row; key++) {
    double sum = 0;
    for (int i = 0; i < kWidth; i++) {
      sum += double{input.q[static_cast<size_t>((row * kHeads + head) * kWidth + i)]} *
             input.k[static_cast<size_t>((key * kKvHeads + kv_head) * kWidth + i)];
    }
    scores.push_back(sum / std::sqrt(double{kWidth}));
  }
  const double maximum = *std::max_element(scores.begin(), scores.end());
  double weights = 0, values = 0;
  for (int key = 0; key <= row; key++) {
    const double weight = std::exp(scores[static_cast<size_t>(key)] - maximum);
    weights += weight;
    values += weight * input.v[static_cast<size_t>((key * kKvHeads + kv_head) * kWidth + column)];
  }
  return values / weights;
}

TEST(Attention, IsTheSoftmaxOverAllEarlierPositions) {
  const int rows = 600;
  const Input input(rows);
  for (const BackendOptions& options : kArithmetics) {
    // f16 and q8 move a key by up to 1/2048 and 1/254 of its block's largest; scores sum 32 such errors.
    const double tolerance = options.exact ? 1e-5 : options.kv == KvFormat::f16 ? 5e-3 : 0.08;
    const auto out = attended(input, rows, {.blocks = in_order(40)}, options);
    for (const int row : {0, 1, 15, 16, 31, 32, 100, 511, 512, 513, 599}) {
      for (int i = 0; i < kHeads * kWidth; i++) {
        ASSERT_NEAR(out[static_cast<size_t>(row * kHeads * kWidth + i)], expected(input, row, i / kWidth, i % kWidth),
                    tolerance)
            << "row " << row << ", " << name_of(options);
      }
    }
  }
}

TEST(Attention, IsTheSameForEveryChunkPagingCompanyAndThreadCount) {
  const int rows = 150;
  const Input input(rows);
  for (const BackendOptions& options : kArithmetics) {
    const auto whole = attended(input, rows, {}, options);
    const std::vector<int32_t> scattered = {7, 0, 14, 3, 11, 2, 9, 5, 1, 13};
    for (const Layout& layout : {Layout{.threads = 1}, Layout{.threads = 5}, Layout{.chunk = 1}, Layout{.chunk = 7},
                                 Layout{.chunk = 64}, Layout{.blocks = scattered}, Layout{.companions = 4},
                                 Layout{.threads = 3, .chunk = 33, .blocks = scattered, .companions = 2}}) {
      const auto other = attended(input, rows, layout, options);
      EXPECT_EQ(std::memcmp(other.data(), whole.data(), whole.size() * sizeof(float)), 0)
          << "threads " << layout.threads << ", chunk " << layout.chunk << ", companions " << layout.companions << ", "
          << name_of(options);
    }
  }
}

TEST(Attention, LongContextsSpreadOverThreadsGiveTheSameBits) {
  const int rows = 1300;
  const Input input(rows);
  for (const BackendOptions& options : kArithmetics) {
    const auto whole = attended(input, rows, {.threads = 1, .blocks = in_order(82)}, options);
    for (const Layout& layout : {Layout{.threads = 1, .chunk = 37, .blocks = in_order(82)},
                                 Layout{.threads = 4, .chunk = 37, .blocks = in_order(82), .companions = 1},
                                 Layout{.threads = 4, .chunk = 1, .blocks = in_order(82)}}) {
      const auto other = attended(input, rows, layout, options);
      EXPECT_EQ(std::memcmp(other.data(), whole.data(), whole.size() * sizeof(float)), 0)
          << "threads " << layout.threads << ", chunk " << layout.chunk << ", companions " << layout.companions << ", "
          << name_of(options);
    }
  }
}

TEST(Attention, NeverReadsBeyondItsPosition) {
  const int rows = 40;
  const Input input(rows);
  Input poisoned = input;
  for (size_t i = 30 * kKvHeads * kWidth; i < poisoned.k.size(); i++) {
    poisoned.k[i] = poisoned.v[i] = std::numeric_limits<float>::quiet_NaN();
  }
  for (const BackendOptions& options : kArithmetics) {
    const auto out = attended(input, rows, {}, options), other = attended(poisoned, rows, {}, options);
    EXPECT_EQ(std::memcmp(out.data(), other.data(), 30 * kHeads * kWidth * sizeof(float)), 0) << name_of(options);
  }
}

TEST(Attention, AnEightBitCacheIsTheSameWithinRoundingInEveryTable) {
  // Quantising and decoding are exact in all tables; only the sums' order differs.
  const int rows = 100;
  const Input input(rows);
  const auto scalar = attended(input, rows, {}, {.kernels = "scalar", .kv = KvFormat::q8});
  for (const KernelTable* table : kernel_tables()) {
    const auto other = attended(input, rows, {}, {.kernels = std::string(table->name), .kv = KvFormat::q8});
    for (size_t i = 0; i < scalar.size(); i++) ASSERT_NEAR(other[i], scalar[i], 2e-5) << table->name;
  }
}

}  // namespace
}  // namespace lancet::test
