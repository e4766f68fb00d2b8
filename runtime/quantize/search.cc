#include "runtime/quantize/search.h"

#include <algorithm>
#include <map>
#include <set>

#include "runtime/quantize/write.h"

namespace zoetrope {
namespace {

class Search {
 public:
  Search(const ModelFile& file, const QuantizeRules& rules, const SearchTargets& targets,
         const WeightMoments* moments, Measure& measure, const MeasureProgress& progress)
      : file_(file),
        rules_(rules),
        targets_(targets),
        moments_(moments),
        measure_(measure),
        progress_(progress) {}

  Result<SearchResult> run() {
    ZT_RETURN_IF_ERROR(rank());
    size_t least = 0, most = order_.size();
    ZT_ASSIGN_OR_RETURN(const int64_t original, stored_bytes(file_.info().components, file_));
    if (targets_.size > 0) {
      // Sparing more takes more: the last count that fits.
      const auto limit = targets_.size * static_cast<double>(original);
      ZT_ASSIGN_OR_RETURN(most, last_that([&](size_t count) -> Result<bool> {
                            ZT_ASSIGN_OR_RETURN(const int64_t bytes, bytes_with(count));
                            return static_cast<double>(bytes) <= limit;
                          }));
      if (most == kNoneFits) {
        ZT_ASSIGN_OR_RETURN(const int64_t bytes, bytes_with(0));
        return error(Code::kInvalidArgument, "no choice of layers takes ",
                     percent_text(targets_.size), " of the original: with every layer in ",
                     format_name(rules_.format), " it is ",
                     percent_text(static_cast<double>(bytes) / static_cast<double>(original)));
      }
      least = targets_.psnr > 0 ? 0 : most;
    }
    if (targets_.psnr > 0) {
      ZT_ASSIGN_OR_RETURN(const double best, psnr_with(most));
      if (!(best >= targets_.psnr))
        return error(Code::kDiffers, "no choice of layers reaches ", targets_.psnr, " dB: with ",
                     most, " of ", order_.size(), " spared it is ", best, " dB");
      least = 0;
      for (size_t high = most; least < high;) {  // reached with `high`
        const size_t middle = (least + high) / 2;
        ZT_ASSIGN_OR_RETURN(const double psnr, psnr_with(middle));
        if (psnr >= targets_.psnr)
          high = middle;
        else
          least = middle + 1;
      }
    }
    SearchResult result{rules_with(least), {}};
    for (size_t i = 0; i < order_.size(); ++i)
      result.layers.push_back({order_[i].name, order_[i].loss, i < least});
    return result;
  }

 private:
  static constexpr size_t kNoneFits = SIZE_MAX;
  struct Layer {
    std::string name;
    int64_t bytes = 0;  // of its weights as they were
    double loss = 0;
  };

  template <typename F>
  Result<size_t> last_that(const F& fits) const {
    size_t found = kNoneFits;
    for (size_t low = 0, high = order_.size() + 1; low < high;) {
      const size_t middle = (low + high) / 2;
      ZT_ASSIGN_OR_RETURN(const bool good, fits(middle));
      if (good) {
        found = middle;
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return found;
  }

  Result<Model> model_of(const QuantizedModel& made) const {
    ZT_ASSIGN_OR_RETURN(std::shared_ptr<const WeightSource> weights,
                        QuantizedWeights::create(file_, made.weights, moments_));
    return make_model(made.info, std::move(weights), file_.path());
  }

  // Layers that the loss can tell apart: each alone in the asked format.
  Status rank() {
    ZT_ASSIGN_OR_RETURN(const QuantizedModel all, quantize_model(file_.info(), rules_));
    std::map<std::string, int64_t> bytes;
    for (const QuantizedWeight& weight : all.weights)
      if (weight.product && weight.choice.format == rules_.format) {
        ZT_ASSIGN_OR_RETURN(const TensorType type, file_.type(weight.weight));
        bytes[layer_of(weight.weight)] += type.bytes();
      }
    for (const auto& [name, size] : bytes) {
      QuantizeRules alone = rules_;
      alone.only = name;
      const auto at = static_cast<double>(order_.size()), of = static_cast<double>(bytes.size());
      const auto inner = [&](std::string_view, double done, double total) {
        return progress_("rank layers", at + (total > 0 ? 0.9 * done / total : 0), of);
      };
      ZT_ASSIGN_OR_RETURN(const QuantizedModel made, quantize_model(file_.info(), alone));
      ZT_ASSIGN_OR_RETURN(const Model model, model_of(made));
      ZT_ASSIGN_OR_RETURN(const double loss, measure_.loss(model, inner));
      order_.push_back({name, size, loss});
    }
    std::stable_sort(order_.begin(), order_.end(), [](const Layer& a, const Layer& b) {
      return a.loss * static_cast<double>(b.bytes) > b.loss * static_cast<double>(a.bytes);
    });
    return Status();
  }

  QuantizeRules rules_with(size_t spared) const {
    QuantizeRules rules = rules_;
    for (size_t i = 0; i < spared; ++i) rules.spared.insert(order_[i].name);
    return rules;
  }

  Result<int64_t> bytes_with(size_t spared) const {
    ZT_ASSIGN_OR_RETURN(const QuantizedModel made,
                        quantize_model(file_.info(), rules_with(spared)));
    ZT_ASSIGN_OR_RETURN(const auto weights,
                        QuantizedWeights::create(file_, made.weights, moments_));
    return stored_bytes(made.info.components, *weights);
  }

  Result<double> psnr_with(size_t spared) const {
    ZT_ASSIGN_OR_RETURN(const QuantizedModel made,
                        quantize_model(file_.info(), rules_with(spared)));
    ZT_ASSIGN_OR_RETURN(const Model model, model_of(made));
    return measure_.psnr(model, progress_);
  }

  const ModelFile& file_;
  const QuantizeRules& rules_;
  const SearchTargets& targets_;
  const WeightMoments* const moments_;
  Measure& measure_;
  const MeasureProgress& progress_;
  std::vector<Layer> order_;
};

}  // namespace

Result<SearchResult> search_layers(const ModelFile& file, const QuantizeRules& rules,
                                   const SearchTargets& targets, const WeightMoments* moments,
                                   Measure& measure, const MeasureProgress& progress) {
  return Search(file, rules, targets, moments, measure, progress).run();
}

}  // namespace zoetrope
