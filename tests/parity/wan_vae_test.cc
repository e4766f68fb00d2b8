// Wan's autoencoders against diffusers', call by call with the states handed on: blocks, clips of
// several lengths, frames joined into calls of several latents. make_wan.py wrote the fixtures.
#include <doctest/doctest.h>

#include "converters/wan_vae.h"
#include "tests/parity/wan_fixture.h"

using namespace zoetrope;

namespace {

struct Autoencoder : SavedNetwork {
  explicit Autoencoder(const std::string& name)
      : SavedNetwork(name), opened(require_ok(open_wan_autoencoder(folder))) {}

  WanAutoencoder opened;
  const WanVaeConfig& config = opened.config;
};

// Frames [from, to) of [B, T, ...], and clips one behind the other.
EvalTensor frames_of(const EvalTensor& x, int64_t from, int64_t to) {
  EvalTensor out{x.shape, {}};
  out.shape[1] = to - from;
  const int64_t frame = x.shape.elements() / (x.shape[0] * x.shape[1]);
  for (int64_t b = 0; b < x.shape[0]; ++b) {
    const auto begin = x.data.begin() + b * x.shape[1] * frame;
    out.data.insert(out.data.end(), begin + from * frame, begin + to * frame);
  }
  return out;
}

EvalTensor join(const std::vector<EvalTensor>& parts) {
  EvalTensor out{parts[0].shape, {}};
  out.shape[1] = 0;
  for (const EvalTensor& p : parts) out.shape[1] += p.shape[1];
  for (int64_t b = 0; b < out.shape[0]; ++b)
    for (const EvalTensor& p : parts) {
      const int64_t n = p.shape.elements() / p.shape[0];
      out.data.insert(out.data.end(), p.data.begin() + b * n, p.data.begin() + (b + 1) * n);
    }
  return out;
}

// The first graph, then the other, with states handed from call to call by name.
class Coder {
 public:
  Coder(const Autoencoder& vae, bool encoder)
      : vae_(vae),
        encoder_(encoder),
        graphs_{build(vae, encoder, ClipPart::kFirst), build(vae, encoder, ClipPart::kLater)} {}

  // One call.
  EvalTensors call(const EvalTensor& x, const std::vector<std::string>& blocks = {}) {
    const Graph& symbolic = graphs_[calls_++ == 0 ? 0 : 1];
    Bindings bindings{{"batch", x.shape[0]}, {"height", x.shape[2]}, {"width", x.shape[3]}};
    if (calls_ > 1) bindings["frames"] = x.shape[1] / (encoder_ ? vae_.config.time() : 1);
    const Graph graph = require_ok(zoetrope::bind(symbolic, bindings));
    EvalTensors inputs{{encoder_ ? "video" : "latents", x}};
    std::vector<std::string> watch;
    for (const std::string& block : blocks) watch.push_back(block + ".output");
    for (const StatePair& pair : graph.states) {
      const Value& state = graph.value(pair.state);
      auto it = states_.find(state.name);
      if (it == states_.end()) {
        REQUIRE(calls_ == 1);
        const auto n = static_cast<size_t>(state.type.shape.elements());
        it =
            states_.emplace(state.name, EvalTensor{state.type.shape, std::vector<double>(n)}).first;
      }
      REQUIRE(it->second.shape == state.type.shape);
      inputs[state.name] = it->second;
      watch.push_back(graph.value(pair.next).name);
    }
    EvalTensors got = require_ok(reference_evaluate(graph, inputs, vae_.opened.part.weights,
                                                    {.round_to_dtype = false, .watch = watch}));
    for (const StatePair& pair : graph.states)
      states_[graph.value(pair.state).name] = got.at(graph.value(pair.next).name);
    return got;
  }

  bool has(const std::string& block) const {
    return graphs_[1].find_value(block + ".output") != kNone;
  }

 private:
  static Graph build(const Autoencoder& vae, bool encoder, ClipPart part) {
    return require_ok(encoder ? build_wan_vae_encoder(vae.config, part)
                              : build_wan_vae_decoder(vae.config, part));
  }
  const Autoencoder& vae_;
  bool encoder_;
  Graph graphs_[2];
  int calls_ = 0;
  EvalTensors states_;
};

const char* const kNames[] = {"vae_2_1", "vae_2_2", "vae_short", "vae_deep"};

}  // namespace

