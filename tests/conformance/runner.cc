#include "tests/conformance/runner.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "graph/elements.h"
#include "graph/evaluate.h"
#include "graph/tolerance.h"

namespace zoetrope::conformance {
namespace {

constexpr unsigned char kGuardByte = 0xA5;

uint64_t hash(std::string_view text, uint64_t seed) {
  for (char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return seed;
}

// A tensor with guard bands, all in one device buffer.
struct Guarded {
  std::unique_ptr<Buffer> buffer;
  int64_t guard = 0, bytes = 0, total = 0;

  BufferView view() const { return {buffer.get(), guard, bytes}; }
  BufferView whole() const { return {buffer.get(), 0, total}; }
};

Result<Guarded> make_guarded(Device& device, int64_t bytes, bool in_one_piece = false) {
  Guarded g;
  const int64_t a = device.alignment();
  g.guard = std::max<int64_t>(a, 256);
  g.bytes = bytes;
  if (in_one_piece && bytes + a + 2 * g.guard > device.info().piece_bytes) g.guard = 0;
  g.total = g.guard + (bytes + a - 1) / a * a + g.guard;
  ZT_ASSIGN_OR_RETURN(g.buffer, device.allocate(g.total));
  return g;
}

// `content` inside, guard bytes around.
Status fill(Device& device, const Guarded& g, const std::vector<char>& content) {
  std::vector<char> all(static_cast<size_t>(g.total), static_cast<char>(kGuardByte));
  std::copy(content.begin(), content.end(), all.begin() + g.guard);
  return device.upload(g.whole(), all.data());
}

// The content; an error when a guard byte changed.
Result<std::vector<char>> read(Device& device, const Guarded& g) {
  std::vector<char> all(static_cast<size_t>(g.total));
  ZT_RETURN_IF_ERROR(device.download(all.data(), g.whole()));
  for (int64_t i = 0; i < g.total; ++i) {
    const bool inside = i >= g.guard && i < g.guard + g.bytes;
    if (!inside && static_cast<unsigned char>(all[static_cast<size_t>(i)]) != kGuardByte)
      return error(Code::kInternal, "wrote outside a buffer of ", g.bytes, " bytes, at byte ",
                   i - g.guard);
  }
  return std::vector<char>(all.begin() + g.guard, all.begin() + g.guard + g.bytes);
}

}  // namespace

void Drawn::draw_inputs(uint64_t seed) {
  std::mt19937_64 random(hash(describe(test, variant), seed));
  const size_t count = test.inputs.size();
  input_types.resize(count);
  values.resize(count);
  bytes.resize(count);
  input_pointers.assign(count, nullptr);
  value_pointers.assign(count, nullptr);
  for (size_t i = 0; i < count; ++i) {
    const CaseInput& input = test.inputs[i];
    if (input.kind == InputKind::kAbsent) continue;
    const DType dtype = input_dtype(input, variant);
    input_types[i] = {dtype, input.shape};
    const int64_t n = input.shape.elements();
    std::vector<double> data(static_cast<size_t>(n));
    for (size_t e = 0; e < data.size(); ++e) {
      const double u = std::generate_canonical<double, 53>(random);
      if (!input.values.empty())
        data[e] = input.values[e % input.values.size()];
      else if (is_float(dtype))
        data[e] = input.lo + u * (input.hi - input.lo);
      else
        data[e] = std::floor(input.lo + u * (input.hi - input.lo + 1));
    }
    bytes[i].resize(static_cast<size_t>(input_types[i].bytes()));
    store_elements(dtype, bytes[i].data(), n, data.data());
    load_elements(dtype, bytes[i].data(), n, data.data());
    values[i] = {input.shape, std::move(data)};
    input_pointers[i] = &input_types[i];
    value_pointers[i] = &values[i];
  }
}

Status Drawn::evaluate() {
  const OpDef& def = op_def(test.op);
  attrs = test.attrs;
  ZT_RETURN_IF_ERROR(verify_attrs(def, &attrs));
  ZT_ASSIGN_OR_RETURN(types, def.infer(OpContext{input_pointers, attrs}));
  ZT_ASSIGN_OR_RETURN(expected,
                      reference_evaluate_node(def, attrs, input_pointers, value_pointers));
  return Status();
}

namespace {

class CaseRun {
 public:
  CaseRun(Device& device, const Drawn& drawn)
      : device_(device),
        drawn_(drawn),
        test_(drawn.test),
        variant_(drawn.variant),
        def_(op_def(test_.op)),
        bytes_(drawn.bytes) {
    node_.op = test_.op;
    node_.name = "test";
    node_.attrs = drawn_.attrs;
  }

