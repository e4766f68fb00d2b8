#include "backends/cuda/captured_graph.h"

namespace zoetrope::cuda {
namespace {

#if CUDART_VERSION >= 13000
constexpr auto kGetCaptureInfo = cudaStreamGetCaptureInfo;
constexpr auto kUpdateDependencies = cudaStreamUpdateCaptureDependencies;
#else
constexpr auto kGetCaptureInfo = cudaStreamGetCaptureInfo_v3;
constexpr auto kUpdateDependencies = cudaStreamUpdateCaptureDependencies_v2;
#endif

}  // namespace

Status follow_in_capture(cudaStream_t stream, std::vector<cudaGraphNode_t> nodes) {
  return check(kUpdateDependencies(stream, nodes.data(), nullptr, nodes.size(),
                                   cudaStreamSetCaptureDependencies),
               "ordering a graph");
}

Result<std::vector<cudaGraphNode_t>> last_in_capture(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaGraphNode_t* nodes = nullptr;
  const cudaGraphEdgeData* edges = nullptr;
  size_t count = 0;
  ZT_RETURN_IF_ERROR(
      check(kGetCaptureInfo(stream, &status, nullptr, nullptr, &nodes, &edges, &count),
            "reading a graph"));
  return std::vector<cudaGraphNode_t>(nodes, nodes + count);
}

}  // namespace zoetrope::cuda
