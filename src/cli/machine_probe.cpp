#include "cli/machine_probe.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>

#include "kernels/kernels.h"

namespace lancet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kLeastProbeBytes = uint64_t{256} << 20, kMostProbeBytes = uint64_t{2} << 30;
constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int kPasses = 5;
constexpr double kLoopSeconds = 0.005;  // of one piece of an arithmetic loop
constexpr int kLoopPieces = 2;          // a thread

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Several times the last cache that the system tells of: a smaller probe would read part of that.
uint64_t probe_bytes() {
  constexpr uint64_t kTimesTheCache = 4;
#ifdef _SC_LEVEL3_CACHE_SIZE
  const auto cache = static_cast<uint64_t>(std::max(0l, sysconf(_SC_LEVEL3_CACHE_SIZE)));
#else
  const uint64_t cache = 0;
#endif
  return std::clamp(kTimesTheCache * cache, kLeastProbeBytes, kMostProbeBytes);
}

}  // namespace

double MachinePeaks::macs_s(Arithmetic arithmetic) const {
  if (arithmetic == Arithmetic::int8 && int8_macs_s > 0) return int8_macs_s;
  if (arithmetic == Arithmetic::bf16 && bf16_macs_s > 0) return bf16_macs_s;
  return f32_macs_s;
}

MachineProbe::MachineProbe(int threads, std::string_view kernels)
    : pool_(threads),
      loops_(peaks_of(select_kernels(kernels).name)),
      reader_(peaks_of(select_kernels("").name)),
      pages_(probe_bytes(), "the probe of the read bandwidth") {
#ifdef MADV_HUGEPAGE
  madvise(pages_.data(), pages_.size(), MADV_HUGEPAGE);  // small pages cost a tenth; without huge ones it goes on
#endif
  pool_.run(static_cast<int64_t>(pages_.size()), kPieceBytes, [&](int64_t begin, int64_t end) {
    std::memset(pages_.data() + begin, 1, static_cast<size_t>(end - begin));
  });
}

MachinePeaks MachineProbe::measure() {
  MachinePeaks peaks;
  peaks.f32_macs_s = mac_rate(loops_.f32);
  peaks.bf16_macs_s = mac_rate(loops_.bf16);
  peaks.int8_macs_s = mac_rate(loops_.int8);
  peaks.read_bytes_s = read_rate();
  return peaks;
}

double MachineProbe::read_rate() {
  double best = 0;
  std::atomic<uint64_t> sum = 0;
  for (int pass = 0; pass < kPasses; pass++) {
    const auto start = Clock::now();
    pool_.run(static_cast<int64_t>(pages_.size()), kPieceBytes, [&](int64_t begin, int64_t end) {
      sum += reader_.read({pages_.data() + begin, static_cast<size_t>(end - begin)});
    });
    best = std::max(best, static_cast<double>(pages_.size()) / seconds_since(start));
  }
  return best;
}

double MachineProbe::mac_rate(const PeakLoop& loop) {
  if (!loop.run) return 0;
  int64_t rounds = 1000;
  while (true) {
    const auto start = Clock::now();
    loop.run(rounds);
    const double took = seconds_since(start);
    if (took < kLoopSeconds / 4) {
      rounds *= 2;
      continue;
    }
    rounds = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(rounds) * kLoopSeconds / took));
    break;
  }
  double best = 0;
  const int pieces = kLoopPieces * pool_.threads();
  for (int pass = 0; pass < kPasses; pass++) {
    const auto start = Clock::now();
    pool_.run(pieces, 1, [&](int64_t, int64_t) { loop.run(rounds); });
    best = std::max(best, static_cast<double>(rounds) * loop.macs_per_round * pieces / seconds_since(start));
  }
  return best;
}

OtherCpu::OtherCpu() : start_(now()) {}

double OtherCpu::busy() const {
  const Times end = now();
  const double wall = std::chrono::duration<double>(end.at - start_.at).count();
  return wall > 0 ? std::max(0.0, (end.others_s - start_.others_s) / wall) : 0;
}

OtherCpu::Times OtherCpu::now() {
  // proc(5): "cpu", then user, nice, system, idle, iowait, irq, softirq, steal in ticks since boot.
  std::ifstream file("/proc/stat");
  std::string name;
  double ticks[8] = {}, busy = 0;
  file >> name;
  for (double& tick : ticks) file >> tick;
  for (const int i : {0, 1, 2, 5, 6, 7}) busy += ticks[i];
  rusage own{};
  getrusage(RUSAGE_SELF, &own);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  if (!file) return {Clock::now(), 0};
  return {Clock::now(),
          busy / static_cast<double>(sysconf(_SC_CLK_TCK)) - seconds(own.ru_utime) - seconds(own.ru_stime)};
}

}  // namespace lancet