  CaseResult run() {
    CaseResult result;
    const Status status = check(&result);
    if (status.ok()) return result;
    result.outcome = status.code() == Code::kUnsupported ? Outcome::kUnsupported : Outcome::kFailed;
    result.message = status.message();
    return result;
  }

  Status compare(size_t k, const std::vector<char>& bytes, double* worst) {
    const std::vector<double>& expected = drawn_.expected[k].data;
    const DType dtype = drawn_.types[k].dtype;
    double squares = 0;
    for (double e : expected) squares += std::isfinite(e) ? e * e : 0;
    const double rms =
        expected.empty() ? 0 : std::sqrt(squares / static_cast<double>(expected.size()));
    const ErrorBound bound(def_, node_.attrs, dtype, rms);
    const bool exact = bound.at(1) == 0;
    double along = 0, errors = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const auto index = static_cast<int64_t>(i);
      const double found = load_element(dtype, bytes.data(), index);
      if (std::isfinite(expected[i])) along += (found - expected[i]) * expected[i];
      if (std::isfinite(expected[i])) errors += (found - expected[i]) * (found - expected[i]);
      int64_t bits = 0;
      store_element(dtype, &bits, 0, expected[i]);
      if (found == load_element(dtype, &bits, 0)) continue;
      if (std::isnan(found) && std::isnan(expected[i])) continue;
      const double off = std::fabs(found - expected[i]);
      double limit = bound.at(expected[i]);
      if (off > limit && !exact && (weighs_values() || loses_in_sums())) {
        ZT_RETURN_IF_ERROR(weigh_magnitudes());
        limit = weighs_values()
                    ? bound.at(expected[i], magnitudes_[i])
                    : limit + ErrorBound::lost_by_tensor_cores(drawn_.input_types[0].shape[-1], rms,
                                                               expected[i], magnitudes_[i]);
      }
      *worst = std::max(*worst, limit > 0 ? off / limit : INFINITY);
      if (!(off <= limit))
        return error(Code::kInternal, info_.name, ": element ", i, " of ",
                     drawn_.types[k].to_string(), " is ", found, "; expected ", expected[i], " ± ",
                     limit);
    }
    ZT_RETURN_IF_ERROR(check_spread(errors, squares, expected, bound));
    return check_lean(along, squares, expected.size(), bound);
  }

 private:
  Status check(CaseResult* result) {
    if (def_.is_view) return Status();  // the planner never asks for a kernel
    ZT_RETURN_IF_ERROR(make_kernel());
    ZT_RETURN_IF_ERROR(upload_inputs());
    ZT_ASSIGN_OR_RETURN(result->outputs, run_once(0xFF));
    for (size_t k = 0; k < drawn_.types.size(); ++k)
      ZT_RETURN_IF_ERROR(compare(k, result->outputs[k], &result->worst));
    ZT_RETURN_IF_ERROR(check_inputs());
    ZT_ASSIGN_OR_RETURN(const auto again, run_once(0x7F));
    if (again != result->outputs) return error(Code::kInternal, "a second run gave other bytes");
    return check_in_place(result->outputs);
  }

  Status make_kernel() {
    request_.node = &node_;
    request_.inputs = drawn_.input_pointers;
    for (size_t i = 0; i < test_.inputs.size(); ++i) {
      request_.is_weight.push_back(variant_.packed && is_weight_kind(test_.inputs[i].kind));
      node_.inputs.push_back(drawn_.input_pointers[i] ? static_cast<ValueId>(i) : kNone);
    }
    for (const TensorType& type : drawn_.types) request_.outputs.push_back(&type);
    ZT_ASSIGN_OR_RETURN(info_, device_.query_kernel(request_));
    ZT_ASSIGN_OR_RETURN(const KernelInfo again, device_.query_kernel(request_));
    if (again.name != info_.name || again.packed.size() != info_.packed.size())
      return error(Code::kInternal, "asked again, ", info_.name, " gave another answer");
    for (const PackedInput& packed : info_.packed)
      if (packed.input >= request_.is_weight.size() || !request_.is_weight[packed.input])
        return error(Code::kInternal, "kernel ", info_.name, " packs input ", packed.input,
                     ", which is no weight");
    ZT_ASSIGN_OR_RETURN(kernel_, device_.create_kernel(request_));
    return Status();
  }

  bool has_buffer(size_t i) const { return drawn_.input_pointers[i] != nullptr; }

