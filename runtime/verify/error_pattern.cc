#include "runtime/verify/error_pattern.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

std::vector<int64_t> place_of(const Box& box, int64_t index) {
  std::vector<int64_t> at(static_cast<size_t>(box.extent.rank()));
  for (int d = box.extent.rank() - 1; d >= 0; --d) {
    at[static_cast<size_t>(d)] = box.begin[d] + index % box.extent[d];
    index /= box.extent[d];
  }
  return at;
}

}  // namespace

void ErrorPattern::add(const Box& box, const std::vector<double>& found,
                       const std::vector<double>& expected, const std::vector<int64_t>& off) {
  seen_ += static_cast<int64_t>(expected.size());
  off_ += static_cast<int64_t>(off.size());
  for (const int64_t index : off) {
    const std::vector<int64_t> at = place_of(box, index);
    if (low_.empty()) low_ = high_ = at;
    for (size_t d = 0; d < at.size(); ++d) {
      low_[d] = std::min(low_[d], at[d]);
      high_[d] = std::max(high_[d], at[d]);
    }
    const double f = found[static_cast<size_t>(index)], e = expected[static_cast<size_t>(index)];
    if (!std::isfinite(f) || !std::isfinite(e)) continue;
    ++scale_counted_;
    along_ += f * e;
    squares_ += e * e;
    found_squares_ += f * f;
  }
  if (exchanged_.empty() && !off.empty()) find_exchanged_rows(box, found, expected, off);
}

// A wrong row that equals what another row of the part should be.
void ErrorPattern::find_exchanged_rows(const Box& box, const std::vector<double>& found,
                                       const std::vector<double>& expected,
                                       const std::vector<int64_t>& off) {
  constexpr int64_t kMostRows = 4096;
  const int64_t width = box.extent.rank() == 0 ? 0 : box.extent[-1];
  if (width < 2) return;
  const int64_t rows = static_cast<int64_t>(expected.size()) / width, row = off[0] / width;
  if (rows > kMostRows) return;
  for (int64_t other = 0; other < rows; ++other) {
    if (other == row) continue;
    double apart = 0, size = 0, mine = 0;
    for (int64_t i = 0; i < width; ++i) {
      const double f = found[static_cast<size_t>(row * width + i)],
                   e = expected[static_cast<size_t>(other * width + i)],
                   own = expected[static_cast<size_t>(row * width + i)];
      apart += (f - e) * (f - e);
      mine += (f - own) * (f - own);
      size += e * e;
    }
    if (!(apart <= 1e-4 * size) || !(apart < 1e-2 * mine)) continue;
    const auto name = [&](int64_t r) {
      const std::vector<int64_t> at = place_of(box, r * width);
      std::string text = "[";
      for (size_t d = 0; d + 1 < at.size(); ++d) text += str(at[d], ", ");
      return text + ":]";
    };
    exchanged_ = str("row ", name(row), " holds what belongs into row ", name(other));
    return;
  }
}

std::string ErrorPattern::describe() const {
  std::string text = str(off_, " of ", seen_, " elements looked at");
  if (seen_ < shape_.elements()) text += str(" (of ", shape_.elements(), ")");
  text += ", at [";
  for (size_t d = 0; d < low_.size(); ++d)
    text +=
        str(d == 0 ? "" : ", ", low_[d], low_[d] == high_[d] ? std::string() : str("..", high_[d]));
  text += "]";
  if (!exchanged_.empty()) return text + "; " + exchanged_;
  // One factor explains it where what is left beside it is small against the error.
  if (scale_counted_ >= 8 && squares_ > 0) {
    const double factor = along_ / squares_;
    const double left = found_squares_ - factor * along_;
    const double error = found_squares_ - 2 * along_ + squares_;
    if (left < 0.05 * error) text += str("; they are ", factor, " times what they should be");
  }
  return text;
}

}  // namespace zoetrope
