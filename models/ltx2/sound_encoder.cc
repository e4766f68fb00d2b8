#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "graph/builder.h"
#include "models/ltx2/mel.h"
#include "models/ltx2/sound.h"

namespace zoetrope {
namespace {

using ltx2::Mel;

constexpr double kLeastMagnitude = 1e-5;  // whose logarithm silence has
// Slaney's scale: even steps up to here, in even ratios beyond.
constexpr double kLinearHertz = 1000, kHertzAStep = 200.0 / 3, kLinearSteps = 15;
const double kLogStep = std::log(6.4) / 27;
// Of resampling.
constexpr double kZeros = 6, kRolloff = 0.99;

class EncoderBuilder {
 public:
  explicit EncoderBuilder(const Ltx2SoundConfig& config) : c_(config), b_("sound_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId sound =
        b_.input("sound", DType::kF32, {batch_, frames_ * c_.samples(), c_.channels});
    Mel x = spectrogram(sound);
    const auto scope = b_.scope("audio_vae.encoder");
    x = ltx2::mel_conv(b_, "conv_in.conv", x, c_.base);
    for (size_t level = 0; level < c_.levels.size(); ++level) {
      const auto down = b_.scope("down." + std::to_string(level));
      for (int64_t i = 0; i < c_.blocks; ++i)
        x = ltx2::mel_residual(b_, "block." + std::to_string(i), x, c_.base * c_.levels[level]);
      if (level + 1 < c_.levels.size())
        x = ltx2::mel_conv(b_, "downsample.conv", x, x.c, 3, /*stride=*/2);
    }
    for (const char* block : {"mid.block_1", "mid.block_2"})
      x = ltx2::mel_residual(b_, block, x, x.c);
    x = ltx2::mel_conv(b_, "conv_out.conv", ltx2::mel_norm_silu(b_, x), 2 * c_.latent_channels);
    const ValueId mean =
        b_.transpose(b_.slice(x.value, 3, 0, c_.latent_channels), {0, 1, 3, 2});  // [B, t, c, f]
    b_.output("mean", b_.reshape(mean, {batch_, frames_, c_.latent_channels * c_.latent_bins}));
    return b_.finish();
  }

 private:
  Status check() const {
    for (const int64_t size : {c_.channels, c_.latent_channels, c_.latent_bins, c_.bins, c_.base,
                               c_.blocks, c_.sample_rate, c_.hop, c_.given_rate})
      if (size < 1 || size > 1 << 20)
        return error(Code::kInvalidArgument, "an encoder of sound with a size of ", size);
    if (c_.levels.empty() || c_.levels.size() > 8)
      return error(Code::kInvalidArgument, "an encoder of sound of ", c_.levels.size(), " levels");
    if (c_.latent_bins * c_.mel_frames_a_latent() != c_.bins)
      return error(Code::kInvalidArgument, c_.bins, " bins become ",
                   c_.bins / c_.mel_frames_a_latent(), " of latents, expected ", c_.latent_bins);
    if (!c_.rates_agree())
      return error(Code::kUnsupported, "a latent of ", c_.samples_in(), " samples at ",
                   c_.sample_rate, " Hz; given are ", c_.samples(), " at ", c_.given_rate);
    // What is reflected at the borders is there.
    if (c_.window < 2 || c_.window % 2 != 0 || c_.window / 2 >= c_.samples_in())
      return error(Code::kUnsupported, "a window of ", c_.window, " samples over latents of ",
                   c_.samples_in());
    return Status();
  }

