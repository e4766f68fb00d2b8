// Which of cuBLASLt's proposals is fastest here: timed on random data, then remembered.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "backends/cuda/captured_graph.h"
#include "backends/cuda/cublaslt.h"
#include "backends/cuda/kernel.h"
#include "backends/cuda/kernels/convert.h"

namespace zoetrope::cuda {
namespace {

// Scratch memory that a measurement may take: rows of a beyond it are left out.
constexpr int64_t kScratchBytes = int64_t{512} << 20;
constexpr int64_t kMostCopies = 64;
constexpr int kRounds = 3;
constexpr double kRoundSeconds = 0.4e-3;  // of work a candidate
constexpr double kGain = 0.98;            // another must be this much faster than the first guess

std::string hex_of(const cublasLtMatmulAlgo_t& algorithm) {
  std::string text;
  for (uint64_t word : algorithm.data) {
    char digits[17];
    std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(word));
    text += digits;
  }
  return text;
}

class Events {
 public:
  Status create() {
    for (cudaEvent_t& event : events_)
      ZT_RETURN_IF_ERROR(check(cudaEventCreate(&event), "creating an event"));
    return Status();
  }
  ~Events() {
    for (cudaEvent_t event : events_)
      if (event != nullptr) (void)cudaEventDestroy(event);
  }
  Status start(cudaStream_t stream) { return check(cudaEventRecord(events_[0], stream), "timing"); }
  Result<double> stop(cudaStream_t stream) {
    ZT_RETURN_IF_ERROR(check(cudaEventRecord(events_[1], stream), "timing"));
    ZT_RETURN_IF_ERROR(check(cudaEventSynchronize(events_[1]), "timing"));
    float milliseconds = 0;
    ZT_RETURN_IF_ERROR(
        check(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "timing"));
    return 1e-3 * milliseconds;
  }

 private:
  std::array<cudaEvent_t, 2> events_{};
};

int64_t extent(int64_t one, int64_t step, int64_t batch) { return one + step * (batch - 1); }

// The same problem with fewer products or rows, so that it fits.
LtProblem shrink(LtProblem p) {
  const auto bytes = [&] {
    return (extent(p.m * p.k, p.step_a, p.batch) + extent(p.n * p.k, p.step_b, p.batch)) *
               dtype_size(p.dtype) +
           p.batch * p.m * p.n * dtype_size(p.out);
  };
  while (p.batch > 1 && bytes() > kScratchBytes) p.batch = (p.batch + 1) / 2;
  while (p.m > 1024 && bytes() > kScratchBytes) p.m = (p.m / 2 + 255) / 256 * 256;
  return p;
}

// Operands, and several b's: what is next to read lies in no cache, as in a network.
struct Scratch {
  DeviceMemory a, b, c, bias, a_scales, b_scales, workspace;
  int64_t step_b = 0, copies_b = 1;  // bytes from one b to the next

  Status create(const LtProblem& p, int64_t workspace_bytes, int64_t l2_bytes,
                cudaStream_t stream) {
    uint32_t seed = 0;
    const auto fill = [&](DeviceMemory* memory, DType dtype, int64_t count) {
      ZT_ASSIGN_OR_RETURN(*memory, DeviceMemory::allocate(count * dtype_size(dtype)));
      return check(fill_random(dtype, ++seed, memory->data(), count, stream),
                   "filling scratch memory");
    };
    ZT_RETURN_IF_ERROR(fill(&a, p.dtype, extent(p.m * p.k, p.step_a, p.batch)));
    const int64_t each = dtype_size(p.dtype);
    step_b = align_up(extent(p.n * p.k, p.step_b, p.batch) * each);
    copies_b = std::clamp<int64_t>(2 * l2_bytes / std::max<int64_t>(step_b, 1), 1, kMostCopies);
    ZT_RETURN_IF_ERROR(fill(&b, p.dtype, step_b * copies_b / each));
    if (p.bias) ZT_RETURN_IF_ERROR(fill(&bias, p.out, p.n));
    if (p.scales) {
      ZT_RETURN_IF_ERROR(fill(&a_scales, DType::kF32, p.m));
      ZT_RETURN_IF_ERROR(fill(&b_scales, DType::kF32, p.n));
    }
    ZT_ASSIGN_OR_RETURN(c, DeviceMemory::allocate(p.batch * p.m * p.n * dtype_size(p.out)));
    ZT_ASSIGN_OR_RETURN(workspace, DeviceMemory::allocate(workspace_bytes));
    return Status();
  }

