// Norms with what stands around them, one row after the other, which stays in the first cache: the
// residual before (x + gate·y), the modulation after, and rounding to 8 bits. What a row cannot do
// (gates and modulations that broadcast along the channels) is left to the decomposition.
#include <optional>

#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"
#include "backends/cpu/strided.h"

namespace zoetrope::cpu {
namespace {

// Inputs of a norm's op, those of the residual first where it has one: x, [y, gate], scale, shift,
// weight, bias.
struct Layout {
  bool residual, quantized;

  explicit Layout(OpKind op)
      : residual(op == OpKind::kResidualNormQuantize), quantized(op != OpKind::kNormModulate) {}

  size_t scale() const { return residual ? 3 : 1; }
  size_t shift() const { return scale() + 1; }
  size_t weight() const { return scale() + 2; }
  size_t bias() const { return scale() + 3; }
  // Outputs: [x'], then h, or its numbers of 8 bits and their factors.
  size_t rows() const { return residual ? 1 : 0; }
};
constexpr size_t kY = 1, kGate = 2;

// A gate or modulation: a row of the width for each row, or one for many.
struct RowOperand {
  size_t input = 0;
  bool present = false;
  DType dtype = DType::kF32;
  int64_t width = 0, line_bytes = 0, at = 0;  // of the threads' lines, where it is widened
  ops::Strides steps{};

  static RowOperand reserve(const KernelRequest& request, size_t input, const Shape& rows,
                            int threads, WorkspaceLayout* workspace) {
    RowOperand operand;
    if (!has(request, input)) return operand;
    Shape own = in(request, input).shape;
    operand.input = input;
    operand.present = true;
    operand.dtype = in(request, input).dtype;
    operand.width = own[-1];
    operand.line_bytes = align_up(operand.width * 4);
    if (operand.dtype != DType::kF32) operand.at = workspace->add(operand.line_bytes * threads);
    own[-1] = 1;
    operand.steps = ops::broadcast_strides(own, rows);
    return operand;
  }
  // Stays until the thread asks for another; null: absent.
  const float* row(const Call& call, const Simd& simd, int64_t index, int worker) const {
    if (!present) return nullptr;
    const char* from = call.input<char>(input) + index * width * dtype_size(dtype);
    if (dtype == DType::kF32) return reinterpret_cast<const float*>(from);
    auto* line = call.workspace<float>(at + worker * line_bytes);
    widen(simd, dtype, from, line, width);
    return line;
  }
};

class NormRows : public CpuKernel {
 public:
  static Prepared prepare(const KernelRequest& request, const Context& context);
  static bool accepts(const KernelRequest& request);
  Status run(const Call& call) const override;

 private:
  NormRows(const KernelRequest& request, const Context& context);

  // Scratch of a thread: the row as f32 until it is stored, and y where that is widened; null
  // where not needed.
  struct Lines {
    float *x, *y;
  };
  // Operands of one row; null: absent.
  struct Row {
    const float *gate, *scale, *shift;
  };
  void run_row(const Call& call, int64_t r, const Row& row, const float* weight, const float* bias,
               const Lines& lines) const;
  // x + gate·y, stored.
  const float* add(const Call& call, int64_t r, const float* gate, const Lines& lines) const;
  // Returns the largest magnitude where that comes for nothing.
  std::optional<float> normalize(const float* x, const Row& row, const float* weight,
                                 const float* bias, float* h) const;
  void store(const Call& call, int64_t r, const float* h, std::optional<float> most) const;

