#include "models/ltx2/vocoder.h"

#include <algorithm>
#include <numbers>
#include <string>

namespace zoetrope {
namespace {

using ltx2::Wave;
using Activation = Ltx2Generator::Activation;

constexpr double kLastSlope = 0.01;  // PyTorch's own, whatever the others are
constexpr double kSnakeEpsilon = 1e-9;
constexpr double kLeastMel = 1e-5;

int64_t floor_of(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0 ? 1 : 0); }

// A filter f of `taps` for `ratio` times as many samples, or as few. Of output q, place p, input
// m = q + d is weighed with f[centre + p - ratio·d]; where samples become fewer, places are the
// input's, and it is f[centre + p + ratio·d].
struct Resampling {
  int64_t ratio, taps, centre;
  bool up;

  int64_t before() const {  // inputs that an output needs before its own
    return up ? -floor_of(centre - taps + 1, ratio) : -floor_of(-centre, ratio);
  }
  int64_t after() const {
    return up ? floor_of(centre + ratio - 1, ratio) : floor_of(taps - 1 - centre, ratio);
  }
  int64_t length() const { return before() + 1 + after(); }
};

// Kaiser windows' filters, as they lie in checkpoints.
Resampling to_more(int64_t ratio, int64_t taps) { return {ratio, taps, (taps - ratio) / 2, true}; }
Resampling to_fewer(int64_t ratio, int64_t taps) {
  return {ratio, taps, taps / 2 + taps % 2 - 1, false};
}

class Vocoder {
 public:
  Vocoder(Builder& b, const Ltx2Generator& config, Dim batch)
      : b_(b), c_(config), batch_(std::move(batch)) {}

  Wave run(Wave x, int64_t channels) {
    x = conv("conv_in", x, c_.width, 7);
    for (size_t i = 0; i < c_.ups.size(); ++i) {
      if (!snakes()) x = leaky(x, c_.slope);
      x = longer("upsamplers." + std::to_string(i), x, c_.ups[i]);
      ValueId sum = kNone;
      for (size_t k = 0; k < c_.kernels.size(); ++k) {
        const Wave y =
            residual("resnets." + std::to_string(i * c_.kernels.size() + k), x, c_.kernels[k]);
        sum = sum == kNone ? y.value : b_.add(sum, y.value);
      }
      x.value = b_.div(sum, b_.scalar(static_cast<double>(c_.kernels.size())));
    }
    x = snakes() ? smooth_snake("act_out", x, true) : leaky(x, kLastSlope);
    x = conv("conv_out", x, channels, 7, 1, c_.final_bias);
    using Final = Ltx2Generator::Final;
    if (c_.final == Final::kTanh) x.value = b_.tanh(x.value);
    if (c_.final == Final::kClamp) x.value = clamp(x.value);
    return x;
  }

  ValueId clamp(ValueId x) {
    return b_.op(OpKind::kMax, {b_.op(OpKind::kMin, {x, b_.scalar(1)}), b_.scalar(-1)});
  }

  // x [batch, n, c] → [batch, n, c · ratio], channel by channel the samples of a place; the ends
  // stand for what is beyond them. `filter` [taps].
  ValueId more_samples(const Wave& x, ValueId filter, const Resampling& r) {
    const ValueId padded = b_.pad(x.value, {0, r.before(), 0}, {0, r.after(), 0}, "replicate");
    return b_.conv(padded, bank(b_.mul(filter, b_.scalar(double(r.ratio))), r, x.c),
                   {.stride = {}, .dilation = {}, .pad_lo = {}, .pad_hi = {}, .groups = x.c});
  }

 private:
  bool snakes() const { return c_.activation != Activation::kLeaky; }