  // Over NaN, and from memory that is poisoned as soon as pack() returns.
  Status pack_input(const PackedInput& packed) {
    const size_t i = packed.input;
    ZT_ASSIGN_OR_RETURN(inputs_[i], make_guarded(device_, packed.bytes, true));
    ZT_RETURN_IF_ERROR(fill(device_, inputs_[i], poisoned(packed.bytes, 0xFF)));
    ZT_RETURN_IF_ERROR(device_.pack(request_, packed, {drawn_.input_types[i], bytes_[i].data()},
                                    inputs_[i].view()));
    std::fill(bytes_[i].begin(), bytes_[i].end(), static_cast<char>(0xFF));
    ZT_ASSIGN_OR_RETURN(bytes_[i], read(device_, inputs_[i]));
    return Status();
  }

  Status upload_inputs() {
    inputs_.resize(test_.inputs.size());
    for (const PackedInput& packed : info_.packed) ZT_RETURN_IF_ERROR(pack_input(packed));
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!has_buffer(i) || info_.packed_input(i) != nullptr) continue;
      ZT_ASSIGN_OR_RETURN(inputs_[i], make_guarded(device_, drawn_.input_types[i].bytes()));
      ZT_RETURN_IF_ERROR(fill(device_, inputs_[i], bytes_[i]));
    }
    for (const TensorType& type : drawn_.types) {
      ZT_ASSIGN_OR_RETURN(outputs_.emplace_back(), make_guarded(device_, type.bytes()));
    }
    ZT_ASSIGN_OR_RETURN(workspace_, make_guarded(device_, info_.workspace_bytes));
    return Status();
  }

  Status submit(std::span<const BufferView> outputs) {
    std::vector<BufferView> inputs;
    for (size_t i = 0; i < inputs_.size(); ++i)
      inputs.push_back(has_buffer(i) ? inputs_[i].view() : BufferView{});
    KernelCall call;
    call.kernel = kernel_.get();
    // As a plan does: a kernel that asks for no workspace gets none.
    call.args = {inputs, outputs, info_.workspace_bytes > 0 ? workspace_.view() : BufferView{}};
    call.label = "test";
    return zoetrope::run_once(device_, std::span(&call, 1));
  }

  // Outputs and workspace are filled with `poison` first: 0xFF.. is NaN in every float format.
  Result<std::vector<std::vector<char>>> run_once(int poison) {
    std::vector<BufferView> views;
    for (const Guarded& g : outputs_) {
      ZT_RETURN_IF_ERROR(fill(device_, g, poisoned(g.bytes, poison)));
      views.push_back(g.view());
    }
    ZT_RETURN_IF_ERROR(fill(device_, workspace_, poisoned(workspace_.bytes, poison)));
    ZT_RETURN_IF_ERROR(submit(views));
    std::vector<std::vector<char>> bytes;
    for (const Guarded& g : outputs_) {
      ZT_ASSIGN_OR_RETURN(bytes.emplace_back(), read(device_, g));
    }
    if (auto scratch = read(device_, workspace_); !scratch.ok())
      return scratch.status().with_context("workspace");
    return bytes;
  }

  static std::vector<char> poisoned(int64_t bytes, int poison) {
    return std::vector<char>(static_cast<size_t>(bytes), static_cast<char>(poison));
  }

