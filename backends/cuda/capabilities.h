// What a device offers, and what was switched off.
#pragma once

#include <string>
#include <vector>

#include "backends/cuda/cuda.h"
#include "runtime/backend/backend.h"

namespace zoetrope::cuda {

// The words of DeviceOptions::force_target, separated by commas; for tests and measurements.
struct Switches {
  bool no_wgmma = false;     // no kernels of sm_90a
  bool no_mma = false;       // no matrix units at all
  bool no_cublaslt = false;  // only our own matmuls
  bool no_measure = false;   // take cuBLASLt's first choice without timing others
  bool no_graph = false;     // launch kernels one by one
  bool any_size = false;     // kernels that pay for large tensors only take small ones, too
};
Result<Switches> parse_switches(std::string_view words);

struct Capabilities {
  int index = 0;
  std::string name, uuid;
  int architecture = 0;  // 90 for compute capability 9.0
  int driver_version = 0;
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  int64_t shared_bytes = 0;  // a block may have at most
  int64_t l2_bytes = 0;
  double clock_hz = 0;
  double bytes_per_second = 0;  // of the memory, on paper
  int cublaslt = 0;             // 130100 for 13.1.0; 0: not there, or switched off
  Switches switches;

  bool mma() const { return architecture >= 80 && !switches.no_mma; }
  // wgmma and its register handover exist on compute capability 9.0 alone.
  bool wgmma() const { return architecture == 90 && mma() && !switches.no_wgmma; }

  std::vector<std::string> features() const;
  DeviceInfo info() const;
};

// Whether kernels built for `architectures` ("80-real,90a-real,120", as CMake names them) run on
// compute capability `device` (90 for 9.0): machine code does on the same major number, from its
// minor number on, with a letter on no other device; PTX, where no "-real" excludes it, does on all
// later ones.
bool has_kernels(std::string_view architectures, int device);

Result<int> count_devices();
Result<Capabilities> read_capabilities(int index, const Switches& switches);

}  // namespace zoetrope::cuda
