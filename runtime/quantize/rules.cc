#include "runtime/quantize/rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "graph/rotation.h"

namespace zoetrope {
namespace {

constexpr int64_t kLeastElements = 2048;  // less saves nothing that could be noticed
constexpr int64_t kLeastDepth = 16;       // shorter sums have too few errors to even out

// Kernels of convolutions in 4 bits: smaller ones, mostly of the finest resolution, would save
// little and cost much. A picture decoder's frames against those of its f16: all kernels in 4 bits
// 37 dB, from here on 43 dB, none 53 dB.
constexpr int64_t kLeastKernel = 49152, kKernelGroup = 32;

bool is_chosen(const QuantizeRules& rules, const std::string& component) {
  return rules.components.empty() || std::find(rules.components.begin(), rules.components.end(),
                                               component) != rules.components.end();
}

bool attends_in_8_bits(const Node& node) {
  if (node.op != OpKind::kAttention && node.op != OpKind::kPackedAttention) return false;
  const AttrValue* bits = node.attrs.find("bits");
  return bits != nullptr && std::get<Dim>(*bits).constant() != 0;
}

}  // namespace

Result<WeightFormat> parse_requested_format(std::string_view name) {
  for (WeightFormat format : {WeightFormat::kInt8, WeightFormat::kFp8, WeightFormat::kInt4,
                              WeightFormat::kBF16, WeightFormat::kF16})
    if (format_name(format) == name) return format;
  return error(Code::kInvalidArgument, "unknown format '", name,
               "'; known: int8, fp8, int4, bf16, f16");
}

Status check_rules(const QuantizeRules& rules, const ModelInfo& info) {
  if (rules.group != 32 && rules.group != 64 && rules.group != 128)
    return error(Code::kInvalidArgument, "groups of ", rules.group, ": expected 32, 64 or 128");
  std::string known;
  for (const Graph& graph : info.components) known += (known.empty() ? "" : ", ") + graph.name;
  for (const std::string& wanted : rules.components)
    if (std::none_of(info.components.begin(), info.components.end(),
                     [&](const Graph& graph) { return graph.name == wanted; }))
      return error(Code::kInvalidArgument, "no component '", wanted, "'; this model has ", known);
  for (const Graph& graph : info.components)
    for (const Node& node : graph.nodes)
      if (node.op == OpKind::kDequantize || node.op == OpKind::kQuantizedMatmul ||
          attends_in_8_bits(node))
        return error(Code::kInvalidArgument, "component '", graph.name,
                     "' is quantised already: start from the model that it was made from");
  return Status();
}

bool matches(std::string_view pattern, std::string_view name) {
  const auto fits = [](const std::string& p, std::string_view n) {
    return ::fnmatch(p.c_str(), std::string(n).c_str(), 0) == 0;
  };
  const std::string text(pattern);
  const bool plain = pattern.find_first_of("*?[") == std::string_view::npos;
  const size_t slash = name.rfind('/');
  for (const std::string_view n :
       {name, slash == std::string_view::npos ? name : name.substr(slash + 1)}) {
    if (fits(text, n)) return true;
    // "final_layer" and "*.modulation" also name what lies below.
    if (fits(text + ".*", n)) return true;
    if (plain && (fits("*." + text, n) || fits("*." + text + ".*", n))) return true;
  }
  return false;
}

std::string layer_of(std::string_view weight) {
  size_t begin = 0;
  for (;;) {
    const size_t end = std::min(weight.find('.', begin), weight.size());
    const std::string_view part = weight.substr(begin, end - begin);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos)
      return std::string(weight.substr(0, end));
    if (end == weight.size()) break;
    begin = end + 1;
  }
  return std::string(weight.substr(0, std::min(weight.rfind('.'), weight.size())));
}

WeightChoice choose_format(const QuantizeRules& rules, const QuantizeSite& site) {
  for (const std::string& pattern : rules.keep)
    if (matches(pattern, site.weight)) return {};
  if (rules.format == WeightFormat::kF16 || rules.format == WeightFormat::kBF16)
    return {rules.format, 0, false};
  if (site.shape.rank() < 2 || site.shape.elements() < kLeastElements) return {};
  if (site.shape.elements() / site.shape[0] < kLeastDepth) return {};
  const bool rows = site.product && (site.rate == Rate::kStep || site.rate == Rate::kClip);
  const bool turned = rules.rotate && site.shape.elements() / site.shape[0] % kRotation == 0;
  const WeightChoice asked{rules.format, rules.group, turned};
  if (rows && site.edge && rules.format == WeightFormat::kInt4)
    return rules.only.empty() ? WeightChoice{WeightFormat::kInt8Weights, 0, false} : WeightChoice{};
  if (!rules.only.empty())
    return rows && layer_of(site.weight) == rules.only ? asked : WeightChoice{};
  if (!rows) {
    const bool narrow = rules.format == WeightFormat::kInt4 && site.convolution &&
                        site.shape.elements() >= kLeastKernel;
    return narrow ? WeightChoice{WeightFormat::kInt4, kKernelGroup, false}
                  : WeightChoice{WeightFormat::kInt8Weights, 0, false};
  }
  if (!rules.spared.contains(layer_of(site.weight))) return asked;
  return rules.format == WeightFormat::kInt4 ? WeightChoice{WeightFormat::kInt8, 0, false}
                                             : WeightChoice{};
}

Result<QuantizedModel> quantize_model(const ModelInfo& info, const QuantizeRules& rules) {
  ZT_RETURN_IF_ERROR(check_rules(rules, info));
  QuantizedModel made;
  made.info = info;
  std::set<std::string> known;
  for (Graph& graph : made.info.components) {
    if (!is_chosen(rules, graph.name)) continue;
    auto quantized = quantize(
        graph, [&](const QuantizeSite& site) { return choose_format(rules, site); },
        rules.only.empty() ? rules.attention_bits : 0);
    if (!quantized.ok())
      return quantized.status().with_context(str("component '", graph.name, "'"));
    graph = std::move(quantized->graph);
    made.attentions += quantized->attentions;
    for (QuantizedWeight& weight : quantized->weights) {
      if (!weight.rows.empty()) weight.rows = graph.name + "/" + weight.rows;
      if (known.insert(weight.values).second) made.weights.push_back(std::move(weight));
    }
  }
  if (rules.attention_bits != 0 && rules.only.empty() && made.attentions == 0)
    return error(Code::kInvalidArgument,
                 "no attention to compute in 8 bits: none is computed at every step");
  if (made.weights.empty() && made.attentions == 0)
    return error(Code::kInvalidArgument, "nothing to quantise: every weight is kept or too small");
  return made;
}

}  // namespace zoetrope