  const Layout layout_;
  const bool integer_;  // of what is quantised: i8, not f8e4m3
  const int64_t width_;
  const DType dtype_;
  const double epsilon_;
  const bool rms_;
  WorkspaceLayout workspace_;
  const RowOperand gate_, scale_, shift_;
  const VectorOperand weight_, bias_;
  const Walk<3> walk_;
  const bool in_place_;  // h is computed where it is stored
  const bool widens_y_;
  const int64_t line_bytes_, x_at_, y_at_;
};

Shape rows_of(const Shape& x) {
  Shape rows = x;
  rows[-1] = 1;
  return rows;
}

NormRows::NormRows(const KernelRequest& request, const Context& context)
    : CpuKernel(context),
      layout_(request.node->op),
      integer_(out(request, layout_.rows()).dtype == DType::kI8),
      width_(in(request, 0).shape[-1]),
      dtype_(in(request, 0).dtype),
      epsilon_(attrs(request).get_float("epsilon")),
      rms_(attrs(request).get_string("norm") == "rms"),
      gate_(layout_.residual ? RowOperand::reserve(request, kGate, rows_of(in(request, 0).shape),
                                                   context.threads(), &workspace_)
                             : RowOperand()),
      scale_(RowOperand::reserve(request, layout_.scale(), rows_of(in(request, 0).shape),
                                 context.threads(), &workspace_)),
      shift_(RowOperand::reserve(request, layout_.shift(), rows_of(in(request, 0).shape),
                                 context.threads(), &workspace_)),
      weight_(VectorOperand::reserve(request, layout_.weight(), &workspace_)),
      bias_(VectorOperand::reserve(request, layout_.bias(), &workspace_)),
      walk_(rows_of(in(request, 0).shape), {gate_.steps, scale_.steps, shift_.steps}),
      in_place_(!layout_.quantized && dtype_ == DType::kF32),
      widens_y_(layout_.residual && dtype_ == DType::kF16),
      line_bytes_(align_up(width_ * 4)),
      x_at_(workspace_.add(in_place_ ? 0 : line_bytes_ * context.threads())),
      y_at_(workspace_.add(widens_y_ ? line_bytes_ * context.threads() : 0)) {
  info.workspace_bytes = workspace_.bytes();
}

Prepared NormRows::prepare(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CpuKernel>(new NormRows(request, context));
}

bool NormRows::accepts(const KernelRequest& request) {
  const Layout layout(request.node->op);
  const int64_t width = in(request, 0).shape[-1];
  for (const TensorType* input : request.inputs)
    if (input != nullptr && !is_compute_dtype(input->dtype)) return false;
  const auto is_row = [&](size_t i) {
    return !has(request, i) ||
           (in(request, i).shape.rank() > 0 && in(request, i).shape[-1] == width);
  };
  return (!layout.residual || is_row(kGate)) && is_row(layout.scale()) && is_row(layout.shift()) &&
         in(request, 0).shape.elements() > 0;
}

const float* NormRows::add(const Call& call, int64_t r, const float* gate,
                           const Lines& lines) const {
  constexpr float kOne = 1;
  const int64_t at = r * width_ * dtype_size(dtype_);
  const char *x = call.input<char>(0) + at, *y = call.input<char>(kY) + at;
  char* out = call.output<char>() + at;
  const float* factor = gate == nullptr ? &kOne : gate;
  const int step = gate == nullptr ? 0 : 1;
  if (dtype_ == DType::kF32) {
    auto* sum = reinterpret_cast<float*>(out);
    simd().multiply_add(reinterpret_cast<const float*>(x), factor, step,
                        reinterpret_cast<const float*>(y), sum, width_);
    return sum;
  }
  if (dtype_ == DType::kBF16) {
    simd().multiply_add_bf16(reinterpret_cast<const uint16_t*>(x), factor, step,
                             reinterpret_cast<const uint16_t*>(y), lines.x,
                             reinterpret_cast<uint16_t*>(out), width_);
    return lines.x;
  }
  widen(simd(), dtype_, x, lines.x, width_);
  widen(simd(), dtype_, y, lines.y, width_);
  simd().multiply_add(lines.x, factor, step, lines.y, lines.x, width_);
  narrow(simd(), dtype_, lines.x, out, width_);
  return lines.x;
}

std::optional<float> NormRows::normalize(const float* x, const Row& row, const float* weight,
                                         const float* bias, float* h) const {
  RowStatistics s = rms_ ? rms_statistics(simd(), x, width_, epsilon_)
                         : layer_statistics(simd(), x, width_, epsilon_);
  if (row.scale == nullptr || weight != nullptr || bias != nullptr) {
    simd().normalize(x, s, weight, bias, h, width_);
    if (row.scale == nullptr) return std::nullopt;
    x = h;
    s = {};
  }
  if (layout_.quantized) return simd().modulate_largest(x, s, row.scale, row.shift, h, width_);
  simd().modulate(x, s, row.scale, row.shift, h, width_);
  return std::nullopt;
}

void NormRows::store(const Call& call, int64_t r, const float* h, std::optional<float> most) const {
  const size_t out = layout_.rows();
  if (layout_.quantized)
    quantize_row(simd(), h, most ? *most : simd().largest_magnitude(h, width_), width_, integer_,
                 call.output<uint8_t>(out) + r * width_, call.output<float>(out + 1) + r);
  else
    narrow(simd(), dtype_, h, call.output<char>(out) + r * width_ * dtype_size(dtype_), width_);
}

Status NormRows::run(const Call& call) const {
  const float *weight = weight_.load(call, simd()), *bias = bias_.load(call, simd());
  pool().run_ranges(
      walk_.elements(), rows_per_task(width_), [&](int64_t begin, int64_t end, int worker) {
        Lines lines{nullptr, nullptr};
        if (!in_place_) lines.x = call.workspace<float>(x_at_ + worker * line_bytes_);
        if (widens_y_) lines.y = call.workspace<float>(y_at_ + worker * line_bytes_);
        walk_.for_range(begin, end, [&](int64_t first, const auto& offsets, int64_t count) {
          Row row{};
          for (int64_t i = 0; i < count; ++i) {
            const int64_t r = first + i;
            const auto take = [&](const RowOperand& operand, size_t k, const float** to) {
              if (i == 0 || walk_.step(k) != 0)
                *to = operand.row(call, simd(), offsets[k] + i * walk_.step(k), worker);
            };
            take(gate_, 0, &row.gate);
            take(scale_, 1, &row.scale);
            take(shift_, 2, &row.shift);
            run_row(call, r, row, weight, bias, lines);
          }
        });
      });
  return Status();
}

void NormRows::run_row(const Call& call, int64_t r, const Row& row, const float* weight,
                       const float* bias, const Lines& lines) const {
  const char* stored = call.input<char>(0) + r * width_ * dtype_size(dtype_);
  const float* x = lines.x;
  if (layout_.residual)
    x = add(call, r, row.gate, lines);
  else if (dtype_ == DType::kF32)
    x = reinterpret_cast<const float*>(stored);
  else
    widen(simd(), dtype_, stored, lines.x, width_);
  float* h = in_place_ ? call.output<float>(layout_.rows()) + r * width_ : lines.x;
  const auto most = normalize(x, row, weight, bias, h);
  if (!in_place_) store(call, r, h, most);
}

constexpr TableRow kTable[] = {
    {OpKind::kNormModulate, "simd_norm_modulate", Isa::kSse4, NormRows::accepts, NormRows::prepare},
    {OpKind::kNormQuantize, "simd_norm_quantize", Isa::kSse4, NormRows::accepts, NormRows::prepare},
    {OpKind::kResidualNormQuantize, "simd_residual_norm_quantize", Isa::kSse4, NormRows::accepts,
     NormRows::prepare},
};

}  // namespace

std::span<const TableRow> norm_rows_table() { return kTable; }

}  // namespace zoetrope::cpu
