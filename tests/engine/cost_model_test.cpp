// What the engine believes a step to cost, against machines whose costs are known.
#include "engine/cost_model.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lancet {
namespace {

/// A machine whose steps take base + row * rows, up to `noise` more or less.
struct Machine {
  double base = 0.05, row = 0.001, noise = 0;
  Random random{1};
  double seconds(int rows) { return (base + row * rows) * (1 + noise * (2 * random.uniform() - 1)); }
};

/// Steps of a stream while a prompt is read, sized by the model itself; the longest relative to a step of the stream.
double longest_stretch(CostModel& costs, Machine& machine, int decoding, int steps) {
  double longest = 0;
  for (int step = 0; step < steps; step++) {
    const int prompt = costs.prompt_rows(decoding, 2.5, 256);
    const double seconds = machine.seconds(decoding + prompt);
    costs.observe(decoding, prompt, seconds);
    if (step > 0) longest = std::max(longest, seconds / (machine.base + machine.row * decoding));
  }
  return longest;
}

TEST(CostModel, WithoutStreamsPromptsGetEverything) {
  EXPECT_EQ(CostModel().prompt_rows(0, 2.5, 256), 256);
  EXPECT_EQ(CostModel().prompt_tokens_s(), 0);
}

TEST(CostModel, AStepWithPromptsLastsAsLongAsAllowedAndUsesIt) {
  for (const double row : {0.0001, 0.001, 0.01}) {
    Machine machine{.row = row};
    CostModel costs;
    costs.observe(0, 200, machine.seconds(200));
    for (int i = 0; i < 50; i++) costs.observe(2, 0, machine.seconds(2));
    EXPECT_LE(longest_stretch(costs, machine, 2, 200), 2.5 * 1.01) << row;
    const double alone = machine.base + machine.row * 2;
    EXPECT_NEAR(costs.prompt_rows(2, 2.5, 100000), 1.5 * alone / row, 0.05 * 1.5 * alone / row + 1) << row;
  }
}

TEST(CostModel, NoiseMovesTheBoundByLittle) {
  Machine machine{.noise = 0.1};
  CostModel costs;
  for (int i = 0; i < 20; i++) costs.observe(1, 0, machine.seconds(1));
  longest_stretch(costs, machine, 1, 50);
  EXPECT_LE(longest_stretch(costs, machine, 1, 500), 2.5 * 1.3);
}

TEST(CostModel, OneStepThatWasSuspendedChangesLittle) {
  Machine machine;
  CostModel costs;
  for (int i = 0; i < 50; i++) costs.observe(i % 2, 60, machine.seconds(60 + i % 2));
  longest_stretch(costs, machine, 1, 50);
  const int before = costs.prompt_rows(1, 2.5, 256);
  costs.observe(1, before, 3600);
  longest_stretch(costs, machine, 1, 100);
  EXPECT_NEAR(costs.prompt_rows(1, 2.5, 256), before, before * 0.2);
}

TEST(CostModel, AMachineThatBecomesSlowerIsFollowedAndPromptsGoOn) {
  Machine machine;
  CostModel costs;
  for (int i = 0; i < 20; i++) costs.observe(1, 0, machine.seconds(1));
  longest_stretch(costs, machine, 1, 100);
  machine.base = 0.2;  // longer contexts: every step costs more, rows do not
  longest_stretch(costs, machine, 1, 300);
  EXPECT_GT(costs.prompt_rows(1, 2.5, 256), 50);
}

TEST(CostModel, MeasuresTheSpeedOfPrompts) {
  Machine machine{.base = 0};
  CostModel costs;
  for (int i = 0; i < 20; i++) costs.observe(0, 100 + i, machine.seconds(100 + i));
  EXPECT_NEAR(costs.prompt_tokens_s(), 1000, 1);
}

}  // namespace
}  // namespace lancet
