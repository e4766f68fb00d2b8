#include "runtime/quantize/calibrate.h"

#include <algorithm>

#include "graph/elements.h"
#include "runtime/backend/backend.h"

namespace zoetrope {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;
constexpr int64_t kWidest = 1024, kNarrowest = 128;  // columns of a block
constexpr int64_t kRowsACall = 256;
constexpr int64_t kFirstOfClip = 2;  // with and without the prompt, where those are runs apart
constexpr int64_t kFirstRuns = 8,
                  kRunsBetween = 4;  // steps that follow each other see nearly the same

int64_t columns_of(const QuantizedWeight& weight) {
  return weight.shape.elements() / weight.shape[0];
}

// Of every block alike, so that what compensation can do does not depend on a weight's place.
int64_t block_for(const std::vector<const QuantizedWeight*>& weights) {
  int64_t block = kWidest;
  for (; block > kNarrowest; block /= 2) {
    int64_t bytes = 0;
    for (const QuantizedWeight* w : weights) bytes += RowMoments::bytes(columns_of(*w), block);
    if (bytes <= kMostBytes) break;
  }
  return block;
}

// Plans come and go while the runs that they are for go on.
std::string what_runs(const Plan& plan) {
  std::string text = plan.component;
  for (const PlanBinding& input : plan.inputs)
    text += str(" ", plan.graph.value(input.value).type.to_string());
  return text;
}

}  // namespace

GatherMoments::GatherMoments(const std::vector<QuantizedWeight>& weights) {
  std::vector<const QuantizedWeight*> chosen;
  for (const QuantizedWeight& w : weights)
    if (w.product && w.choice.format == WeightFormat::kInt4) chosen.push_back(&w);
  const int64_t block = block_for(chosen);
  for (const QuantizedWeight* w : chosen)
    moments_.try_emplace(w->weight, RowMoments(columns_of(*w), block));
}

// All of a text encoder's few runs, some of the denoiser's many.
bool GatherMoments::begin_run(const Plan& plan) {
  const std::string what = what_runs(plan);
  const int64_t run = runs_[what]++, clip_run = clip_runs_[what]++;
  return clip_run < kFirstOfClip || run < kFirstRuns || run % kRunsBetween == 0;
}

Status GatherMoments::call(const TracedCall& traced, const std::function<Status()>& run) {
  const Graph& graph = traced.plan.graph;
  const Node& node = graph.nodes[static_cast<size_t>(traced.plan.calls[traced.index].node)];
  if (node.op == OpKind::kMatmul || node.op == OpKind::kLinear) {
    const auto it = moments_.find(graph.value(node.inputs[1]).name);
    if (it != moments_.end())
      ZT_RETURN_IF_ERROR(gather(traced, graph.value(node.inputs[0]), &it->second));
  }
  return run();
}

Status GatherMoments::gather(const TracedCall& traced, const Value& x, RowMoments* moments) {
  const int64_t columns = moments->columns();
  if (x.type.shape.rank() < 1 || x.type.shape[-1] != columns || !is_float(x.type.dtype))
    return Status();
  const int64_t all = x.type.shape.elements() / std::max<int64_t>(columns, 1);
  const int64_t count = std::min(all, kRowsACall), row_bytes = columns * dtype_size(x.type.dtype);
  std::vector<uint8_t> bytes(static_cast<size_t>(row_bytes));
  std::vector<double> wide(static_cast<size_t>(columns));
  std::vector<float> rows(static_cast<size_t>(count * columns));
  // Even steps from a place of its own at each call.
  const int64_t first = count > 0 ? calls_++ % std::max<int64_t>(all / count, 1) : 0;
  for (int64_t i = 0; i < count; ++i) {
    BufferView row = traced.call.args.inputs[0];
    row.offset += std::min(first + i * all / count, all - 1) * row_bytes;
    row.bytes = row_bytes;
    ZT_RETURN_IF_ERROR(traced.device.download(bytes.data(), row));
    load_elements(x.type.dtype, bytes.data(), columns, wide.data());
    std::copy(wide.begin(), wide.end(), rows.begin() + i * columns);
  }
  moments->add(rows.data(), count);
  return Status();
}

}  // namespace zoetrope
