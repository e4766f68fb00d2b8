// dequantize: weights of 8 and 4 bits as numbers, row major or, before the call that reads them, in
// that one's layout.
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernel.h"
#include "graph/weight_format.h"

namespace zoetrope::cpu {
namespace {

enum Input : size_t { kValues, kScale, kOffset };

class DequantizeKernel : public CpuKernel {
 public:
  static Prepared make(const KernelRequest& request, const Context& context) {
    ZT_ASSIGN_OR_RETURN(const ops::DequantizeShape shape, ops::dequantize_shape(attrs(request)));
    std::unique_ptr<DequantizeKernel> kernel(new DequantizeKernel(context, shape, request));
    const KernelRequest* const reader = request.output_as.reader.get();
    if (reader != nullptr) {
      ZT_ASSIGN_OR_RETURN(kernel->reader_, prepare_kernel(*reader, context));
    }
    return std::unique_ptr<CpuKernel>(std::move(kernel));
  }

  Status run(const Call& call) const override {
    const EncodedData data{values_type_,        scale_type_,        offset_type_,
                           call.input(kValues), call.input(kScale), call.input(kOffset)};
    char* const rows = reader_ != nullptr ? call.workspace(rows_at_) : call.output<char>();
    pool().run(ceil_div(shape_.rows, kRows), [&](int64_t task, int worker) {
      const int64_t end = std::min(shape_.rows, (task + 1) * kRows);
      for (int64_t r = task * kRows; r < end; ++r)
        write_row(data, r, call.workspace<float>(worker * row_bytes()),
                  rows + r * shape_.columns * dtype_size(type_.dtype));
    });
    if (reader_ != nullptr) reader_->pack({type_, rows}, call.output<char>());
    return Status();
  }

 private:
  static constexpr int64_t kRows = 16;  // of a task

  DequantizeKernel(const Context& context, const ops::DequantizeShape& shape,
                   const KernelRequest& request)
      : CpuKernel(context),
        shape_(shape),
        type_(out(request)),
        values_type_(in(request, kValues).dtype),
        scale_type_(in(request, kScale).dtype),
        offset_type_(has(request, kOffset) ? in(request, kOffset).dtype : DType::kF32) {
    rows_at_ = context.threads() * row_bytes();
    info.workspace_bytes =
        rows_at_ + (request.output_as.reader != nullptr ? align_up(type_.bytes()) : 0);
  }

  int64_t row_bytes() const { return align_up(4 * shape_.columns); }

  void write_row(const EncodedData& data, int64_t row, float* scratch, char* to) const {
    decode_row(shape_, data, row, scratch);
    if (type_.dtype == DType::kF32)
      std::memcpy(to, scratch, idx(4 * shape_.columns));
    else
      narrow(simd(), type_.dtype, scratch, to, shape_.columns);
  }

  const ops::DequantizeShape shape_;
  const TensorType type_;
  const DType values_type_, scale_type_, offset_type_;
  int64_t rows_at_ = 0;                // of what is packed, in the workspace
  std::unique_ptr<CpuKernel> reader_;  // packs; null: row major
};

constexpr TableRow kTable[] = {
    {OpKind::kDequantize, "dequantize", Isa::kSse4,
     [](const KernelRequest& request) { return is_compute_dtype(out(request).dtype); },
     DequantizeKernel::make},
};

}  // namespace

std::span<const TableRow> dequantize_table() { return kTable; }

}  // namespace zoetrope::cpu