  Wave leaky(Wave x, double slope) {
    x.value = b_.op(OpKind::kMax, {x.value, b_.mul(x.value, b_.scalar(slope))});
    return x;
  }
  Wave conv(std::string_view name, const Wave& x, int64_t channels, int64_t kernel,
            int64_t dilation = 1, bool bias = true) {
    const auto scope = b_.scope(name);
    const int64_t side = dilation * (kernel / 2);
    const ValueId filter = c_.weight_norm ? ltx2::normed_filter(b_, channels, kernel, x.c)
                                          : b_.weight("weight", {channels, kernel, x.c});
    ValueId y = b_.conv(x.value, filter,
                        {.stride = {}, .dilation = {dilation}, .pad_lo = {side}, .pad_hi = {side}});
    if (bias) y = b_.add(y, b_.weight("bias", {channels}));
    return {y, x.n, channels};
  }
  Wave longer(const std::string& name, const Wave& x, const Ltx2Generator::Up& up) {
    const auto scope = b_.scope(name);
    const int64_t channels = x.c / 2, cut = (up.kernel - up.factor) / 2;
    const ValueId filter = c_.weight_norm ? ltx2::normed_filter(b_, channels, up.kernel, x.c, true)
                                          : b_.weight("weight", {channels, up.kernel, x.c});
    const ValueId y = b_.op(OpKind::kConvTranspose, {x.value, filter},
                            {{"stride", std::vector<Dim>{up.factor}},
                             {"pad_lo", std::vector<Dim>{cut}},
                             {"pad_hi", std::vector<Dim>{cut}}});
    return {b_.add(y, b_.weight("bias", {channels})), x.n * up.factor, channels};
  }
  Wave residual(const std::string& name, Wave x, const Ltx2Generator::Kernel& kernel) {
    const auto scope = b_.scope(name);
    for (size_t i = 0; i < kernel.dilations.size(); ++i) {
      const std::string at = std::to_string(i);
      Wave h =
          conv("convs1." + at, activate("acts1." + at, x), x.c, kernel.size, kernel.dilations[i]);
      h = conv("convs2." + at, activate("acts2." + at, h), x.c, kernel.size);
      x.value = b_.add(x.value, h.value);
    }
    return x;
  }

  Wave activate(const std::string& name, Wave x) {
    if (!snakes()) return leaky(x, c_.slope);
    const bool beta = c_.activation == Activation::kSnakeBeta;
    if (c_.antialias) return smooth_snake(name, x, beta);
    const auto scope = b_.scope(name);
    x.value = snake(x.value, {x.c}, beta);
    return x;
  }

  // `shape` of the weights beside x's last axes.
  ValueId snake(ValueId x, std::vector<Dim> shape, bool beta) {
    const int64_t channels = shape.front().constant();
    const auto weight = [&](const char* name) {
      return b_.reshape(b_.exp(b_.weight(name, {channels})), shape);
    };
    const ValueId alpha = weight("alpha");
    const ValueId width = b_.add(beta ? weight("beta") : alpha, b_.scalar(kSnakeEpsilon));
    const ValueId sine = b_.sin(b_.mul(x, alpha));
    return b_.add(x, b_.mul(b_.mul(sine, sine), b_.div(b_.scalar(1), width)));
  }

  Wave smooth_snake(const std::string& name, Wave x, bool beta) {
    const auto scope = b_.scope(name);
    const Resampling more = to_more(c_.ratio, c_.filter), fewer = to_fewer(c_.ratio, c_.filter);
    ValueId y = more_samples(x, b_.weight("upsample.filter", {c_.filter}), more);
    y = b_.reshape(y, {batch_, x.n, x.c, c_.ratio});
    {
      const auto act = b_.scope("act");
      y = snake(y, {x.c, 1}, beta);
    }
    x.value = fewer_samples(y, x, b_.weight("downsample.filter", {c_.filter}), fewer);
    return x;
  }

  // y [batch, n, c, ratio] → [batch, n, c]. The first and last samples of all, not of each place,
  // stand for what is beyond them.
  ValueId fewer_samples(ValueId y, const Wave& x, ValueId filter, const Resampling& r) {
    const auto end = [&](ValueId at, int64_t place, int64_t count) {
      const ValueId sample = b_.slice(at, 3, place, place + 1);
      return b_.broadcast(sample, {batch_, count, x.c, r.ratio});
    };
    std::vector<ValueId> parts;
    if (r.before() > 0) parts.push_back(end(b_.slice(y, 1, 0, 1), 0, r.before()));
    parts.push_back(y);
    if (r.after() > 0)
      parts.push_back(end(b_.slice(y, 1, -1, Builder::kToEnd), r.ratio - 1, r.after()));
    const ValueId all = parts.size() == 1 ? y : b_.concat(parts, 1);
    const Dim n = x.n + (r.before() + r.after());
    return b_.conv(b_.reshape(all, {batch_, n, x.c * r.ratio}), bank(filter, r, x.c),
                   {.stride = {}, .dilation = {}, .pad_lo = {}, .pad_hi = {}, .groups = x.c});
  }

