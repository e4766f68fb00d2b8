#include "converters/pickle.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <map>

namespace zoetrope {
namespace {

using Kind = PickleValue::Kind;

constexpr size_t kMaxBytes = 64u << 20;
constexpr size_t kMaxValues = 2u << 20;
// What a call copies from values that the memo may share stays small.
constexpr size_t kMaxSizes = 16, kMaxKey = 64;

std::string printable(std::string_view text) {
  std::string out(text.substr(0, 100));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

}  // namespace

// One pass over the opcodes. The stack holds values; marks are positions in it.
class PickleMachine {
 public:
  PickleMachine(std::span<const uint8_t> bytes, Pickle* out) : bytes_(bytes), out_(out) {}

  Status run() {
    if (bytes_.size() > kMaxBytes)
      return error(Code::kDataLoss, "a pickle of ", bytes_.size(), " bytes");
    while (!stopped_) {
      const size_t at = position_;
      ZT_ASSIGN_OR_RETURN(const uint64_t opcode, number(1));
      if (Status status = step(static_cast<uint8_t>(opcode)); !status.ok())
        return status.with_context(str("pickle byte ", at));
      if (out_->values_.size() > kMaxValues)
        return error(Code::kDataLoss, "a pickle of more than ", kMaxValues, " values");
    }
    return Status();
  }

 private:
  using Value = PickleValue;

  Result<std::span<const uint8_t>> take(uint64_t count) {
    if (count > bytes_.size() - position_)
      return error(Code::kDataLoss, "wants ", count, " bytes of the ", bytes_.size() - position_,
                   " left");
    const auto part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }

  Result<uint64_t> number(int count) {
    ZT_ASSIGN_OR_RETURN(const auto part, take(static_cast<uint64_t>(count)));
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | part[static_cast<size_t>(i)];
    return value;
  }

  Value* make(Kind kind) {
    out_->values_.emplace_back().kind = kind;
    return &out_->values_.back();
  }
  Status push(Value* value) {
    stack_.push_back(value);
    return Status();
  }
  Status push_integer(Kind kind, int64_t integer) {
    Value* value = make(kind);
    value->integer = integer;
    return push(value);
  }

