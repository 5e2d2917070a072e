#include "engine/channel.h"

#include <utility>

#include "base/check.h"

namespace lancet {

void Channel::send(GenerationEvent event) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(!closed_);
    closed_ = std::holds_alternative<Finished>(event) || std::holds_alternative<Failed>(event);
    if (closed_) {
      final_.emplace(std::move(event));
    } else {
      events_.push_back(std::move(event));
    }
  }
  changed_.notify_one();
  if (!on_event_) return;
  try {
    on_event_();
  } catch (const std::exception&) {
    // The caller finds the event when it looks next; the engine cannot do more for it.
  }
}

std::optional<GenerationEvent> Channel::receive(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (patience.count() > 0) changed_.wait_for(lock, patience, [this] { return !empty(); });
  if (events_.empty()) return std::exchange(final_, std::nullopt);
  GenerationEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

Generation::Generation(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
Generation::Generation(Generation&&) noexcept = default;

Generation& Generation::operator=(Generation&& other) noexcept {
  if (this == &other) return *this;
  if (channel_) channel_->cancel();
  channel_ = std::move(other.channel_);
  return *this;
}

Generation::~Generation() {
  if (channel_) channel_->cancel();  // a finished request does not look any more
}

std::optional<GenerationEvent> Generation::next(std::chrono::milliseconds patience) {
  return channel_->receive(patience);
}

}  // namespace lancet
