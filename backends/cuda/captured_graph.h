// What a stream was given, kept to be given to it again at once.
#pragma once

#include <vector>

#include "backends/cuda/cuda.h"

namespace zoetrope::cuda {

class CapturedGraph {
 public:
  CapturedGraph() = default;
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  ~CapturedGraph() {
    if (graph_ != nullptr) (void)cudaGraphExecDestroy(graph_);
  }

  // Keeps what body(), which returns a Status, enqueues on `stream`, and brings it to the device;
  // nothing of it runs yet.
  template <typename Body>
  Status capture(cudaStream_t stream, Body&& body) {
    ZT_RETURN_IF_ERROR(
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing"));
    Status status = body();
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
    if (status.ok()) status = check(ended, "capturing");
    if (status.ok()) status = check(cudaGraphInstantiate(&graph_, graph), "building a graph");
    if (status.ok()) status = check(cudaGraphUpload(graph_, stream), "uploading a graph");
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();
    return status;
  }
  Status launch(cudaStream_t stream) const {
    return check(cudaGraphLaunch(graph_, stream), "launching a graph");
  }

 private:
  cudaGraphExec_t graph_ = nullptr;
};

// While `stream` is captured: what comes next follows these nodes and no others.
Status follow_in_capture(cudaStream_t stream, std::vector<cudaGraphNode_t> nodes);
// The nodes that what comes next would follow.
Result<std::vector<cudaGraphNode_t>> last_in_capture(cudaStream_t stream);

}  // namespace zoetrope::cuda
