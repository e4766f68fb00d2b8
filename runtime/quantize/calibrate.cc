#include "runtime/quantize/calibrate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/elements.h"
#include "runtime/backend/backend.h"

namespace zoetrope {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;
constexpr int64_t kWidest = 1024, kNarrowest = 128;  // columns of a block
constexpr int64_t kRowsACall = 256;
constexpr int64_t kFirstOfClip = 2;  // with and without the prompt, where those are runs apart
// Steps that follow each other see nearly the same. Odd: steps may be two runs each.
constexpr int64_t kFirstRuns = 8, kRunsBetween = 3;

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
  std::map<std::string_view, const QuantizedWeight*> of_rows;
  std::vector<const QuantizedWeight*> looked_at;
  for (const QuantizedWeight* w : chosen)
    if (w->rows.empty() || of_rows.try_emplace(w->rows, w).second) looked_at.push_back(w);
  const int64_t block = block_for(looked_at);
  for (const QuantizedWeight* w : looked_at) {
    calls_.try_emplace(w->weight, 0);
    moments_.try_emplace(w->weight, std::make_shared<RowMoments>(columns_of(*w), block));
  }
  for (const QuantizedWeight* w : chosen)
    if (!w->rows.empty()) moments_.try_emplace(w->weight, moments_.at(of_rows.at(w->rows)->weight));
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
    const std::string& weight = graph.value(node.inputs[1]).name;
    if (const auto calls = calls_.find(weight); calls != calls_.end())
      ZT_RETURN_IF_ERROR(gather(traced, graph.value(node.inputs[0]), calls->second++,
                                moments_.find(weight)->second.get()));
  }
  return run();
}

Status GatherMoments::gather(const TracedCall& traced, const Value& x, int64_t turn,
                             RowMoments* moments) {
  const int64_t columns = moments->columns();
  if (x.type.shape.rank() < 1 || x.type.shape[-1] != columns || !is_float(x.type.dtype))
    return Status();
  const int64_t row_bytes = columns * dtype_size(x.type.dtype);
  const std::vector<int64_t> chosen =
      spread_rows(x.type.shape.elements() / std::max<int64_t>(columns, 1),
                  streams_of(traced.plan.graph, x.type.shape), kRowsACall, turn);
  std::vector<uint8_t> bytes(static_cast<size_t>(row_bytes));
  std::vector<double> wide(static_cast<size_t>(columns));
  std::vector<float> rows;
  rows.reserve(chosen.size() * static_cast<size_t>(columns));
  for (const int64_t index : chosen) {
    BufferView row = traced.call.args.inputs[0];
    row.offset += index * row_bytes;
    row.bytes = row_bytes;
    ZT_RETURN_IF_ERROR(traced.device.download(bytes.data(), row));
    load_elements(x.type.dtype, bytes.data(), columns, wide.data());
    rows.insert(rows.end(), wide.begin(), wide.end());
  }
  moments->add(rows.data(), static_cast<int64_t>(chosen.size()));
  return Status();
}

std::vector<int64_t> streams_of(const Graph& graph, const Shape& rows) {
  const int64_t columns = rows[-1], sequence = rows.rank() < 2 ? 1 : rows[-2];
  std::vector<int64_t> found;
  for (const Node& node : graph.nodes) {
    if (node.op != OpKind::kConcat) continue;
    const Shape& joined = graph.value(node.outputs[0]).type.shape;
    const int axis = joined.rank() - 2;
    const auto along = normalize_axis(node.attrs.get_int("axis"), joined.rank());
    if (axis < 0 || !along.ok() || *along != axis || joined[axis] != sequence ||
        joined.elements() / std::max<int64_t>(joined[-1], 1) != rows.elements() / columns)
      continue;
    std::vector<int64_t> streams;
    for (ValueId part : node.inputs) streams.push_back(graph.value(part).type.shape[axis]);
    if (!found.empty() && found != streams) return {};
    found = std::move(streams);
  }
  return found;
}

std::vector<int64_t> spread_rows(int64_t rows, const std::vector<int64_t>& streams, int64_t count,
                                 int64_t turn) {
  struct Stream {
    int64_t begin, length, rows;  // in a sequence; of all sequences
  };
  std::vector<Stream> all;
  const int64_t sequence = std::accumulate(streams.begin(), streams.end(), int64_t{0});
  const bool joined = sequence > 0 && rows % sequence == 0;
  const int64_t period = joined ? sequence : std::max<int64_t>(rows, 1);
  int64_t begin = 0;
  for (const int64_t length : joined ? streams : std::vector<int64_t>{rows}) {
    if (length > 0) all.push_back({begin, length, length * (rows / period)});
    begin += length;
  }
  // The shortest first: what they leave goes to the others.
  std::sort(all.begin(), all.end(),
            [](const Stream& a, const Stream& b) { return a.rows < b.rows; });
  double weight = 0;
  for (const Stream& stream : all) weight += std::cbrt(static_cast<double>(stream.rows));
  std::vector<int64_t> chosen;
  for (const Stream& stream : all) {
    const double own = std::cbrt(static_cast<double>(stream.rows));
    const auto left = static_cast<double>(count - static_cast<int64_t>(chosen.size()));
    const int64_t take = std::min<int64_t>(std::llround(left * own / weight), stream.rows);
    weight = std::max(weight - own, 1e-9);
    if (take == 0) continue;
    const int64_t first = turn % std::max<int64_t>(stream.rows / take, 1);
    for (int64_t i = 0; i < take; ++i) {
      const int64_t at = std::min(first + i * stream.rows / take, stream.rows - 1);
      chosen.push_back(at / stream.length * period + stream.begin + at % stream.length);
    }
  }
  return chosen;
}

}  // namespace zoetrope
