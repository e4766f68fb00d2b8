// Which weight is stored in which format, by name and by what reads it.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "graph/format/model_file.h"
#include "graph/passes/quantize.h"

namespace zoetrope {

// What a person asks for: --format, --group, --attention-bits, --components, --keep.
struct QuantizeRules {
  WeightFormat format = WeightFormat::kInt8;
  int64_t group = 64;                   // of int4: 32, 64 or 128
  bool rotate = false;                  // of int8: rows are turned before they are rounded
  int attention_bits = 0;               // 8: attentions of every step may be of 8 bits
  std::vector<std::string> components;  // empty: all of the model's
  std::vector<std::string> keep;        // weights that match one of these patterns stay
  // What a search sets: layers with more bits (int4: int8; else as they are), and the only layer
  // that is quantised at all.
  std::set<std::string> spared;
  std::string only;
};

// What a search takes together: a weight's name up to its first number ("dit.blocks.3"), else
// without its last part.
std::string layer_of(std::string_view weight);

// "int8", "fp8", "int4", "bf16", "f16": what a person may ask for.
Result<WeightFormat> parse_requested_format(std::string_view name);

// Errors about rules that this model cannot have: a component that it lacks, a group that is none.
Status check_rules(const QuantizeRules& rules, const ModelInfo& info);

// Whether `name` matches: * stands for any characters, ? for one. A pattern without a slash may
// leave out the scope before the name's, and one without wildcards a name's last parts.
bool matches(std::string_view pattern, std::string_view name);

// Small weights and vectors stay. With int8, fp8 and int4: products of activations get the format;
// those at the timestep's rate (modulations: few rows, much at stake), convolutions and tables are
// stored in 8 bits, large kernels beside int4 in 4 bits, and computed with as numbers. So are, of
// int4, the first and the last products of a step: little of a network, much of what int4 loses.
WeightChoice choose_format(const QuantizeRules& rules, const QuantizeSite& site);

struct QuantizedModel {
  ModelInfo info;                        // with the new graphs
  std::vector<QuantizedWeight> weights;  // of all components, each once
  int64_t attentions = 0;                // of all components, that may be of 8 bits
};
// With `only`, attention stays as it is, too.
Result<QuantizedModel> quantize_model(const ModelInfo& info, const QuantizeRules& rules);

}  // namespace zoetrope
