// What the machine can do at this minute: memory read and arithmetic peaks, and how busy others keep it. A speed is
// worth quoting only beside these, because shared machines change by the minute.
#pragma once

#include <chrono>
#include <string_view>

#include "backend/cpu/pages.h"
#include "base/thread_pool.h"
#include "kernels/panels.h"
#include "kernels/peaks.h"

namespace lancet {

/// All threads together; multiply-adds for the instructions of one kernel table. 0: the table has no such arithmetic.
struct MachinePeaks {
  double read_bytes_s = 0, f32_macs_s = 0, bf16_macs_s = 0, int8_macs_s = 0;

  /// bf16 and int8 without instructions of their own are computed in f32.
  double macs_s(Arithmetic) const;
};

/// Holds 256 MiB to read and idle threads while it lives.
class MachineProbe {
 public:
  /// `threads` as in ThreadPool; `kernels` names the table.
  MachineProbe(int threads, std::string_view kernels);
  /// Takes about 0.3 s: the best of a few passes of each.
  MachinePeaks measure();
  int threads() const { return pool_.threads(); }
  const Peaks& loops() const { return loops_; }

 private:
  double read_rate();
  double mac_rate(const PeakLoop&);

  ThreadPool pool_;
  const Peaks& loops_;   // of the table that was asked for
  const Peaks& reader_;  // of the best table: what memory gives does not depend on who uses it
  Pages pages_;
};

/// CPUs that other processes and the hypervisor kept busy since the construction; 0 where the system does not say.
class OtherCpu {
 public:
  OtherCpu();
  double busy() const;

 private:
  struct Times {
    std::chrono::steady_clock::time_point at;
    double others_s;
  };
  static Times now();
  Times start_;
};

}  // namespace lancet
