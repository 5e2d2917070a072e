#include "cli/memory_plan.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "base/error.h"
#include "base/sizes.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/// The first word of a file as a number; nothing for another word ("max") or no file.
std::optional<uint64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string word;
  uint64_t value = 0;
  if (!(file >> word)) return std::nullopt;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

/// The number after `key` in a file of "key number" lines; 0: not there.
uint64_t number_after(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    uint64_t value = 0;
    if (words >> word >> value && word == key) return value;
  }
  return 0;
}

/// How a version of control groups names its files.
struct GroupFiles {
  const char *limit, *usage;
};
constexpr GroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes"};
constexpr GroupFiles kVersion2{"memory.max", "memory.current"};

/// What one group leaves.
uint64_t room_in(const std::filesystem::path& group, const GroupFiles& files) {
  const auto limit = number_in(group / files.limit);
  if (!limit) return kNoLimit;
  const std::filesystem::path stat = group / "memory.stat";
  const uint64_t droppable = number_after(stat, "inactive_file") + number_after(stat, "active_file");
  return less(*limit, less(number_in(group / files.usage).value_or(0), droppable));
}

/// The least that a group or one above it leaves. In a container the path may be the host's and not exist here; the
/// mount itself is then the container's group.
uint64_t room_in_all(const std::filesystem::path& mount, std::string_view path, const GroupFiles& files) {
  uint64_t room = room_in(mount, files);
  std::filesystem::path group = mount;
  for (const std::filesystem::path& part : std::filesystem::path(path).relative_path()) {
    group /= part;
    room = std::min(room, room_in(group, files));
  }
  return room;
}

/// proc/self/cgroup has lines "number:controllers:path"; version 2 has no controllers.
uint64_t room_in_groups(const std::filesystem::path& root) {
  uint64_t room = kNoLimit;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    const std::filesystem::path mounts = root / "sys/fs/cgroup";
    if (controllers.empty()) {
      room = std::min(room, room_in_all(mounts, path, kVersion2));
    } else if (fmt::format(",{},", controllers).find(",memory,") != std::string::npos) {
      room = std::min(room, room_in_all(mounts / "memory", path, kVersion1));
    }
  }
  return room;
}

std::string bytes_text(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= uint64_t{1} << 30) return fmt::format("{:.2f} GiB", value / (1 << 30));
  return fmt::format("{:.1f} MiB", value / (1 << 20));
}

uint64_t blocks_of(int context) { return divide_up(static_cast<uint64_t>(context), kBlockTokens); }

/// The tokens that so many blocks hold, `most` at most.
int tokens_of(uint64_t blocks, int most) {
  return blocks >= blocks_of(most) ? most : static_cast<int>(blocks) * kBlockTokens;
}

}  // namespace

uint64_t MemoryPlan::for_weights() const { return less(available, cache_bytes() + needs.scratch + kMemoryReserve); }

bool MemoryPlan::weights_exceed() const { return needs.weights > for_weights(); }

MemoryPlan plan_memory(const MemoryNeeds& needs, const MemoryWish& wish, uint64_t available) {
  MemoryPlan plan{.needs = needs, .wish = wish, .available = available};
  const uint64_t room = less(available, needs.scratch + kMemoryReserve);
  const uint64_t half = less(room, needs.weights) / 2 / needs.block, all = room / needs.block;  // blocks
  if (wish.context > 0) {
    plan.context = std::min(wish.context, needs.model_context);
  } else {
    const int most = std::min(kMostChosenContext, needs.model_context);
    plan.context = std::max(tokens_of(half, most), std::min(kLeastChosenContext, most));
  }
  const uint64_t one = blocks_of(plan.context);
  plan.blocks = static_cast<int64_t>(std::max(one, std::min(one * static_cast<uint64_t>(wish.parallel), half)));
  plan.fits = one <= all;
  plan.fitting_context = tokens_of(all, needs.model_context);
  return plan;
}

