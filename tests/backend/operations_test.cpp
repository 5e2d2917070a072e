// Each operation of the CPU backend against the obvious loop in double.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "backend/fixtures.h"
#include "base/error.h"

namespace lancet::test {
namespace {

std::unique_ptr<Backend> exact_backend(int threads = 2) {
  return make_cpu_backend({.threads = threads, .kernels = "", .exact = true});
}

std::vector<float> multiplied(Backend& backend, const Weight& weight, int tokens, const std::vector<float>& x) {
  const Batch batch = bare_rows(tokens);
  backend.begin_step(batch);
  const Matrix out = backend.scratch(tokens, weight.rows);
  backend.matmul(filled(backend, tokens, weight.cols, x), {{out, weight}});
  const auto result = backend.read(out);
  return {result.begin(), result.end()};
}

/// Largest error of a product, relative to what rounding could make of its terms.
double product_error(const OwnedTensor& weight, int tokens, const std::vector<float>& x,
                     const std::vector<float>& out) {
  const int64_t rows = weight.stored.rows, cols = weight.stored.cols;
  double worst = 0;
  for (int64_t token = 0; token < tokens; token++) {
    for (int64_t row = 0; row < rows; row++) {
      double sum = 0, size = 0;
      for (int64_t col = 0; col < cols; col++) {
        const double term = weight.at(row, col) * x[static_cast<size_t>(token * cols + col)];
        sum += term;
        size += term * term;
      }
      worst = std::max(worst, std::abs(sum - out[static_cast<size_t>(token * rows + row)]) / (std::sqrt(size) + 1e-9));
    }
  }
  return worst;
}

TEST(CpuBackend, ExactMatmulIsTheDoubleLoopInEveryPlainFormat) {
  const auto backend = exact_backend();
  for (const Format format : {Format::f32, Format::f16, Format::bf16, Format::f8_e4m3, Format::q8_0}) {
    for (const int tokens : {1, 5, 33}) {
      const OwnedTensor weight = random_tensor(format, 131, 96, 1);
      const auto x = random_floats(tokens * 96, 2);
      EXPECT_LT(product_error(weight, tokens, x,
                              multiplied(*backend, backend->place(weight.stored, WeightUse::product), tokens, x)),
                2e-6)
          << format_name(format) << ", " << tokens << " tokens";
    }
  }
}

TEST(CpuBackend, Int8MatmulStaysCloseToTheDoubleLoop) {
  const auto backend = make_cpu_backend({.threads = 2, .kernels = ""});
  for (const Format format : {Format::f8_e4m3, Format::q8_0}) {
    const OwnedTensor weight = random_tensor(format, 131, 256, 3);
    const auto x = random_floats(7 * 256, 4);
    EXPECT_LT(
        product_error(weight, 7, x, multiplied(*backend, backend->place(weight.stored, WeightUse::product), 7, x)),
        0.05)
        << format_name(format);
  }
}

TEST(CpuBackend, MatmulDoesNotAskForAlignedWeights) {
  const auto backend = exact_backend();
  for (const Format format : {Format::f32, Format::bf16, Format::f8_e4m3}) {
    const OwnedTensor weight = random_tensor(format, 70, 64, 5, 1);
    const auto x = random_floats(3 * 64, 6);
    EXPECT_LT(
        product_error(weight, 3, x, multiplied(*backend, backend->place(weight.stored, WeightUse::product), 3, x)),
        2e-6);
  }
}

TEST(CpuBackend, EveryShapeOfFp8ScaleIsApplied) {
  struct Shape {
    int64_t row_block, col_block;
  };
  const int64_t rows = 150, cols = 96;
  for (const bool exact : {true, false}) {
    const auto backend = make_cpu_backend({.threads = 2, .kernels = "", .exact = exact});
    for (const Shape shape : {Shape{rows, cols}, {1, cols}, {64, cols}, {64, 64}, {128, 32}, {1, 40}, {rows, 1}}) {
      OwnedTensor weight = random_tensor(Format::f8_e4m3, rows, cols, 7);
      const int64_t grid =
          ((rows + shape.row_block - 1) / shape.row_block) * ((cols + shape.col_block - 1) / shape.col_block);
      weight.stored.scale = {shape.row_block, shape.col_block, random_floats(grid, 8)};
      const auto x = random_floats(4 * cols, 9);
      EXPECT_LT(
          product_error(weight, 4, x, multiplied(*backend, backend->place(weight.stored, WeightUse::product), 4, x)),
          exact ? 2e-6 : 0.05)
          << shape.row_block << "x" << shape.col_block;
    }
  }
}

TEST(CpuBackend, ProductsOfOneCallShareTheirInput) {
  const auto backend = make_cpu_backend({.threads = 2, .kernels = ""});
  const OwnedTensor first = random_tensor(Format::q8_0, 100, 64, 10), second = random_tensor(Format::bf16, 40, 64, 11);
  const Weight a = backend->place(first.stored, WeightUse::product),
               b = backend->place(second.stored, WeightUse::product);
  const auto x = random_floats(3 * 64, 12);
  const auto alone_a = multiplied(*backend, a, 3, x), alone_b = multiplied(*backend, b, 3, x);
  const Batch batch = bare_rows(3);
  backend->begin_step(batch);
  const Matrix out_a = backend->scratch(3, 100), out_b = backend->scratch(3, 40);
  backend->matmul(filled(*backend, 3, 64, x), {{out_a, a}, {out_b, b}});
  EXPECT_TRUE(std::ranges::equal(backend->read(out_a), alone_a));
  EXPECT_TRUE(std::ranges::equal(backend->read(out_b), alone_b));
}

TEST(CpuBackend, TheOnlyRowsThatAreWantedHaveTheBitsOfAll) {
  const std::vector<std::vector<int32_t>> lists = {{0}, {199}, {15, 16}, {1, 2, 40, 79, 80, 96, 112, 128, 130, 198}};
  for (const bool exact : {true, false}) {
    for (const WeightUse use : {WeightUse::product, WeightUse::head}) {
      for (const Format format : {Format::f32, Format::bf16, Format::f8_e4m3, Format::q8_0}) {
        const OwnedTensor stored = random_tensor(format, 200, 192, 15);
        const auto backend = make_cpu_backend({.threads = 2, .kernels = "", .exact = exact});
        const Weight weight = backend->place(stored.stored, use);
        const auto x = random_floats(3 * 192, 16);
        const auto all = multiplied(*backend, weight, 3, x);
        for (const std::vector<int32_t>& only : lists) {
          const Batch batch = bare_rows(3);
          backend->begin_step(batch);
          const Matrix out = backend->scratch(3, 200);
          backend->matmul(filled(*backend, 3, 192, x), {{out, weight, only}});
          const auto some = backend->read(out);
          for (size_t token = 0; token < 3; token++)
            for (const int32_t row : only)
              ASSERT_EQ(some[token * 200 + static_cast<size_t>(row)], all[token * 200 + static_cast<size_t>(row)])
                  << format_name(format) << ", row " << row;
        }
      }
    }
  }
}

TEST(CpuBackend, MatmulOfARowDependsOnThatRowOnly) {
  for (const bool exact : {true, false}) {
    for (const Format format : {Format::f32, Format::bf16, Format::f8_e4m3, Format::q8_0}) {
      const OwnedTensor weight = random_tensor(format, 200, 192, 13);
      const auto x = random_floats(37 * 192, 14);
      const auto one = make_cpu_backend({.threads = 1, .kernels = "", .exact = exact});
      const auto three = make_cpu_backend({.threads = 3, .kernels = "", .exact = exact});
      const auto together = multiplied(*three, three->place(weight.stored, WeightUse::product), 37, x);
      for (size_t token = 0; token < 37; token++) {
        const std::vector<float> row(x.begin() + static_cast<long>(token * 192),
                                     x.begin() + static_cast<long>((token + 1) * 192));
        const auto alone = multiplied(*one, one->place(weight.stored, WeightUse::product), 1, row);
        ASSERT_EQ(std::memcmp(alone.data(), together.data() + token * 200, 200 * sizeof(float)), 0)
            << format_name(format) << ", token " << token;
      }
    }
  }
}

TEST(CpuBackend, PlaceKeepsTheMappedBytes) {
  const auto backend = exact_backend();
  const OwnedTensor weight = random_tensor(Format::f8_e4m3, 8, 64, 15);
  const Weight placed = backend->place(weight.stored, WeightUse::product);
  EXPECT_EQ(placed.data, weight.stored.bytes.data());
  EXPECT_EQ(placed.format, Format::f8_e4m3);
}

TEST(CpuBackend, PlaceRefusesATensorThatContradictsItself) {
  const auto backend = exact_backend();
  const auto refused = [&](auto&& spoil) {
    OwnedTensor weight = random_tensor(Format::q8_0, 4, 64, 16);
    spoil(weight.stored);
    try {
      backend->place(weight.stored, WeightUse::product);
    } catch (const Error& error) {
      return error.message();
    }
    return std::string();
  };
  EXPECT_NE(refused([](StoredTensor& t) { t.bytes = t.bytes.first(5); }).find("\"text.test\" has 5 bytes"),
            std::string::npos);
  EXPECT_NE(refused([](StoredTensor& t) { t.cols = 65; }).find("multiple of 32"), std::string::npos);
  EXPECT_NE(refused([](StoredTensor& t) { t.rows = 0; }), "");
  EXPECT_NE(refused([](StoredTensor& t) { t.rows = int64_t{1} << 40; }), "");
  EXPECT_NE(refused([](StoredTensor& t) { t.scale = {2, 64, {1.0f}}; }).find("1 scales, wanted 2"), std::string::npos);
  EXPECT_NE(refused([](StoredTensor& t) { t.scale = {0, 64, {1.0f}}; }), "");
}

TEST(CpuBackend, EmbedDecodesTheTokensRows) {
  const auto backend = exact_backend();
  OwnedTensor table = random_tensor(Format::f8_e4m3, 50, 64, 17);
  table.stored.scale = {50, 64, {0.25f}};
  const Weight placed = backend->place(table.stored, WeightUse::product);
  Batch batch = bare_rows(3);
  batch.tokens = {49, 0, 7};
  backend->begin_step(batch);
  const Matrix out = backend->scratch(3, 64);
  backend->embed(out, placed);
  for (int row = 0; row < 3; row++) {
    for (int col = 0; col < 64; col++) {
      EXPECT_EQ(out.data[row * 64 + col], static_cast<float>(table.at(batch.tokens[static_cast<size_t>(row)], col)));
    }
  }
}

TEST(CpuBackend, RmsNormIsTheFormula) {
  const auto backend = exact_backend();
  const OwnedTensor gain = random_tensor(Format::bf16, 1, 80, 18);
  const Weight placed = backend->place(gain.stored, WeightUse::product);
  const auto x = random_floats(300 * 80, 19, 3.0f);
  const Batch batch = bare_rows(300);
  backend->begin_step(batch);
  const Matrix out = backend->scratch(300, 80);
  backend->rms_norm(out, filled(*backend, 300, 80, x), placed, 1e-5f);
  for (size_t row = 0; row < 300; row++) {
    double squares = 0;
    for (size_t col = 0; col < 80; col++) squares += double{x[row * 80 + col]} * x[row * 80 + col];
    const double scale = 1 / std::sqrt(squares / 80 + 1e-5);
    for (size_t col = 0; col < 80; col++) {
      ASSERT_NEAR(out.data[row * 80 + col], x[row * 80 + col] * scale * gain.at(0, static_cast<int64_t>(col)), 1e-5);
    }
  }
}

TEST(CpuBackend, ElementwiseOperationsAreTheirFormulas) {
  const auto backend = exact_backend();
  const int rows = 40, cols = 1000;
  const auto a = random_floats(rows * cols, 20, 5.0f), b = random_floats(rows * cols, 21);
  const Batch batch = bare_rows(rows);
  backend->begin_step(batch);
  const Matrix gate = filled(*backend, rows, cols, a), up = filled(*backend, rows, cols, b);
  const Matrix sum = filled(*backend, rows, cols, a);
  backend->add(sum, up);
  backend->silu_mul(gate, gate, up);
  for (size_t i = 0; i < a.size(); i++) {
    ASSERT_EQ(sum.data[i], a[i] + b[i]);
    ASSERT_NEAR(gate.data[i], a[i] / (1 + std::exp(-double{a[i]})) * b[i], 1e-5);
  }
  const Matrix picked = backend->scratch(2, cols);
  const int32_t wanted[] = {3, 39};
  backend->gather(picked, sum, wanted);
  EXPECT_EQ(picked.data[0], sum.data[3 * cols]);
  EXPECT_EQ(picked.data[cols + 5], sum.data[39 * cols + 5]);
}

TEST(CpuBackend, RopeTurnsEachPairByItsPosition) {
  const auto backend = exact_backend();
  for (const bool interleaved : {false, true}) {
    for (const bool queries : {false, true}) {
      RopeTable table{.head_width = 8,
                      .positions = 262144,
                      .interleaved = interleaved,
                      .frequency = {1.0f, 0.8058422f, 0.1f, 1e-6f},
                      .magnitude = 1.25,
                      .query_scale_beta = 0.1,
                      .original_context = 16384};
      const int first = 262142;
      const auto x = random_floats(2 * 24, 22);
      const Batch batch = bare_rows(2, first);
      backend->begin_step(batch);
      const Matrix out = filled(*backend, 2, 24, x);
      backend->rope(out, table, queries);
      for (int row = 0; row < 2; row++) {
        const double size = 1.25 * (queries ? 1 + 0.1 * std::log(1.0 + (first + row) / 16384) : 1.0);
        for (int i = 0; i < 12; i++) {
          const int head = i / 4 * 8, pair = i % 4;
          const auto one = static_cast<size_t>(row * 24 + head + (interleaved ? 2 * pair : pair));
          const size_t two = one + (interleaved ? 1 : 4);
          const double angle = double(first + row) * double{table.frequency[static_cast<size_t>(pair)]};
          ASSERT_NEAR(out.data[one], size * (x[one] * std::cos(angle) - x[two] * std::sin(angle)), 1e-6);
          ASSERT_NEAR(out.data[two], size * (x[two] * std::cos(angle) + x[one] * std::sin(angle)), 1e-6);
        }
      }
    }
  }
}

TEST(CpuBackend, NanStaysInItsRow) {
  const auto backend = make_cpu_backend({.threads = 2, .kernels = ""});
  const OwnedTensor weight = random_tensor(Format::q8_0, 64, 64, 23);
  auto x = random_floats(2 * 64, 24);
  x[3] = std::numeric_limits<float>::quiet_NaN();
  const auto out = multiplied(*backend, backend->place(weight.stored, WeightUse::product), 2, x);
  for (size_t row = 0; row < 64; row++) EXPECT_TRUE(std::isfinite(out[64 + row]));
}

TEST(CpuBackend, ScratchStaysPutWithinAStep) {
  const auto backend = exact_backend();
  const Batch batch = bare_rows(1);
  for (int step = 0; step < 3; step++) {
    backend->begin_step(batch);
    const Matrix first = filled(*backend, 1, 4, {1, 2, 3, 4});
    std::vector<Matrix> more;
    for (int i = 0; i < 40; i++) more.push_back(filled(*backend, 100, 1000, std::vector<float>(100000, float(i))));
    EXPECT_EQ(first.data[3], 4);
    for (int i = 0; i < 40; i++) EXPECT_EQ(more[static_cast<size_t>(i)].data[99999], float(i));
  }
}

TEST(CpuBackend, ImpossibleCacheIsAnErrorWithItsSize) {
  const auto backend = exact_backend();
  const int most = std::numeric_limits<int>::max();
  for (const int width : {1 << 10, 1 << 30}) {
    try {
      backend->allocate_cache(64, most, 1, width);
      FAIL() << "no machine has this";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::io);
      EXPECT_NE(error.message().find("bytes"), std::string::npos) << error.message();
    }
  }
}

TEST(CpuBackend, DescriptionNamesTheArithmetic) {
  EXPECT_EQ(make_cpu_backend({.threads = 1, .kernels = "scalar", .exact = true})->description(),
            "cpu scalar exact kv=f32, 1 thread");
  EXPECT_EQ(make_cpu_backend({.threads = 2, .kernels = "scalar"})->description(), "cpu scalar mixed kv=f16, 2 threads");
  EXPECT_EQ(make_cpu_backend({.threads = 2, .kernels = "scalar", .kv = KvFormat::q8})->description(),
            "cpu scalar mixed kv=q8, 2 threads");
}

TEST(CpuBackend, AnEightBitCacheTakes34BytesFor32Numbers) {
  const auto half = make_cpu_backend({.kv = KvFormat::f16}), eight = make_cpu_backend({.kv = KvFormat::q8});
  EXPECT_EQ(half->cache_bytes_per_block(3, 2, 96), 2u * 3 * 16 * 2 * (96 * 2 + 4));
  EXPECT_EQ(eight->cache_bytes_per_block(3, 2, 96), 2u * 3 * 16 * 192 / 32 * 34);
}

TEST(CpuBackend, EveryCacheTakesHeadsOfAnyWidth) {
  for (const KvFormat format : {KvFormat::f32, KvFormat::f16, KvFormat::q8}) {
    const auto backend = make_cpu_backend({.exact = format == KvFormat::f32, .kv = format});
    for (const int width : {1, 16, 20, 48, 80, 128, 160}) EXPECT_EQ(backend->allocate_cache(2, 4, 2, width).size(), 2u);
  }
}

}  // namespace
}  // namespace lancet::test
