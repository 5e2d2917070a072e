// A cache that is filled in pieces for a measurement is a cache.
#include "cli/forward.h"

#include <gtest/gtest.h>

#include "model/runner.h"

namespace lancet::test {
namespace {

struct Forward {
  Forward() : backend(make_cpu_backend({.threads = 1, .kernels = ""})), model(load_model(checkpoint, *backend)) {}

  RandomCheckpoint checkpoint;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
};

const auto kNothing = [](int, std::span<const float>) {};

TEST(ForwardRun, FillingInOnePieceIsAppending) {
  Forward world;
  ForwardRun run(*world.model, 2, 400);
  const auto tokens = random_tokens(300, 200);
  run.append(0, tokens, false, kNothing);
  run.fill(1, tokens);
  const TokenId next[] = {5, 5};
  const auto logits = run.append_each(next);
  const auto half = static_cast<std::ptrdiff_t>(logits.size() / 2);
  EXPECT_TRUE(same_bits(Logits(logits.begin(), logits.begin() + half), Logits(logits.begin() + half, logits.end())));
}

TEST(ForwardRun, ATokenAfterManyPiecesSeesThemAll) {
  Forward world;
  ForwardRun run(*world.model, 1, 1300);
  auto tokens = random_tokens(1200, 200);
  const auto next = [&] {
    Logits out;
    run.append(0, std::vector<TokenId>{7}, true, [&](int position, std::span<const float> logits) {
      EXPECT_EQ(position, 1200);
      out.assign(logits.begin(), logits.end());
    });
    return out;
  };
  run.fill(0, tokens);
  const Logits before = next();
  for (const int changed : {3, 700, 1150}) {  // in the first piece, the second and the third
    tokens[static_cast<size_t>(changed)] ^= 1;
    run.reshape(1, 1300);
    run.fill(0, tokens);
    EXPECT_FALSE(same_bits(next(), before)) << changed;
    tokens[static_cast<size_t>(changed)] ^= 1;
  }
}

}  // namespace
}  // namespace lancet::test