  LtOperands operands(int run) const {
    return {.a = a.data(),
            .b = static_cast<const char*>(b.data()) + run % copies_b * step_b,
            .bias = bias.data(),
            .a_scales = a_scales.data(),
            .b_scales = b_scales.data(),
            .c = c.data(),
            .workspace = workspace.data()};
  }
};

}  // namespace

Status CublasLt::choose(LtChoice& choice, cudaStream_t stream) {
  if (!measure_ || choice.measured || choice.candidates.size() < 2) return Status();
  choice.measured = true;
  const std::string key = choice.descriptors.problem.key();
  // What the file says counts only if cuBLASLt itself proposes it too.
  if (const auto known = choices_.find(key)) {
    for (size_t i = 0; i < choice.candidates.size(); ++i) {
      if (hex_of(choice.candidates[i].algo) != *known) continue;
      choice.chosen = i;
      return Status();
    }
  }
  const Result<size_t> fastest = measure(choice, stream);
  if (!fastest.ok()) {
    // Memory may be short now; errors of the device will come again where they matter.
    return fastest.status().code() == Code::kResourceExhausted ? Status() : fastest.status();
  }
  choice.chosen = *fastest;
  choices_.add(key, hex_of(choice.candidates[choice.chosen].algo));
  return Status();
}

Result<size_t> CublasLt::measure(const LtChoice& choice, cudaStream_t stream) const {
  const LtProblem problem = shrink(choice.descriptors.problem);
  Scratch scratch;
  ZT_RETURN_IF_ERROR(scratch.create(problem, choice.workspace_bytes, l2_bytes_, stream));
  ZT_ASSIGN_OR_RETURN(const LtDescriptors descriptors, LtDescriptors::create(api_, problem));
  Events events;
  ZT_RETURN_IF_ERROR(events.create());

  // One after the other as a graph, so that the host's launches do not count.
  const size_t count = choice.candidates.size();
  std::vector<CapturedGraph> graphs(count);
  std::vector<double> best(count, std::numeric_limits<double>::infinity());
  std::vector<int> runs(count, 0);
  const auto multiply = [&](size_t i, int run) {
    return run_with(descriptors, choice.candidates[i].algo, scratch.operands(run),
                    choice.workspace_bytes, stream);
  };
  const auto capture = [&](size_t i) {
    return graphs[i].capture(stream, [&] {
      Status status;
      for (int run = 0; run < runs[i] && status.ok(); ++run) status = multiply(i, run);
      return status;
    });
  };
  const auto time = [&](size_t i) -> Result<double> {
    ZT_RETURN_IF_ERROR(events.start(stream));
    ZT_RETURN_IF_ERROR(graphs[i].launch(stream));
    ZT_ASSIGN_OR_RETURN(const double seconds, events.stop(stream));
    return seconds / runs[i];
  };
  for (size_t i = 0; i < count; ++i) {  // warm; one that refuses the smaller problem stays out
    if (!multiply(i, 0).ok()) continue;
    ZT_RETURN_IF_ERROR(events.start(stream));
    ZT_RETURN_IF_ERROR(multiply(i, 1));
    ZT_ASSIGN_OR_RETURN(const double seconds, events.stop(stream));
    runs[i] = std::clamp(static_cast<int>(kRoundSeconds / std::max(seconds, 1e-6)), 1, 50);
    ZT_RETURN_IF_ERROR(capture(i));
  }
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < count; ++i) {
      if (runs[i] == 0) continue;
      ZT_ASSIGN_OR_RETURN(const double seconds, time(i));
      best[i] = std::min(best[i], seconds);
    }
  }
  const auto fastest =
      static_cast<size_t>(std::min_element(best.begin(), best.end()) - best.begin());
  return best[fastest] < kGain * best[0] ? fastest : size_t{0};
}

}  // namespace zoetrope::cuda
