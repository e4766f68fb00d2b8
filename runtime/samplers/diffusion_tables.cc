#include "runtime/samplers/diffusion_tables.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace zoetrope {
namespace {

// T is the precision in which the reference keeps its tables.

// first + i·step, counted from the nearer end, each value rounded once.
template <typename T>
std::vector<T> linspace(double first, double last, int count) {
  const auto low = static_cast<T>(first), high = static_cast<T>(last);
  const T step = count > 1 ? (high - low) / static_cast<T>(count - 1) : T{0};
  std::vector<T> values;
  for (int i = 0; i < count; ++i)
    values.push_back(i < count / 2 || count == 1
                         ? std::fma(step, static_cast<T>(i), low)
                         : std::fma(-step, static_cast<T>(count - 1 - i), high));
  return values;
}

// Betas whose cumulative alphas follow `alpha_bar`, a function of time in [0, 1].
template <typename T, typename F>
std::vector<T> betas_of(int count, const F& alpha_bar) {
  std::vector<T> betas;
  for (int i = 0; i < count; ++i)
    betas.push_back(static_cast<T>(std::min(1 - alpha_bar((i + 1) / static_cast<double>(count)) /
                                                    alpha_bar(i / static_cast<double>(count)),
                                            0.999)));
  return betas;
}

double cosine_alpha(double t) {
  const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
  return c * c;
}

double laplace_alpha(double t) {
  const double log_snr =
      -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::fabs(0.5 - t) + 1e-6);
  const double snr = std::exp(log_snr);
  return std::sqrt(snr / (1 + snr));
}

template <typename T>
Result<std::vector<T>> make_betas(const DiffusionSpec& spec) {
  const int n = spec.train_steps;
  if (!spec.trained_betas.empty()) {
    if (spec.trained_betas.size() != static_cast<size_t>(n))
      return error(Code::kInvalidArgument, "trained_betas: ", spec.trained_betas.size(),
                   " values; expected train_steps, ", n);
    return std::vector<T>(spec.trained_betas.begin(), spec.trained_betas.end());
  }
  if (spec.betas == "linear") return linspace<T>(spec.beta_first, spec.beta_last, n);
  if (spec.betas == "scaled_linear") {
    std::vector<T> betas = linspace<T>(std::sqrt(spec.beta_first), std::sqrt(spec.beta_last), n);
    for (T& beta : betas) beta *= beta;
    return betas;
  }
  if (spec.betas == "squaredcos_cap_v2") return betas_of<T>(n, cosine_alpha);
  if (spec.betas == "laplace") return betas_of<T>(n, laplace_alpha);
  if (spec.betas == "sigmoid") {
    std::vector<T> betas = linspace<T>(-6, 6, n);
    for (T& beta : betas)
      beta = 1 / (1 + std::exp(-beta)) * static_cast<T>(spec.beta_last - spec.beta_first) +
             static_cast<T>(spec.beta_first);
    return betas;
  }
  return error(Code::kInvalidArgument, "unknown beta schedule '", spec.betas,
               "'; known: linear, scaled_linear, squaredcos_cap_v2, sigmoid, laplace");
}

// Products are accumulated in f64 and kept as T.
template <typename T>
std::vector<T> cumulative(const std::vector<T>& betas) {
  std::vector<T> products;
  double product = 1;
  for (const T beta : betas) {
    product *= static_cast<double>(1 - beta);
    products.push_back(static_cast<T>(product));
  }
  return products;
}

// arXiv 2305.08891, algorithm 1: sqrt(alpha) shifted to end at zero and scaled to begin as before.
template <typename T>
std::vector<T> zero_snr(const std::vector<T>& betas) {
  std::vector<T> roots = cumulative(betas);
  for (T& root : roots) root = std::sqrt(root);
  const T first = roots.front(), last = roots.back(), scale = first / (first - last);
  std::vector<T> out;
  for (size_t i = 0; i < roots.size(); ++i) {
    const T root = (roots[i] - last) * scale;
    roots[i] = root * root;
    out.push_back(1 - (i == 0 ? roots[0] : roots[i] / roots[i - 1]));
  }
  return out;
}

template <typename T>
Result<std::vector<double>> alphas_as(const DiffusionSpec& spec) {
  ZT_ASSIGN_OR_RETURN(std::vector<T> betas, make_betas<T>(spec));
  for (const T beta : betas)
    if (!(beta > 0 && beta < 1))
      return error(Code::kInvalidArgument, "beta ", beta, ": expected between 0 and 1");
  if (spec.zero_snr) betas = zero_snr(betas);
  const std::vector<T> alphas = cumulative(betas);
  return std::vector<double>(alphas.begin(), alphas.end());
}

}  // namespace

Result<std::vector<double>> cumulative_alphas(const DiffusionSpec& spec) {
  if (spec.train_steps < 1 || spec.train_steps > 100000)
    return error(Code::kInvalidArgument, "train_steps ", spec.train_steps,
                 ": expected 1 to 100000");
  return spec.reference == "diffusers" ? alphas_as<float>(spec) : alphas_as<double>(spec);
}

}  // namespace zoetrope
