#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "hub/files.h"

namespace lancet {
namespace {

using namespace std::chrono_literals;
constexpr auto kBarEvery = 100ms, kLineEvery = 10'000ms, kMeasureEvery = 500ms;
constexpr double kNewShare = 0.3;  // of the last half second in the smoothed rate
constexpr int kBarCells = 24;

int terminal_columns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::min(seconds, 1e9));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

}  // namespace

PullMeter::PullMeter(std::function<void(const std::string&)> line, bool bar)
    : line_(std::move(line)), bar_(bar && isatty(STDERR_FILENO) == 1) {}

PullMeter::~PullMeter() {
  if (drawn_) fmt::print(stderr, "\n");
}

PullWatch PullMeter::watch() {
  return {.note = [this](const std::string& sentence) { say(sentence); },
          .planned = [this](const PullPlan& plan) { planned(plan); },
          .progress = [this](const PullProgress& now) { progress(now); }};
}

void PullMeter::say(const std::string& sentence) {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
  drawn_ = false;
  line_(sentence);
}

void PullMeter::planned(const PullPlan& plan) {
  say(fmt::format("{} at {}: {}", plan.name.repo, plan.commit.substr(0, 12), plan_text(plan)));
  measured_ = shown_ = Clock::now();
  measured_bytes_ = plan.total_bytes - plan.missing_bytes;
  rate_ = 0;
}

void PullMeter::progress(const PullProgress& now) {
  const auto time = Clock::now();
  if (time - measured_ >= kMeasureEvery) {
    const double seconds = std::chrono::duration<double>(time - measured_).count();
    const auto gained = static_cast<double>(now.done_bytes - std::min(now.done_bytes, measured_bytes_));
    rate_ = rate_ == 0 ? gained / seconds : (1 - kNewShare) * rate_ + kNewShare * gained / seconds;
    measured_ = time, measured_bytes_ = now.done_bytes;
  }
  const bool last = now.done_bytes == now.total_bytes;
  if (time - shown_ < (bar_ ? kBarEvery : kLineEvery) && !(last && bar_)) return;
  shown_ = time;
  std::string speed;
  if (rate_ > 0) {
    const double left_s = static_cast<double>(now.total_bytes - now.done_bytes) / rate_;
    speed = fmt::format(", {}/s, {} left", size_text(static_cast<uint64_t>(rate_)), duration_text(left_s));
  }
  const std::string done = fmt::format("{} of {}{}", size_text(now.done_bytes), size_text(now.total_bytes), speed);
  if (bar_) return draw(now, done);
  line_(fmt::format("{}: {}", now.file, done));
}

void PullMeter::draw(const PullProgress& now, const std::string& done) {
  const double share =
      now.total_bytes == 0 ? 1 : static_cast<double>(now.done_bytes) / static_cast<double>(now.total_bytes);
  const auto full = static_cast<size_t>(share * kBarCells), percent = static_cast<size_t>(share * 100);  // 100: the end
  std::string text = fmt::format("[{}{}] {:3} %  {}  {}", std::string(full, '#'),
                                 std::string(size_t{kBarCells} - full, '-'), percent, done, now.file);
  text.resize(std::min(text.size(), static_cast<size_t>(terminal_columns() - 1)));
  fmt::print(stderr, "\r{}\x1b[K", text);
  drawn_ = true;
}

std::string plan_text(const PullPlan& plan) {
  const std::string all =
      fmt::format("{} in {} file{}", size_text(plan.total_bytes), plan.files.size(), plan.files.size() == 1 ? "" : "s");
  if (plan.missing_bytes == 0) return all + ", all there";
  return fmt::format("{}, {} to fetch", all, size_text(plan.missing_bytes));
}

}  // namespace lancet