  // The filters of a grouped convolution: [channels · ratio, length, 1] where samples become more,
  // else [channels, length, ratio].
  ValueId bank(ValueId filter, const Resampling& r, int64_t channels) {
    const int64_t length = r.length(), beyond = r.ratio * (length + 1);
    const ValueId padded = b_.pad(filter, {beyond}, {beyond});
    const double sign = r.up ? -1 : 1;
    const ValueId inputs = b_.iota(
        length, static_cast<double>(beyond + r.centre) - sign * double(r.ratio * r.before()),
        sign * double(r.ratio));
    const ValueId places = b_.iota(r.ratio);
    const std::vector<Dim> rows = r.up ? std::vector<Dim>{1, length} : std::vector<Dim>{length, 1};
    const std::vector<Dim> columns =
        r.up ? std::vector<Dim>{r.ratio, 1} : std::vector<Dim>{1, r.ratio};
    const ValueId index = b_.add(b_.reshape(inputs, rows), b_.reshape(places, columns));
    const ValueId one = b_.gather(padded, b_.cast(index, DType::kI32));
    if (r.up)
      return b_.reshape(
          b_.broadcast(b_.reshape(one, {1, r.ratio, length}), {channels, r.ratio, length}),
          {channels * r.ratio, length, 1});
    return b_.broadcast(b_.reshape(one, {1, length, r.ratio}), {channels, length, r.ratio});
  }

  Builder& b_;
  const Ltx2Generator& c_;
  const Dim batch_;
};

// torchaudio's filter for resampling: a sinc in a Hann window, in double until the end.
ValueId hann_sinc(Builder& b, int64_t ratio, int64_t width) {
  constexpr double kRolloff = 0.99, kZeros = 6, kPi = std::numbers::pi;
  const auto number = [&](double x) { return b.scalar(x, DType::kF64); };
  const ValueId t = b.iota(2 * width * ratio + 1, -kRolloff * static_cast<double>(width),
                           kRolloff / static_cast<double>(ratio), DType::kF64);
  const ValueId near =
      b.op(OpKind::kMax, {b.op(OpKind::kMin, {t, number(kZeros)}), number(-kZeros)});
  const ValueId cosine = b.cos(b.mul(near, number(kPi / kZeros / 2)));
  // At 0 the quotient is 1: a step of 1e-12 aside it is, to the last bit.
  const ValueId aside = b.mul(b.add(t, number(1e-12)), number(kPi));
  const ValueId sinc = b.div(b.sin(aside), aside);
  return b.cast(
      b.mul(b.mul(sinc, b.mul(cosine, cosine)), number(kRolloff / static_cast<double>(ratio))),
      DType::kF32);
}

}  // namespace

int64_t Ltx2Generator::factor() const {
  std::vector<int64_t> factors;
  for (const Up& up : ups) factors.push_back(up.factor);
  return ltx2::bounded_product(factors, kMostFactor);
}