  // cos and −sin of every frequency under the window, zero behind it: [length, 2 · count].
  ValueId basis(int64_t length, int64_t count) {
    const double window = static_cast<double>(c_.window), turn = 2 * std::numbers::pi / window;
    const ValueId n = b_.reshape(b_.iota(length), {length, 1});
    // Whole turns are taken off while they are exact.
    const ValueId product = b_.mul(n, b_.reshape(b_.iota(count), {1, count}));
    const ValueId turns = b_.unary(OpKind::kFloor, b_.mul(product, b_.scalar(1 / window)));
    const ValueId angle =
        b_.mul(b_.sub(product, b_.mul(turns, b_.scalar(window))), b_.scalar(turn));
    const ValueId hann =
        b_.sub(b_.scalar(0.5), b_.mul(b_.cos(b_.mul(n, b_.scalar(turn))), b_.scalar(0.5)));
    const ValueId inside =
        b_.select(b_.op(OpKind::kLess, {n, b_.scalar(window)}), hann, b_.scalar(0));
    return b_.concat({b_.mul(b_.cos(angle), inside), b_.mul(b_.sin(angle), inside)}, 1);
  }

  // Triangles over frequencies, [count, bins], of equal areas.
  ValueId filters(int64_t count) {
    const double nyquist = static_cast<double>(c_.sample_rate) / 2;
    const double top = nyquist < kLinearHertz
                           ? nyquist / kHertzAStep
                           : kLinearSteps + std::log(nyquist / kLinearHertz) / kLogStep;
    const int64_t points = c_.bins + 2;
    const double step = top / static_cast<double>(points - 1);
    const ValueId steps = b_.iota(points, 0, step, DType::kF64);
    const ValueId even = b_.mul(steps, b_.scalar(kHertzAStep, DType::kF64));
    const ValueId ratios = b_.mul(b_.exp(b_.mul(b_.sub(steps, b_.scalar(kLinearSteps, DType::kF64)),
                                                b_.scalar(kLogStep, DType::kF64))),
                                  b_.scalar(kLinearHertz, DType::kF64));
    const ValueId hertz =
        b_.select(b_.op(OpKind::kLess, {b_.cast(steps, DType::kF32), b_.scalar(kLinearSteps)}),
                  b_.cast(even, DType::kF32), b_.cast(ratios, DType::kF32));
    const auto from = [&](int64_t first) {
      return b_.reshape(b_.slice(hertz, 0, first, first + c_.bins), {1, c_.bins});
    };
    const ValueId low = from(0), middle = from(1), high = from(2);
    const ValueId at =
        b_.reshape(b_.iota(count, 0, nyquist / static_cast<double>(count - 1)), {count, 1});
    const ValueId rising = b_.div(b_.sub(at, low), b_.sub(middle, low));
    const ValueId falling = b_.div(b_.sub(high, at), b_.sub(high, middle));
    const ValueId triangle =
        b_.op(OpKind::kMax, {b_.op(OpKind::kMin, {rising, falling}), b_.scalar(0)});
    return b_.mul(triangle, b_.div(b_.scalar(2), b_.sub(high, low)));
  }

  // `count` stretches of `length` samples, one every `hop`: x [rows, samples] to [rows, count,
  // whole hops]. What is behind x is zero.
  ValueId stretches(ValueId x, const Dim& rows, const Dim& count, int64_t hop, int64_t hops) {
    x = b_.pad(x, {0, 0}, {0, hops * hop});
    const Dim blocks = count + (hops - 1);
    x = b_.reshape(b_.slice(x, 1, 0, blocks * hop), {rows, blocks, hop});
    std::vector<ValueId> parts;
    for (int64_t i = 0; i < hops; ++i) parts.push_back(b_.slice(x, 1, i, count + i));
    return b_.concat(parts, 2);
  }
  static int64_t whole_hops(int64_t length, int64_t hop) { return (length + hop - 1) / hop; }

