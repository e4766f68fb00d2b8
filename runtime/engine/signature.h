// What a component takes and gives: symbols from shapes, and whether types are those expected.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace zoetrope {

// A tensor of a component by name. In an expected type, a dimension of kAnyExtent fits every one.
struct NamedType {
  std::string name;
  TensorType type;
};
inline constexpr int64_t kAnyExtent = -1;

// The symbols for which the component's inputs have these shapes, beside those of `set`. A
// dimension is solved where one symbol is left in it and it is linear in it, as in `8 * height`.
// Errors name the input and the dimension; a symbol that no shape decides is named too. Inputs may
// be left out as far as the symbols are known without them.
Result<Bindings> infer_bindings(const Graph& graph, const std::vector<NamedType>& inputs,
                                const Bindings& set = {});

// What the component gives for these inputs, bound: every input (but states) is there, with its
// dtype and shape, and each of `outputs` is as expected. Errors name component, tensor, what was
// found and what was expected.
Result<Bindings> check_signature(const Graph& graph, const std::vector<NamedType>& inputs,
                                 const std::vector<NamedType>& outputs);

// The input's declared type, its shape as far as it is constant; null where there is none.
const Value* find_input(const Graph& graph, std::string_view name);
bool is_state(const Graph& graph, ValueId input);

// Rows of the smallest weight from which the component picks by this input's values; INT64_MAX:
// there is none. Kernels take what lies beyond for the last row.
int64_t table_rows(const Graph& graph, std::string_view input);

// Whether a type is the expected one, and both as text.
bool fits(const TensorType& expected, const TensorType& found);
std::string expected_to_string(const TensorType& expected);

}  // namespace zoetrope
