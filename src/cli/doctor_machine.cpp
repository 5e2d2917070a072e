#include "cli/doctor_machine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "cli/machine_probe.h"
#include "cli/memory_plan.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

constexpr std::string_view kSection = "machine";
constexpr uint16_t kUsualPort = 8111;
constexpr double kSlowRead = 4e9;  // bytes a second: every token of a 3B model in 4 bits would take half a second

/// The instruction sets that the kernels could use, of what Linux says this CPU has.
std::string cpu_features() {
  constexpr std::string_view kKnown[] = {"avx2",        "fma",         "f16c",        "avx512f",  "avx512bw",
                                         "avx512_vnni", "avx512_bf16", "avx512_vbmi", "amx_int8", "asimd",
                                         "asimddp",     "i8mm",        "sve"};
  std::ifstream file("/proc/cpuinfo");
  std::string line, found;
  while (std::getline(file, line) && !line.starts_with("flags") && !line.starts_with("Features")) {}
  std::istringstream words(line);
  for (std::string word; words >> word;)
    for (const std::string_view known : kKnown)
      if (word == known) found += " " + word;
  return found.empty() ? " none that is known" : found;
}

/// Whether a server could listen there on the loopback address.
bool port_is_free(uint16_t port) {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (handle < 0) return true;  // no IPv4: nothing to say
  const int on = 1;
  setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = bind(handle, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(handle);
  return free;
}

}  // namespace

void examine_machine(Report& report) {
  const std::string_view kernels = select_kernels("").name;
  report.good(kSection, fmt::format("CPU features:{}; kernels: {}", cpu_features(), kernels));
  if (kernels == "scalar")
    report.note(kSection, "no kernels for this CPU's instructions: everything is computed by the plain, slow loops");
  const uint64_t available = available_memory();
  if (available != kNoLimit)
    report.good(kSection, fmt::format("{:.1f} GiB of memory are available",
                                      static_cast<double>(available) / static_cast<double>(uint64_t{1} << 30)));
  MachineProbe probe(0, "");
  const OtherCpu others;
  const MachinePeaks peaks = probe.measure();
  report.good(kSection, fmt::format("{} threads read {:.1f} GB/s and multiply {:.0f} (f32), {:.0f} (bf16), {:.0f} "
                                    "(int8) billion pairs of numbers a second",
                                    probe.threads(), peaks.read_bytes_s / 1e9, peaks.f32_macs_s / 1e9,
                                    peaks.macs_s(Arithmetic::bf16) / 1e9, peaks.macs_s(Arithmetic::int8) / 1e9));
  if (others.busy() > 0.5)
    report.note(kSection, fmt::format("others kept {:.1f} CPUs busy while this was measured", others.busy()));
  if (peaks.read_bytes_s < kSlowRead) report.note(kSection, "memory is slow: answers will come slowly");
  if (port_is_free(kUsualPort)) {
    report.good(kSection, fmt::format("port {} is free", kUsualPort));
  } else {
    report.note(kSection, fmt::format("port {} is taken, by a server that runs already or by another program: "
                                      "`lancet serve --port N` takes another",
                                      kUsualPort));
  }
}

}  // namespace lancet