namespace ltx2 {

ValueId normed_filter(Builder& b, int64_t channels, int64_t kernel, int64_t from, bool transposed) {
  const int64_t rows = transposed ? from : channels, columns = transposed ? channels : from;
  const ValueId direction = b.weight("weight_v", {rows, columns, kernel});
  const ValueId squares =
      b.reduce(OpKind::kReduceSum, b.mul(direction, direction), {1, 2}, /*keep_dims=*/true);
  const ValueId scale =
      b.div(b.reshape(b.weight("weight_g", {rows}), {rows, 1, 1}), b.unary(OpKind::kSqrt, squares));
  return b.transpose(b.mul(direction, scale),
                     transposed ? std::vector<int>{1, 2, 0} : std::vector<int>{0, 2, 1});
}

Status check_generator(const Ltx2Generator& c) {
  if (c.width < 1 || c.width > 1 << 20 || c.ups.empty() || c.ups.size() > 16 || c.kernels.empty())
    return error(Code::kInvalidArgument, "a vocoder of ", c.width, " channels, ", c.ups.size(),
                 " upsamplings and ", c.kernels.size(), " kernels");
  for (const auto& up : c.ups)
    if (up.factor < 1 || up.kernel < up.factor || (up.kernel - up.factor) % 2 != 0)
      return error(Code::kInvalidArgument, "a vocoder that gets ", up.factor,
                   " times as long with kernels of ", up.kernel,
                   ": expected as long a kernel at least, longer by an even number");
  if (c.factor() > Ltx2Generator::kMostFactor)
    return error(Code::kInvalidArgument, "a vocoder that makes more than ",
                 Ltx2Generator::kMostFactor, " samples of a frame");
  for (const auto& kernel : c.kernels)
    if (kernel.size < 1 || kernel.size % 2 == 0 || kernel.dilations.empty())
      return error(Code::kInvalidArgument, "a vocoder's residual blocks with kernels of ",
                   kernel.size, ": expected an odd number and dilations");
  if (c.width >> c.ups.size() < 1)
    return error(Code::kInvalidArgument, "a vocoder of ", c.width, " channels cannot halve them ",
                 c.ups.size(), " times");
  if (c.antialias && c.activation == Activation::kLeaky)
    return error(Code::kUnsupported, "leaky ReLUs between resamplings");
  if (c.ratio < 1 || c.ratio > 64 || c.filter < c.ratio || c.filter > 1 << 12)
    return error(Code::kInvalidArgument, "a vocoder's activations between resamplings by ", c.ratio,
                 " with filters of ", c.filter, " taps");
  return Status();
}

Status check_bandwidth(const Ltx2Bandwidth& c) {
  ZT_RETURN_IF_ERROR(check_generator(c.generator));
  for (const int64_t size : {c.window, c.hop, c.bins, c.ratio})
    if (size < 1 || size > 1 << 16)
      return error(Code::kInvalidArgument, "a band widened with a size of ", size);
  if (c.window < c.hop || c.window % 2 != 0)
    return error(Code::kInvalidArgument, "spectra of ", c.window, " samples every ", c.hop,
                 ": expected an even number, and none passed over");
  if (c.generator.factor() != c.hop * c.ratio)
    return error(Code::kInvalidArgument, "a spectrum every ", c.hop, " samples becomes ",
                 c.generator.factor(), "; ", c.ratio, " times as many are ", c.hop * c.ratio);
  return Status();
}

Wave generate(Builder& b, const Ltx2Generator& config, const Dim& batch, Wave mel,
              int64_t channels) {
  return Vocoder(b, config, batch).run(std::move(mel), channels);
}

Wave widen_band(Builder& b, const Ltx2Bandwidth& c, const Dim& batch, const Wave& low) {
  const int64_t frequencies = c.window / 2 + 1;
  const Dim rows = batch * low.c, spectra = floor_div(low.n, c.hop);
  // Each channel by itself: its spectra of the past, real parts before imaginary ones.
  ValueId x = b.reshape(b.transpose(low.value, {0, 2, 1}), {rows, low.n, 1});
  x = b.conv(x, b.weight("mel_stft.stft_fn.forward_basis", {2 * frequencies, c.window, 1}),
             {.stride = {c.hop}, .dilation = {}, .pad_lo = {c.window - c.hop}, .pad_hi = {0}});
  const ValueId real = b.slice(x, 2, 0, frequencies),
                imaginary = b.slice(x, 2, frequencies, Builder::kToEnd);
  const ValueId magnitude =
      b.unary(OpKind::kSqrt, b.add(b.mul(real, real), b.mul(imaginary, imaginary)));
  ValueId mel = b.matmul(magnitude, b.weight("mel_stft.mel_basis", {c.bins, frequencies}), true);
  mel = b.unary(OpKind::kLog, b.op(OpKind::kMax, {mel, b.scalar(kLeastMel)}));
  mel = b.transpose(b.reshape(mel, {batch, low.c, spectra, c.bins}), {0, 2, 1, 3});
  mel = b.reshape(mel, {batch, spectra, low.c * c.bins});
  Vocoder vocoder(b, c.generator, batch);
  Wave high;
  {
    const auto scope = b.scope("bwe_generator");
    high = vocoder.run({mel, spectra, low.c * c.bins}, low.c);
  }
  constexpr int64_t kWidth = 7;  // of 6 zeros, rolled off at 0.99
  const Resampling r{c.ratio, 2 * kWidth * c.ratio + 1, kWidth * c.ratio, true};
  ValueId same = vocoder.more_samples(low, hann_sinc(b, c.ratio, kWidth), r);
  same = b.transpose(b.reshape(same, {batch, low.n, low.c, c.ratio}), {0, 1, 3, 2});
  high.value = vocoder.clamp(b.add(high.value, b.reshape(same, {batch, high.n, low.c})));
  return high;
}

}  // namespace ltx2
}  // namespace zoetrope
