// An axis of a plot: its unit, its range, and where its ticks are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zoetrope {

enum class Scale : uint8_t { kLinear, kLog };
enum class Unit : uint8_t {
  kNumber,   // 1.5k, 20M, 3G
  kBytes,    // 8 GiB
  kSeconds,  // 3 ms, 2 min
  kPercent,  // 1 is 100%
};

struct Axis {
  std::string title;
  Unit unit = Unit::kNumber;
  Scale scale = Scale::kLinear;
};

// "8 GiB", "1.5k": about three digits.
std::string format_tick(Unit unit, double value);

// Maps values to [0, 1]. A log axis has no place for what is not above 0.
class AxisRange {
 public:
  // Takes finite values; a linear axis begins at 0 where all are positive and `from_zero`.
  AxisRange(const Axis& axis, const std::vector<double>& values, bool from_zero);

  bool shows(double value) const;
  double place(double value) const;  // where shows()
  const std::vector<double>& ticks() const { return ticks_; }
  double low() const { return low_; }
  double high() const { return high_; }

 private:
  void linear_ticks(Unit unit);
  void log_ticks();

  Scale scale_;
  double low_ = 0, high_ = 1;
  std::vector<double> ticks_;
};

}  // namespace zoetrope
