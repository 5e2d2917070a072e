// The channel between engine and caller: order, the wake call, cancelling by dropping.
#include "engine/channel.h"

#include <gtest/gtest.h>

#include <thread>

namespace lancet {
namespace {

using std::chrono::milliseconds;

std::string text_of(const std::optional<GenerationEvent>& event) {
  return event ? std::get<TextDelta>(*event).text : "nothing";
}

TEST(Channel, GivesEventsInOrderAndThenNothing) {
  const auto channel = std::make_shared<Channel>(nullptr);
  Generation generation(channel);
  EXPECT_FALSE(generation.poll());
  channel->send(TextDelta{.text = "a"});
  channel->send(TextDelta{.text = "b"});
  channel->send(Finished{});
  EXPECT_EQ(text_of(generation.poll()), "a");
  EXPECT_EQ(text_of(generation.poll()), "b");
  EXPECT_TRUE(std::holds_alternative<Finished>(*generation.poll()));
  EXPECT_FALSE(generation.poll());
}

TEST(Channel, TheWakeCallFindsTheEventAndMayReadTheChannel) {
  std::shared_ptr<Channel> channel;
  std::vector<std::string> seen;
  // Reading inside the call would deadlock if the channel held its lock during it.
  channel = std::make_shared<Channel>([&] { seen.push_back(text_of(channel->receive(milliseconds(0)))); });
  channel->send(TextDelta{.text = "a"});
  channel->send(TextDelta{.text = "b"});
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "b"}));
}

TEST(Channel, AWaitingCallerIsWoken) {
  const auto channel = std::make_shared<Channel>(nullptr);
  Generation generation(channel);
  std::jthread engine([&] { channel->send(TextDelta{.text = "late"}); });
  EXPECT_EQ(text_of(generation.next(std::chrono::seconds(60))), "late");
}

TEST(Channel, DroppingOrReplacingAGenerationCancelsItButMovingDoesNot) {
  const auto first = std::make_shared<Channel>(nullptr), second = std::make_shared<Channel>(nullptr);
  {
    Generation generation(first);
    Generation moved(std::move(generation));
    EXPECT_FALSE(first->cancelled());
    moved = Generation(second);
    EXPECT_TRUE(first->cancelled());
    EXPECT_FALSE(second->cancelled());
  }
  EXPECT_TRUE(second->cancelled());
}

}  // namespace
}  // namespace lancet
