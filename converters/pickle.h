// The part of Python's pickle that PyTorch's files need: containers, numbers, text, and the calls
// that rebuild tensors. Nothing is executed: what any other call would make is an opaque value that
// knows the callable's name and nothing else. Opcodes of old protocols are errors.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// A value of the pickle. Pointers are owned by the Pickle that made them and may form cycles.
struct PickleValue {
  enum class Kind {
    kNone,
    kBool,
    kInt,
    kFloat,
    kText,
    kTuple,
    kList,
    kDict,
    kGlobal,
    kStorage,
    kTensor,
    kOpaque
  };
  Kind kind = Kind::kNone;
  int64_t integer =
      0;  // kBool, kInt; kStorage: elements; kTensor: offset into the storage, in elements
  double number = 0;  // kFloat
  std::string text;   // kText; kGlobal, kOpaque: "module.name"; kStorage: its key
  std::string type;   // kStorage: "FloatStorage", ...; kTensor: "torch.float8_e4m3fn", ... or empty
  // kTuple, kList; kDict: key, value, ...; kTensor: storage, sizes, strides[, how it is quantised]
  std::vector<const PickleValue*> items;
};

class Pickle {
 public:
  static Result<Pickle> parse(std::span<const uint8_t> bytes);
  const PickleValue& root() const { return *root_; }

 private:
  friend class PickleMachine;
  std::deque<PickleValue> values_;
  const PickleValue* root_ = nullptr;
};

}  // namespace zoetrope
