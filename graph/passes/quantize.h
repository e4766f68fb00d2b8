// Weights in fewer bits: a graph as it is stored, rewritten to read them.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "graph/compensate.h"
#include "graph/graph.h"
#include "graph/weight_format.h"
#include "graph/weights.h"

namespace zoetrope {

// A weight, as whoever chooses a format for it sees it.
struct QuantizeSite {
  std::string_view weight;
  Shape shape;
  // Every reader multiplies rows of activations by it, x·Wᵀ: it may be of kInt8 or kFp8.
  bool product = false;
  bool convolution = false;    // every reader is a convolution whose kernel it is
  Rate rate = Rate::kWeights;  // of the fastest of those rows
  // A product of every step whose rows are the graph's inputs, or which gives its outputs, but for
  // biases and moved elements.
  bool edge = false;
  std::string_view rows = {};  // the value that they are; empty: of several
};

struct WeightChoice {
  WeightFormat format = WeightFormat::kKeep;
  int64_t group = 0;    // of kInt4: even
  bool rotate = false;  // of kInt8 and kFp8: rows are turned before they are rounded, as the weight

  bool operator==(const WeightChoice&) const = default;
};
// Attributes of the dequantize that gives a weight of `dims` back; not of kInt8 and kFp8.
Attrs dequantize_attrs(const WeightChoice& choice, std::vector<Dim> dims);

using ChooseFormat = std::function<WeightChoice(const QuantizeSite& site)>;

// A weight in its new format; what the graph reads of it are `values` and `scale`. Of kF16 and
// kBF16 the graph is as it was and `values` is the weight itself.
struct QuantizedWeight {
  std::string weight;
  WeightChoice choice;
  Shape shape;
  std::string values, scale;  // names of tensors
  bool product = false;
  // The value whose rows it multiplies: weights of the same see the same. Empty: not one alone.
  std::string rows = {};
};

struct QuantizedGraph {
  Graph graph;
  std::vector<QuantizedWeight> weights;  // sorted by name
  int64_t attentions = 0;                // whose products may now be of 8 bits
};

// For graphs as they are stored (symbols need not be bound). Products with weights of kInt8 and
// kFp8 become quantize_rows and quantized_matmul, rows that several products share being quantised
// once (turned first where that is chosen); other formats are read through dequantize. A choice
// that a weight cannot have (kInt8 where it is no product, fewer bits without rows) is an error.
// The signature stays. `attention_bits` is 0, or 8: products of attentions that every step computes
// may then be of 8 bits (their `bits`).
Result<QuantizedGraph> quantize(const Graph& graph, const ChooseFormat& choose,
                                int attention_bits = 0);

// A source that also has quantised tensors, encoded when loaded, and f16 or bf16 in place of what
// is to be stored so. Values that are not finite, or do not fit, are errors.
class QuantizedWeights : public WeightSource {
 public:
  // `base` and `moments` must outlive it. Of weights that appear twice, all must be alike. Weights
  // of kInt4 that have moments are rounded so that their errors make up for each other.
  static Result<std::unique_ptr<QuantizedWeights>> create(const WeightSource& base,
                                                          std::vector<QuantizedWeight> weights,
                                                          const WeightMoments* moments = nullptr);

  Result<TensorType> type(std::string_view name) const override;
  Result<WeightData> load(std::string_view name) const override;
  std::string revision(std::string_view name) const override { return base_.revision(name); }
  // Weights that were loaded and of which enough was known to compensate.
  int64_t compensated() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(compensated_.size());
  }

 private:
  struct Part {
    size_t weight;  // of weights_
    bool scale;
  };
  QuantizedWeights(const WeightSource& base, std::vector<QuantizedWeight> weights,
                   const WeightMoments* moments)
      : base_(base), weights_(std::move(weights)), moments_(moments) {}
  Result<WeightData> encode(const QuantizedWeight& weight, bool scale) const;
  // By what was seen of the rows that the weight multiplies; null: nothing was.
  Result<std::shared_ptr<const Compensation>> compensation_of(const QuantizedWeight& weight) const;

  const WeightSource& base_;
  const std::vector<QuantizedWeight> weights_;
  const WeightMoments* const moments_;              // may be null
  std::map<std::string, Part, std::less<>> parts_;  // by tensor
  // Scales come for nothing with values, and are asked for next.
  mutable std::mutex mutex_;
  mutable std::string scale_of_;
  mutable std::optional<WeightData> scale_;
  mutable std::set<std::string> compensated_;
  // The last one and its moments: weights that follow each other share them.
  mutable const RowMoments* compensation_from_ = nullptr;
  mutable std::shared_ptr<const Compensation> compensation_;
};

}  // namespace zoetrope