MemoryNeeds memory_needs(const Checkpoint& checkpoint, const Backend& backend, int rows, int logit_rows) {
  const TextConfig& text = checkpoint.config().text;
  const auto hidden = static_cast<uint64_t>(text.hidden), ffn = static_cast<uint64_t>(text.ffn);
  const auto head_width = static_cast<uint64_t>(text.head_width);
  const uint64_t q = static_cast<uint64_t>(text.heads) * head_width;
  const uint64_t kv = static_cast<uint64_t>(text.kv_heads) * head_width;
  const auto all = static_cast<uint64_t>(rows), last = static_cast<uint64_t>(logit_rows);
  const uint64_t threads = std::max(1u, std::thread::hardware_concurrency());
  // The matrices of a step (model/decoder.cpp), the angles of two rotary tables, the states and logits at its end.
  uint64_t floats = all * (2 * hidden + 2 * q + 2 * kv + 2 * ffn + 2 * head_width);
  floats += (all + last) * 2 * hidden + last * static_cast<uint64_t>(text.vocabulary);
  // One operation at a time has its own memory besides: a product its 8-bit activations (10 bytes for 8 numbers) and
  // what each thread unpacks, attention less than 64 queries a thread with two sums each, and 16 MiB of partial sums.
  const uint64_t widest = std::max({hidden, q, ffn});
  const uint64_t product =
      all * widest * 10 / 8 + threads * 4 * static_cast<uint64_t>(product_scratch_floats(static_cast<int>(widest)));
  const uint64_t attention =
      threads * 4 * (64 * (4 * head_width + 64) + static_cast<uint64_t>(product_scratch_floats(text.head_width))) +
      (uint64_t{16} << 20);
  const size_t block = backend.cache_bytes_per_block(text.layers, text.kv_heads, text.head_width);
  MemoryNeeds needs{.block = std::max<uint64_t>(1, block),
                    .scratch = floats * 4 + std::max(product, attention),
                    .model_context = text.context};
  for (const StoredTensor& tensor : checkpoint.tensors()) needs.weights += tensor.bytes.size();
  return needs;
}

uint64_t available_memory(const std::filesystem::path& root) {
  const uint64_t system = number_after(root / "proc/meminfo", "MemAvailable:") * 1024;
  return std::min(system == 0 ? kNoLimit : system, room_in_groups(root));
}

std::vector<std::string> memory_table(const MemoryPlan& plan) {
  const auto row = [](const char* name, uint64_t bytes, const std::string& note) {
    return fmt::format("  {:<10} {:>10}  {}", name, bytes_text(bytes), note);
  };
  const int64_t tokens = plan.blocks * kBlockTokens;
  std::vector<std::string> lines = {"memory:"};
  lines.push_back(row("weights", plan.needs.weights,
                      plan.weights_exceed() ? "mapped; more than stays in memory beside the rest: parts will be read "
                                              "from disk again and again"
                                            : "mapped from the files, then packed for fast products instead"));
  lines.push_back(row("cache", plan.cache_bytes(),
                      fmt::format("{} tokens for up to {} requests of {}{}; taken only as it fills", tokens,
                                  plan.wish.parallel, plan.context, plan.wish.context == 0 ? " (chosen)" : "")));
  lines.push_back(row("scratch", plan.needs.scratch, "at most, in the largest step"));
  lines.push_back(row("reserve", kMemoryReserve, "tokenizer, requests, answers"));
  if (plan.available != kNoLimit)
    lines.push_back(row("available", plan.available, "of the system and its control groups"));
  return lines;
}

void require_fit(const MemoryPlan& plan) {
  if (plan.fits) return;
  const std::string instead = plan.fitting_context >= kBlockTokens
                                  ? fmt::format("--ctx {} would fit", plan.fitting_context)
                                  : std::string("no context fits");
  throw Error(
      Fault::unsupported,
      fmt::format("a context of {} tokens needs {} of cache, {} of scratch and {} in reserve, but {} are "
                  "available; {}",
                  plan.context, bytes_text(blocks_of(plan.context) * plan.needs.block), bytes_text(plan.needs.scratch),
                  bytes_text(kMemoryReserve), bytes_text(plan.available), instead),
      "ctx");
}

}  // namespace lancet