  // The stack above the last mark may be popped, never what lies below it.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Result<Value*> pop() {
    if (stack_.size() <= floor()) return error(Code::kDataLoss, "the stack is empty");
    Value* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  Result<Value*> top(Kind kind, const char* what) {
    if (stack_.size() <= floor() || stack_.back()->kind != kind)
      return error(Code::kDataLoss, "expected ", what, " on the stack");
    return stack_.back();
  }
  Result<std::vector<const Value*>> pop_mark() {
    if (marks_.empty()) return error(Code::kDataLoss, "no mark on the stack");
    const auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<const Value*> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  Status text(int length_bytes) {
    ZT_ASSIGN_OR_RETURN(const uint64_t length, number(length_bytes));
    ZT_ASSIGN_OR_RETURN(const auto part, take(length));
    Value* value = make(Kind::kText);
    value->text.assign(part.begin(), part.end());
    return push(value);
  }

  Status tuple(size_t count) {
    Value* value = make(Kind::kTuple);
    value->items.resize(count);
    for (size_t i = count; i-- > 0;) {
      ZT_ASSIGN_OR_RETURN(value->items[i], pop());
    }
    return push(value);
  }

  Status put(uint64_t index) {
    if (stack_.size() <= floor()) return error(Code::kDataLoss, "nothing to memoise");
    memo_[index] = stack_.back();
    return Status();
  }
  Status get(uint64_t index) {
    const auto it = memo_.find(index);
    if (it == memo_.end()) return error(Code::kDataLoss, "memo ", index, " is not set");
    return push(it->second);
  }

  // An object that no call has made takes no items: they are dropped.
  bool top_is_opaque() const {
    return stack_.size() > floor() && stack_.back()->kind == Kind::kOpaque;
  }
  Status push_opaque(std::string name) {
    Value* value = make(Kind::kOpaque);
    value->text = std::move(name);
    return push(value);
  }

  Status append(std::vector<const Value*> items) {
    if (top_is_opaque()) return Status();
    ZT_ASSIGN_OR_RETURN(Value * list, top(Kind::kList, "a list"));
    list->items.insert(list->items.end(), items.begin(), items.end());
    return Status();
  }
  Status set_items(const std::vector<const Value*>& items) {
    if (top_is_opaque()) return Status();
    ZT_ASSIGN_OR_RETURN(Value * dict, top(Kind::kDict, "a dict"));
    if (items.size() % 2 != 0) return error(Code::kDataLoss, "a key without a value");
    dict->items.insert(dict->items.end(), items.begin(), items.end());
    return Status();
  }

  Status global(std::string name) {
    Value* value = make(Kind::kGlobal);
    value->text = printable(name);
    return push(value);
  }
  Result<std::string> line() {
    std::string text;
    for (;;) {
      ZT_ASSIGN_OR_RETURN(const uint64_t c, number(1));
      if (c == '\n') return text;
      if (text.size() > 200) return error(Code::kDataLoss, "a name longer than 200 bytes");
      text += static_cast<char>(c);
    }
  }

  // ("storage", type, key, location, elements)
  Status persistent() {
    ZT_ASSIGN_OR_RETURN(const Value* id, pop());
    if (id->kind != Kind::kTuple || id->items.size() != 5 || id->items[0]->text != "storage" ||
        id->items[1]->kind != Kind::kGlobal || id->items[2]->kind != Kind::kText ||
        id->items[2]->text.size() > kMaxKey || id->items[4]->kind != Kind::kInt ||
        id->items[4]->integer < 0)
      return error(Code::kDataLoss, "BINPERSID: not a storage");
    Value* value = make(Kind::kStorage);
    value->type = id->items[1]->text.substr(id->items[1]->text.rfind('.') + 1);
    value->text = id->items[2]->text;
    value->integer = id->items[4]->integer;
    return push(value);
  }

  Status reduce() {
    ZT_ASSIGN_OR_RETURN(const Value* arguments, pop());
    ZT_ASSIGN_OR_RETURN(const Value* callee, pop());
    if (arguments->kind != Kind::kTuple ||
        (callee->kind != Kind::kGlobal && callee->kind != Kind::kOpaque))
      return error(Code::kDataLoss, "REDUCE: not a call");
    if (callee->kind == Kind::kOpaque) return push_opaque(callee->text);
    return call(callee->text, arguments->items);
  }

  // What a call makes: a tensor or container where the callable is one of PyTorch's that rebuild
  // them and its arguments fit, else an opaque value.
  Status call(const std::string& name, const std::vector<const Value*>& given) {
    const auto is = [&](size_t i, Kind kind) { return i < given.size() && given[i]->kind == kind; };
    if (name == "collections.OrderedDict" && given.empty()) return push(make(Kind::kDict));
    // Its argument would make values of keys that are missing.
    if (name == "collections.defaultdict" && given.size() <= 1) return push(make(Kind::kDict));
    if (name == "torch.Size" && given.size() == 1 && is(0, Kind::kTuple) &&
        given[0]->items.size() <= kMaxSizes) {
      Value* value = make(Kind::kTuple);
      value->items = given[0]->items;
      return push(value);
    }
    if ((name == "torch._utils._rebuild_parameter" ||
         name == "torch._utils._rebuild_parameter_with_state") &&
        is(0, Kind::kTensor)) {
      Value* value = make(Kind::kTensor);
      *value = *given[0];
      return push(value);
    }
    // A tensor of a class of its own: (function, class, arguments, attributes).
    if (name == "torch._tensor._rebuild_from_type_v2" && is(0, Kind::kGlobal) &&
        is(2, Kind::kTuple) && given[0]->text != name)
      return call(given[0]->text, given[2]->items);
    // (storage, offset, sizes, strides, requires_grad, hooks[, dtype][, what is still to be done to
    // it]): {"neg": True} of a tensor whose sign torch.save left to its reader.
    const bool typed = name == "torch._utils._rebuild_tensor_v3";
    const size_t to_do = typed ? 7 : 6;
    if (given.size() > to_do && given[to_do]->kind == Kind::kDict && !given[to_do]->items.empty())
      return push_opaque(name + " with " + printable(given[to_do]->items[0]->text));
    if ((typed || name == "torch._utils._rebuild_tensor_v2") && is(0, Kind::kStorage) &&
        is(1, Kind::kInt) && is(2, Kind::kTuple) && is(3, Kind::kTuple) &&
        (!typed || is(6, Kind::kGlobal))) {
      Value* value = make(Kind::kTensor);
      value->integer = given[1]->integer;
      value->items = {given[0], given[2], given[3]};
      if (typed) value->type = given[6]->text;
      return push(value);
    }
    // (storage, offset, sizes, strides, (scheme, scale, zero point), requires_grad, hooks)
    if (name == "torch._utils._rebuild_qtensor" && is(0, Kind::kStorage) && is(1, Kind::kInt) &&
        is(2, Kind::kTuple) && is(3, Kind::kTuple) && is(4, Kind::kTuple)) {
      Value* value = make(Kind::kTensor);
      value->integer = given[1]->integer;
      value->items = {given[0], given[2], given[3], given[4]};
      return push(value);
    }
    return push_opaque(name);
  }

  // Class and arguments on the stack; NEWOBJ_EX has a dict of more.
  Status new_object(bool named_arguments) {
    if (named_arguments) ZT_RETURN_IF_ERROR(pop().status());
    ZT_RETURN_IF_ERROR(pop().status());
    ZT_ASSIGN_OR_RETURN(const Value* type, pop());
    if (type->kind != Kind::kGlobal && type->kind != Kind::kOpaque)
      return error(Code::kDataLoss, "NEWOBJ: not a class");
    return push_opaque(type->text);
  }

  // Attributes are dropped: state dicts carry _metadata, and what objects hold is not wanted.
  Status build() {
    ZT_RETURN_IF_ERROR(pop().status());
    if (stack_.size() <= floor()) return error(Code::kDataLoss, "BUILD: nothing to build");
    return Status();
  }

  Status skip_bytes(int length_bytes) {
    ZT_ASSIGN_OR_RETURN(const uint64_t length, number(length_bytes));
    ZT_RETURN_IF_ERROR(take(length).status());
    return push_opaque("bytes");
  }

  Status integer(int count) {
    ZT_ASSIGN_OR_RETURN(const uint64_t raw, number(count));
    return push_integer(Kind::kInt, count == 4 ? static_cast<int32_t>(static_cast<uint32_t>(raw))
                                               : static_cast<int64_t>(raw));
  }
  Status long_integer(int length_bytes) {
    ZT_ASSIGN_OR_RETURN(const uint64_t length, number(length_bytes));
    if (length > 8) {
      ZT_RETURN_IF_ERROR(take(length).status());
      return push_opaque("int");
    }
    ZT_ASSIGN_OR_RETURN(uint64_t raw, number(static_cast<int>(length)));
    if (length > 0 && length < 8 && (raw >> (8 * length - 1) & 1) != 0)
      raw |= ~uint64_t{0} << (8 * length);
    return push_integer(Kind::kInt, static_cast<int64_t>(raw));
  }
  Status real() {
    ZT_ASSIGN_OR_RETURN(const auto part, take(8));  // big-endian
    uint64_t raw = 0;
    for (const uint8_t byte : part) raw = raw << 8 | byte;
    Value* value = make(Kind::kFloat);
    value->number = std::bit_cast<double>(raw);
    return push(value);
  }
  Status version() {
    ZT_ASSIGN_OR_RETURN(const uint64_t protocol, number(1));
    if (protocol < 2 || protocol > 5)
      return error(Code::kUnsupported, "pickle protocol ", protocol);
    return Status();
  }
  Status stack_global() {
    ZT_ASSIGN_OR_RETURN(const Value* name, pop());
    ZT_ASSIGN_OR_RETURN(const Value* module, pop());
    if (name->kind != Kind::kText || module->kind != Kind::kText)
      return error(Code::kDataLoss, "STACK_GLOBAL: not names");
    return global(printable(module->text) + "." + printable(name->text));
  }
  Status stop() {
    ZT_ASSIGN_OR_RETURN(out_->root_, pop());
    stopped_ = true;
    return Status();
  }

  Status step(uint8_t opcode) {
    switch (opcode) {
      case 0x80: return version();
      case 0x95: return take(8).status();  // FRAME: a length that we need not know
      case '(': marks_.push_back(stack_.size()); return Status();
      case '}': return push(make(Kind::kDict));
      case ']':
      case 0x8f: return push(make(Kind::kList));  // a set is as good as a list
      case ')': return push(make(Kind::kTuple));
      case 'N': return push(make(Kind::kNone));
      case 0x88: return push_integer(Kind::kBool, 1);
      case 0x89: return push_integer(Kind::kBool, 0);
      case 'K': return integer(1);
      case 'M': return integer(2);
      case 'J': return integer(4);
      case 0x8a: return long_integer(1);
      case 0x8b: return long_integer(4);
      case 'G': return real();
      case 'X': return text(4);
      case 0x8c: return text(1);
      case 0x8d: return text(8);
      case 'U': return text(1);
      case 'T': return text(4);
      case 'C': return skip_bytes(1);
      case 'B': return skip_bytes(4);
      case 0x8e:
      case 0x96: return skip_bytes(8);
      case 0x85: return tuple(1);
      case 0x86: return tuple(2);
      case 0x87: return tuple(3);
      case 't':
      case 0x91: {  // FROZENSET
        ZT_ASSIGN_OR_RETURN(auto items, pop_mark());
        Value* value = make(Kind::kTuple);
        value->items = std::move(items);
        return push(value);
      }
      case 'a': {
        ZT_ASSIGN_OR_RETURN(const Value* item, pop());
        return append({item});
      }
      case 'e':
      case 0x90: {  // ADDITEMS
        ZT_ASSIGN_OR_RETURN(auto items, pop_mark());
        return append(std::move(items));
      }
      case 's': {
        ZT_ASSIGN_OR_RETURN(const Value* item, pop());
        ZT_ASSIGN_OR_RETURN(const Value* key, pop());
        return set_items({key, item});
      }
      case 'u': {
        ZT_ASSIGN_OR_RETURN(const auto items, pop_mark());
        return set_items(items);
      }
      case 'q':
      case 'r': {
        ZT_ASSIGN_OR_RETURN(const uint64_t index, number(opcode == 'q' ? 1 : 4));
        return put(index);
      }
      case 0x94: return put(memo_.size());
      case 'h':
      case 'j': {
        ZT_ASSIGN_OR_RETURN(const uint64_t index, number(opcode == 'h' ? 1 : 4));
        return get(index);
      }
      case 'c': {
        ZT_ASSIGN_OR_RETURN(const std::string module, line());
        ZT_ASSIGN_OR_RETURN(const std::string name, line());
        return global(module + "." + name);
      }
      case 0x93: return stack_global();
      case 'Q': return persistent();
      case 'R': return reduce();
      case 0x81: return new_object(false);
      case 0x92: return new_object(true);
      case '0': return pop().status();
      case '1': return pop_mark().status();
      case '2': {
        if (stack_.size() <= floor()) return error(Code::kDataLoss, "nothing to repeat");
        return push(stack_.back());
      }
      case 'b': return build();
      case '.': return stop();
    }
    char hex[8];
    std::snprintf(hex, sizeof(hex), "0x%02x", opcode);
    return error(Code::kUnsupported, "refuses opcode ", hex,
                 ": only those that rebuild tensors are read; save a plain state dict");
  }

  std::span<const uint8_t> bytes_;
  size_t position_ = 0;
  bool stopped_ = false;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, Value*> memo_;
  Pickle* out_;
};

Result<Pickle> Pickle::parse(std::span<const uint8_t> bytes) {
  Pickle pickle;
  PickleMachine machine(bytes, &pickle);
  ZT_RETURN_IF_ERROR(machine.run());
  return pickle;
}

}  // namespace zoetrope