  Status check_inputs() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!has_buffer(i)) continue;
      ZT_ASSIGN_OR_RETURN(const auto bytes, read(device_, inputs_[i]));
      if (bytes != bytes_[i]) return error(Code::kInternal, "input ", i, " was changed");
    }
    return Status();
  }

  Status check_in_place(const std::vector<std::vector<char>>& expected) {
    for (size_t i = 0; i < inputs_.size() && i < 32; ++i) {
      if (!(def_.inplace_inputs >> i & 1) || !has_buffer(i) || info_.packed_input(i) != nullptr ||
          !(drawn_.input_types[i] == drawn_.types[0]))
        continue;
      std::vector<BufferView> views{inputs_[i].view()};
      for (size_t k = 1; k < outputs_.size(); ++k) views.push_back(outputs_[k].view());
      ZT_RETURN_IF_ERROR(submit(views));
      for (size_t k = 0; k < outputs_.size(); ++k) {
        ZT_ASSIGN_OR_RETURN(const auto bytes, read(device_, k == 0 ? inputs_[i] : outputs_[k]));
        if (bytes != expected[k])
          return error(Code::kInternal, "writing over input ", i, " gave another output ", k);
      }
      ZT_RETURN_IF_ERROR(fill(device_, inputs_[i], bytes_[i]));
    }
    return Status();
  }

  // CUDA's products of f8e4m3. Other backends sum them in f32 and get no allowance.
  bool loses_in_sums() const {
    return def_.kind == OpKind::kQuantizedMatmul && drawn_.input_types[0].dtype == DType::kF8E4M3 &&
           device_.info().backend == "cuda";
  }

  // Attention, whose probabilities may be rounded to the compute dtype inside.
  bool weighs_values() const {
    return def_.kind == OpKind::kAttention || def_.kind == OpKind::kPackedAttention;
  }

  // Σ probability·|value| or Σ|a·b| of every output element, once it is asked for.
  Status weigh_magnitudes() {
    constexpr size_t kValues = 2;
    if (!magnitudes_.empty()) return Status();
    std::vector<EvalTensor> values = drawn_.values;
    auto pointers = drawn_.value_pointers;
    const size_t begin = weighs_values() ? kValues : 0;
    const size_t end = weighs_values() ? kValues + 1 : values.size();
    for (size_t i = begin; i < end; ++i) {
      for (double& v : values[i].data) v = std::fabs(v);
      if (pointers[i] != nullptr) pointers[i] = &values[i];
    }
    ZT_ASSIGN_OR_RETURN(
        auto found, reference_evaluate_node(def_, node_.attrs, drawn_.input_pointers, pointers));
    magnitudes_ = std::move(found[0].data);
    return Status();
  }

  // See ErrorBound::spread() and spread_by_tensor_cores().
  Status check_spread(double errors, double squares, const std::vector<double>& expected,
                      const ErrorBound& bound) {
    constexpr size_t kMany = 256;
    if (squares == 0 || expected.size() < kMany) return Status();
    double most = bound.spread();
    if (loses_in_sums()) {
      ZT_ASSIGN_OR_RETURN(most, spread_of_sums(squares, expected));
      most += unit_roundoff(drawn_.types[0].dtype);
    }
    const double spread = std::sqrt(errors / squares);
    if (most == 0 || spread <= most) return Status();
    return error(Code::kInternal, info_.name, ": errors are in all ", spread,
                 " of the outputs' root mean square; expected at most ", most);
  }

  Result<double> spread_of_sums(double squares, const std::vector<double>& expected) {
    ZT_RETURN_IF_ERROR(weigh_magnitudes());
    double of_one_sign = 0;
    for (size_t i = 0; i < expected.size(); ++i)
      if (std::isfinite(expected[i]) && magnitudes_[i] > 0)
        of_one_sign += std::pow(expected[i], 6) / std::pow(magnitudes_[i], 4);
    return ErrorBound::spread_by_tensor_cores(drawn_.input_types[0].shape[-1],
                                              std::sqrt(of_one_sign / squares));
  }

  // See ErrorBound::lean().
  Status check_lean(double along, double squares, size_t count, const ErrorBound& bound) const {
    constexpr size_t kMany = 4096;
    const double limit = bound.lean();
    if (limit == 0 || count < kMany) return Status();
    const bool drawn = test_.inputs[0].values.empty() && test_.inputs[1].values.empty();
    if (!drawn || std::fabs(along) <= limit * squares) return Status();
    return error(Code::kInternal, info_.name, ": outputs are on average ", 1 + along / squares,
                 " times what they should be; expected 1 ± ", limit);
  }

  Device& device_;
  const Drawn& drawn_;
  const Case& test_;
  const Variant& variant_;
  const OpDef& def_;

  Node node_;
  std::vector<double> magnitudes_;        // see weigh_magnitudes()
  std::vector<std::vector<char>> bytes_;  // of the inputs, as the device has them
  KernelRequest request_;
  KernelInfo info_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<Guarded> inputs_, outputs_;
  Guarded workspace_;
};

}  // namespace

Result<std::shared_ptr<const Drawn>> draw(const Case& test, const Variant& variant, uint64_t seed) {
  auto drawn = std::make_shared<Drawn>(test, variant);
  drawn->draw_inputs(seed);
  if (Status status = drawn->evaluate(); !status.ok())
    return status.with_context(describe(test, variant));
  return std::shared_ptr<const Drawn>(std::move(drawn));
}

CaseResult run_case(Device& device, const Drawn& drawn) { return CaseRun(device, drawn).run(); }

Status judge(Device& device, const Drawn& drawn, size_t output, const std::vector<char>& bytes) {
  double worst = 0;
  return CaseRun(device, drawn).compare(output, bytes, &worst);
}

std::string describe(const Case& test, const Variant& variant) {
  std::string text = str(op_def(test.op).name, " '", test.label, "'");
  for (const CaseInput& input : test.inputs) {
    if (input.kind == InputKind::kAbsent)
      text += " none";
    else
      text += (is_weight_kind(input.kind) && variant.packed ? " @" : " ") +
              TensorType{input_dtype(input, variant), input.shape}.to_string();
  }
  text += " {";
  for (const auto& [name, value] : test.attrs.items())
    text += str(text.back() == '{' ? "" : ", ", name, "=", attr_to_string(value));
  return text + "} in " + std::string(dtype_name(variant.compute));
}

}  // namespace zoetrope::conformance
