// One test of `lancet bench`: what its name means, what work it is, and how fast the machine could do that at most.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/machine_probe.h"
#include "cli/model_flags.h"

namespace lancet {

/// "pp512": 512 prompt tokens, logits of the last; "tg128": 128 steps of one token; "tg32@4096": with 4,096 tokens in
/// the cache already; "tg32b4": 4 sequences at once.
struct BenchTest {
  bool prompt = false;
  int tokens = 0;  // of the prompt, or steps
  int depth = 0;   // tokens in each sequence's cache before
  int batch = 1;   // sequences; 1 for prompts

  std::string name() const;
  int room() const { return depth + tokens; }  // tokens of one sequence
  int counted() const { return tokens * batch; }
};

/// "pp512,tg128@4096b4". Error{bad_request} that names what is no test.
std::vector<BenchTest> parse_bench_tests(std::string_view list);

/// What has to be read and multiplied for a test at least, however it is done.
struct BenchWork {
  double bytes = 0;
  double macs[3] = {};  // by Arithmetic
};
BenchWork bench_work(const BenchTest& test, const LoadedModel& loaded, const ModelFlags& flags);

struct BenchLimit {
  double tokens_s = 0;
  bool memory = false;  // memory is what limits, else arithmetic
};
/// Reading and computing overlap perfectly: the longer of both counts.
BenchLimit bench_limit(const BenchTest& test, const BenchWork& work, const MachinePeaks& peaks);

}  // namespace lancet