  // [rows, frames · samples()] to [rows, frames · samples_in()] as torchaudio's resample: a sinc
  // under a window of Hann's, six zeros a side.
  ValueId resample(ValueId x, const Dim& rows) {
    const int64_t common = std::gcd(c_.given_rate, c_.sample_rate);
    const int64_t from = c_.given_rate / common, to = c_.sample_rate / common;
    if (from == to) return x;
    const double base = static_cast<double>(std::min(from, to)) * kRolloff;
    const auto width = static_cast<int64_t>(std::ceil(kZeros * static_cast<double>(from) / base));
    const int64_t length = 2 * width + from, hops = whole_hops(length, from);
    // At each of `to` outputs, in zeros of the sinc: [hops · from, to].
    const auto zeros = [&](int64_t count, double first, double step, std::vector<Dim> dims) {
      return b_.reshape(b_.iota(count, first * base, step * base), std::move(dims));
    };
    const auto wide = static_cast<double>(width), one = static_cast<double>(from);
    const ValueId at = b_.sub(zeros(hops * from, -wide / one, 1 / one, {hops * from, 1}),
                              zeros(to, 0, 1 / static_cast<double>(to), {1, to}));
    const ValueId t =
        b_.op(OpKind::kMax, {b_.op(OpKind::kMin, {at, b_.scalar(kZeros)}), b_.scalar(-kZeros)});
    const ValueId hann = b_.cos(b_.mul(t, b_.scalar(std::numbers::pi / kZeros / 2)));
    const ValueId angle = b_.mul(t, b_.scalar(std::numbers::pi));
    const ValueId middle = b_.op(OpKind::kLess, {b_.unary(OpKind::kAbs, angle), b_.scalar(1e-6)});
    const ValueId sinc = b_.select(middle, b_.scalar(1),
                                   b_.div(b_.sin(angle), b_.select(middle, b_.scalar(1), angle)));
    const ValueId kernel = b_.mul(b_.mul(sinc, b_.mul(hann, hann)), b_.scalar(base / one));
    const Dim count = floor_div(frames_ * c_.samples(), from);
    x = stretches(b_.pad(x, {0, width}, {0, width + from}), rows, count, from, hops);
    // Stretches are longer than the kernel where these are no whole hops: cut off by the window.
    const ValueId inside = b_.reshape(
        b_.cast(
            b_.op(OpKind::kLess, {b_.iota(hops * from), b_.scalar(static_cast<double>(length))}),
            DType::kF32),
        {hops * from, 1});
    return b_.reshape(b_.matmul(x, b_.mul(kernel, inside)), {rows, frames_ * c_.samples_in()});
  }

  // Frames centred on every hop, as many as the latents look back on.
  Mel spectrogram(ValueId sound) {
    const Dim t = (frames_ - 1) * c_.mel_frames_a_latent() + 1, rows = batch_ * c_.channels;
    const int64_t half = c_.window / 2, count = half + 1, hops = whole_hops(c_.window, c_.hop);
    ValueId x = b_.reshape(b_.transpose(sound, {0, 2, 1}), {rows, frames_ * c_.samples()});
    x = b_.pad(resample(x, rows), {0, half}, {0, half}, "reflect");
    x = stretches(x, rows, t, c_.hop, hops);
    x = b_.matmul(x, basis(hops * c_.hop, count));
    const ValueId real = b_.slice(x, 2, 0, count), imaginary = b_.slice(x, 2, count, 2 * count);
    const ValueId magnitude =
        b_.unary(OpKind::kSqrt, b_.add(b_.mul(real, real), b_.mul(imaginary, imaginary)));
    x = b_.matmul(magnitude, filters(count));
    x = b_.unary(OpKind::kLog, b_.op(OpKind::kMax, {x, b_.scalar(kLeastMagnitude)}));
    x = b_.transpose(b_.reshape(x, {batch_, c_.channels, t, c_.bins}), {0, 2, 3, 1});
    x = b_.op(OpKind::kReshape, {x}, {{"dims", std::vector<Dim>{batch_, t, c_.bins, c_.channels}}},
              "mel");
    return {x, t, c_.bins, c_.channels};
  }

  const Ltx2SoundConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
};

}  // namespace

Result<Graph> build_ltx2_sound_encoder(const Ltx2SoundConfig& config) {
  return EncoderBuilder(config).build();
}

}  // namespace zoetrope
