#include "runtime/samplers/unipc.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace zoetrope {
namespace {

constexpr int kMaxOrder = 3;

// Half the logarithm of the signal's share over the noise's.
double log_ratio(double sigma) { return std::log(1 - sigma) - std::log(sigma); }

// m·y = b by elimination with pivots; n is at most kMaxOrder. Rows hold n coefficients and b.
using Row = std::array<double, kMaxOrder + 1>;
std::vector<double> solve(std::vector<Row> m) {
  const size_t n = m.size();
  for (size_t i = 0; i < n; ++i) {
    std::swap(m[i], *std::max_element(m.begin() + static_cast<std::ptrdiff_t>(i), m.end(),
                                      [&](const Row& a, const Row& b) {
                                        return std::fabs(a[i]) < std::fabs(b[i]);
                                      }));
    for (size_t r = 0; r < n; ++r) {
      if (r == i) continue;
      const double factor = m[r][i] / m[i][i];
      for (size_t c = i; c <= n; ++c) m[r][c] -= factor * m[i][c];
    }
  }
  std::vector<double> y;
  for (size_t i = 0; i < n; ++i) y.push_back(m[i][n] / m[i][i]);
  return y;
}

}  // namespace

Result<UniPcSampler> UniPcSampler::create(const UniPcSpec& spec, std::span<const double> sigmas) {
  if (spec.order < 1 || spec.order > kMaxOrder)
    return error(Code::kInvalidArgument, "UniPC of order ", spec.order, ": expected 1 to ",
                 kMaxOrder);
  if (sigmas.size() < 2 || !(sigmas[0] < 1) || sigmas.back() != 0)
    return error(Code::kInvalidArgument, "UniPC's sigmas must begin below 1 and end with 0; found ",
                 sigmas.size(), " of them");
  for (size_t i = 1; i < sigmas.size(); ++i)
    if (!(sigmas[i] < sigmas[i - 1]))
      return error(Code::kInvalidArgument, "UniPC's sigmas do not fall at entry ", i);
  UniPcSampler sampler;
  sampler.spec_ = spec;
  sampler.sigmas_.assign(sigmas.begin(), sigmas.end());
  const int count = static_cast<int>(sigmas.size()) - 1;
  for (int i = 0; i < count; ++i) {
    Step step;
    for (int order = 1; order <= std::min(spec.order, i + 1); ++order)
      step.predict.push_back(i + 1 < count || order == 1 ? sampler.coefficients(i, order, false)
                                                         : Sum());
    for (int order = 1; spec.corrects && i > 0 && order <= std::min(spec.order, i); ++order)
      step.correct.push_back(sampler.coefficients(i - 1, order, true));
    sampler.steps_.push_back(std::move(step));
  }
  return sampler;
}

UniPcSampler::Sum UniPcSampler::coefficients(int from, int order, bool corrects) const {
  const auto sigma = [&](int i) { return sigmas_[static_cast<size_t>(i)]; };
  const double to = sigma(from + 1), alpha = 1 - to;
  // To the end the step is infinite in logarithms: the prediction is the result.
  if (to == 0) return {0, {1}};
  const double start = log_ratio(sigma(from)), h = log_ratio(to) - start, hh = -h;
  const double phi = std::expm1(hh), b_h = spec_.bh2 ? phi : hh;
  std::vector<double> r;  // where the predictions lie, in units of the step
  for (int k = 1; k < order; ++k) r.push_back((log_ratio(sigma(from - k)) - start) / h);
  r.push_back(1);

  // As many conditions as there are differences of predictions.
  const int unknowns = corrects ? order : order - 1;
  std::vector<double> rho;
  if (unknowns == 1) {
    rho = {0.5};  // the paper's simplification
  } else if (unknowns > 1) {
    std::vector<Row> rows;
    double phi_k = phi / hh - 1, factorial = 1;
    for (int i = 1; i <= unknowns; ++i) {
      Row row{};
      for (int k = 0; k < unknowns; ++k)
        row[static_cast<size_t>(k)] = std::pow(r[static_cast<size_t>(k)], i - 1);
      row[static_cast<size_t>(unknowns)] = phi_k * factorial / b_h;
      rows.push_back(row);
      factorial *= i + 1;
      phi_k = phi_k / hh - 1 / factorial;
    }
    rho = solve(std::move(rows));
  }

  Sum sum;
  sum.of_sample = to / sigma(from);
  const size_t newest = corrects ? 1 : 0;  // the prediction at `from`
  sum.of_starts.assign(static_cast<size_t>(order) + newest, 0);
  sum.of_starts[newest] = -alpha * phi;
  for (size_t k = 0; k < rho.size(); ++k) {
    // The last difference of a corrector is the new prediction's.
    const bool fresh = corrects && k + 1 == rho.size();
    const double weight = -alpha * b_h * rho[k] / (fresh ? 1 : r[k]);
    sum.of_starts[fresh ? 0 : newest + 1 + k] += weight;
    sum.of_starts[newest] -= weight;
  }
  return sum;
}

void UniPcSampler::apply(const Sum& sum, std::span<const float> sample,
                         std::span<const std::vector<float>* const> starts, std::span<float> x) {
  for (size_t i = 0; i < x.size(); ++i) {
    double value = sum.of_sample * sample[i];
    for (size_t k = 0; k < sum.of_starts.size(); ++k) value += sum.of_starts[k] * (*starts[k])[i];
    x[i] = static_cast<float>(value);
  }
}

// The last steps are of lower order, and so are the first: `known` predictions are there.
int UniPcSampler::order_at(int index, int known) const {
  return std::min({spec_.order, steps() - index, known});
}

void UniPcSampler::step(int index, std::span<const float> velocity, UniPcState* state,
                        std::span<float> x) const {
  const Step& s = steps_[static_cast<size_t>(index)];
  auto& starts = state->starts;
  std::vector<float> start(x.size());
  const double sigma = sigmas_[static_cast<size_t>(index)];
  for (size_t i = 0; i < x.size(); ++i) start[i] = static_cast<float>(x[i] - sigma * velocity[i]);
  starts.insert(starts.begin(), std::move(start));
  std::vector<const std::vector<float>*> views;
  for (const auto& held : starts) views.push_back(&held);
  if (spec_.corrects && !state->before.empty()) {
    const int order = order_at(index - 1, static_cast<int>(starts.size()) - 1);
    apply(s.correct[static_cast<size_t>(order) - 1], state->before, views, x);
  }
  state->before.assign(x.begin(), x.end());
  const int order = order_at(index, static_cast<int>(starts.size()));
  apply(s.predict[static_cast<size_t>(order) - 1], state->before, views, x);
  // A correction reads `order` of them beside its own.
  if (starts.size() > static_cast<size_t>(spec_.order)) starts.pop_back();
}

}  // namespace zoetrope
