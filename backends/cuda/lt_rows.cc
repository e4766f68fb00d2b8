#include "backends/cuda/lt_rows.h"

#include <algorithm>

#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {
namespace {

constexpr int64_t kSumsBytes = int64_t{32} << 20;  // at a time, where rows are not too long
constexpr int64_t kLeastRows = 512;

}  // namespace

Result<LtRows> LtRows::choice(CublasLt& library, const LtProblem& problem) {
  LtRows made;
  made.lt_ = &library;
  made.problem_ = problem;
  const int64_t row_bytes = problem.n * 4;
  made.rows_ = std::min(problem.m, std::max(kLeastRows, kSumsBytes / row_bytes / 256 * 256));
  made.sums_bytes_ = align_up(made.rows_ * row_bytes);
  LtProblem part = problem;
  part.m = made.rows_;
  ZT_ASSIGN_OR_RETURN(made.most_, library.choice(part));
  made.lt_bytes_ = made.most_->workspace_bytes;
  part.m = problem.m % made.rows_;
  if (part.m > 0) {
    ZT_ASSIGN_OR_RETURN(made.last_, library.choice(part));
    made.lt_bytes_ = std::max(made.lt_bytes_, made.last_->workspace_bytes);
  }
  return made;
}

Status LtRows::choose(cudaStream_t stream) {
  ZT_RETURN_IF_ERROR(lt_->choose(*most_, stream));
  return last_ != nullptr ? lt_->choose(*last_, stream) : Status();
}

Status LtRows::run(const void* a, const void* b, const FinishParams& finish, char* workspace,
                   cudaStream_t stream) const {
  const int64_t a_row = problem_.k * dtype_size(problem_.dtype);
  const int64_t out_row = problem_.n * dtype_size(finish.dtype);
  for (int64_t row = 0; row < problem_.m; row += rows_) {
    const int64_t rows = std::min(rows_, problem_.m - row);
    const LtOperands operands{.a = static_cast<const char*>(a) + row * a_row,
                              .b = b,
                              .c = workspace,
                              .workspace = workspace + sums_bytes_};
    ZT_RETURN_IF_ERROR(lt_->run(rows == rows_ ? *most_ : *last_, operands, stream));
    FinishParams part = finish;
    part.sums = workspace;
    part.sums_dtype = problem_.out;
    part.rows = rows;
    part.n = problem_.n;
    part.out = static_cast<char*>(finish.out) + row * out_row;
    if (part.row_scales != nullptr) part.row_scales += row;
    ZT_RETURN_IF_ERROR(check(finish_sums(part, stream), "finishing a product"));
  }
  return Status();
}

}  // namespace zoetrope::cuda