TEST_CASE("Wan's autoencoders equal diffusers' at any length, one latent a call") {
  for (const char* name : kNames) {
    CAPTURE(name);
    const Autoencoder vae(name);
    for (const char* number : {"0", "1", "2"}) {
      CAPTURE(number);
      const std::string prefix = std::string(number) + ".";
      const auto check = [&](bool encoder, const std::vector<std::string>& outputs) {
        const EvalTensor x = vae.io.tensor(prefix + (encoder ? "in.video" : "in.latents"));
        const int64_t step = encoder ? vae.config.time() : 1;
        Coder coder(vae, encoder);
        std::map<std::string, std::vector<EvalTensor>> parts;
        for (int64_t from = 0, call = 0; from < x.shape[1]; ++call) {
          const int64_t to = call == 0 ? 1 : from + step;
          const EvalTensors got = coder.call(frames_of(x, from, to));
          for (const std::string& output : outputs) parts[output].push_back(got.at(output));
          from = to;
        }
        for (const std::string& output : outputs)
          check_within(kForwardTolerance, output, join(parts[output]),
                       vae.io.tensor(prefix + "out." + output));
      };
      check(true, {"mean", "log_variance"});
      check(false, {"video"});
    }
  }
}

TEST_CASE("Wan's autoencoders equal diffusers' block by block") {
  for (const char* name : kNames) {
    CAPTURE(name);
    const Autoencoder vae(name);
    for (const bool encoder : {true, false}) {
      CAPTURE(encoder);
      const EvalTensor x = vae.io.tensor(encoder ? "0.in.video" : "0.in.latents");
      // diffusers encodes four frames a call, whatever they become.
      const int64_t step = encoder ? 4 : 1;
      Coder coder(vae, encoder);
      size_t checked = 0;
      for (int64_t from = 0, call = 0; from < x.shape[1]; ++call) {
        const int64_t to = call == 0 ? 1 : from + step;
        const std::string prefix = str("0.block.", call, ".");
        std::vector<std::string> blocks;
        // A level's result may be its last block's or its upsampler's, under that one's name.
        for (const std::string& block : vae.io.names(prefix))
          if (block.starts_with(encoder ? "encoder." : "decoder.") && coder.has(block))
            blocks.push_back(block);
        const EvalTensors got = coder.call(frames_of(x, from, to), blocks);
        for (const std::string& block : blocks)
          check_within(kBlockTolerance, block, got.at(block + ".output"),
                       vae.io.tensor(prefix + block));
        checked += blocks.size();
        from = to;
      }
      CHECK(checked >= 10);
    }
  }
}

TEST_CASE("a call of several latents gives what a call each gives") {
  const Autoencoder vae("vae_2_2");
  const EvalTensor latents = vae.io.tensor("1.in.latents"), video = vae.io.tensor("1.in.video");
  Coder decoder(vae, false), encoder(vae, true);
  const EvalTensor frames = join({decoder.call(frames_of(latents, 0, 1)).at("video"),
                                  decoder.call(frames_of(latents, 1, 4)).at("video"),
                                  decoder.call(frames_of(latents, 4, 5)).at("video")});
  check_within(kForwardTolerance, "video", frames, vae.io.tensor("1.out.video"));
  const EvalTensor mean = join({encoder.call(frames_of(video, 0, 1)).at("mean"),
                                encoder.call(frames_of(video, 1, 9)).at("mean"),
                                encoder.call(frames_of(video, 9, 17)).at("mean")});
  check_within(kForwardTolerance, "mean", mean, vae.io.tensor("1.out.mean"));
}

TEST_CASE("an autoencoder that cannot be is refused") {
  const auto message = [](const WanVaeConfig& config) {
    return build_wan_vae_encoder(config, ClipPart::kLater).status().message();
  };
  WanVaeConfig c = wan_vae_2_1();
  c.halves_time = {true};
  CHECK(message(c).find("4 levels") != std::string::npos);
  c = wan_vae_2_2();
  c.levels = {1, 2, 3, 4};
  CHECK(message(c).find("level 1") != std::string::npos);
  c = wan_vae_2_1();
  c.latent_channels = 0;
  CHECK(message(c).find("positive") != std::string::npos);
}
