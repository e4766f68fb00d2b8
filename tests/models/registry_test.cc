// Built-in configurations against the papers' numbers.
#include "models/registry.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/dit/dit.h"
#include "models/minimax_h3/recipe.h"
#include "models/moviegen/audio.h"
#include "models/moviegen/moviegen.h"
#include "models/moviegen/recipe.h"
#include "models/vae/vae.h"
#include "models/wan/wan.h"

using namespace zoetrope;

namespace {

double parameters(const Graph& graph) {
  double total = 0;
  for (ValueId id : graph.weights())
    total += static_cast<double>(graph.value(id).type.shape.elements());
  return total;
}

Graph built(Result<Graph> graph) {
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return std::move(*graph);
}

Graph bound(const Graph& graph, const Bindings& bindings) {
  auto result = bind(graph, bindings);
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return std::move(*result);
}

}  // namespace

TEST_CASE("DiT's compute is the paper's at 256 pixels") {
  // arXiv 2212.09748, table 4: Gflops, a multiply-add counted once.
  const struct {
    char size;
    double p8, p4, p2;
  } rows[] = {{'s', 0.36, 1.41, 6.06},
              {'b', 1.42, 5.56, 23.01},
              {'l', 5.01, 19.70, 80.71},
              {'x', 7.39, 29.05, 118.64}};
  for (const auto& row : rows) {
    const double expected[] = {row.p8, row.p4, row.p2};
    const int64_t patches[] = {8, 4, 2};
    for (int i = 0; i < 3; ++i) {
      CAPTURE(row.size);
      CAPTURE(patches[i]);
      const Graph graph = built(build_dit(dit_config(row.size, patches[i])));
      const double macs =
          graph_cost(bound(graph, {{"batch", 1}, {"height", 32}, {"width", 32}})).flops / 2e9;
      CHECK(macs == doctest::Approx(expected[i]).epsilon(0.03));
    }
  }
}

TEST_CASE("SD's autoencoder has the published number of parameters") {
  // sd-vae-ft-mse: 83,653,863 in all.
  const VaeConfig config;
  CHECK(parameters(built(build_vae_encoder(config))) +
            parameters(built(build_vae_decoder(config))) ==
        83653863);
}

TEST_CASE("parameter counts are those of the models") {
  // DiT-XL/2: 675 M (table 4 of the paper). Wan: 1.42 B and 14.3 B from the published shapes.
  CHECK(parameters(built(build_dit(dit_config('x', 2)))) == doctest::Approx(675e6).epsilon(0.01));
  CHECK(parameters(built(build_wan_dit(wan_1_3b()))) == doctest::Approx(1.42e9).epsilon(0.01));
  CHECK(parameters(built(build_wan_dit(wan_14b()))) == doctest::Approx(14.3e9).epsilon(0.01));
  CHECK(parameters(built(build_moviegen_dit(moviegen_config(30)))) ==
        doctest::Approx(30e9).epsilon(0.04));
  CHECK(parameters(built(build_moviegen_dit(moviegen_config(5)))) ==
        doctest::Approx(5e9).epsilon(0.12));
  CHECK(parameters(built(build_moviegen_dit(moviegen_config(1)))) ==
        doctest::Approx(1e9).epsilon(0.15));
  CHECK(parameters(built(build_moviegen_dit(moviegen_upsampler_pipeline().dit))) ==
        doctest::Approx(7e9).epsilon(0.04));
  // Beside the video's: channels of the clip; tasks; a projection of pictures.
  const double video = parameters(built(build_moviegen_dit(moviegen_config(30))));
  CHECK(parameters(built(build_moviegen_dit(moviegen_edit_pipeline().dit))) ==
        video + 6144 * 4 * 16 + 6144.0 * 7 + 6144.0 * (6144 + 1) * 5);
  CHECK(parameters(built(build_moviegen_dit(moviegen_personalised_pipeline().dit))) ==
        video + 6144.0 * (1664 + 2 + 3));
  CHECK(parameters(built(build_moviegen_audio_dit(MovieGenAudioConfig()))) ==
        doctest::Approx(13e9).epsilon(0.06));
}

TEST_CASE("Wan 1.3B at 832x480 and 81 frames is 32,760 tokens and 0.28 PFLOP") {
  const Graph graph =
      bound(built(build_wan_dit(wan_1_3b())),
            {{"batch", 1}, {"frames", 21}, {"height", 60}, {"width", 104}, {"text_length", 512}});
  CHECK(graph_cost(graph).flops == doctest::Approx(0.28e15).epsilon(0.05));
}

TEST_CASE("every built-in model builds, binds and keeps its video's shape") {
  for (const BuiltinModel& model : builtin_models()) {
    CAPTURE(model.name);
    auto parts = model.build();
    REQUIRE_MESSAGE(parts.ok(), parts.status().message());
    REQUIRE(!parts->empty());
    const Graph& denoiser = parts->front().components.front();
    const Graph b = bound(denoiser, model.example);
    const char* made = b.find_value("video") == kNone ? "sound" : "video";
    if (model.family != "dit")
      CHECK(b.value(b.outputs[0].value).type == b.value(b.find_value(made)).type);
    for (const std::string& symbol : denoiser.symbols()) CHECK(model.example.contains(symbol));
  }
  CHECK_FALSE(find_builtin_model("wan9").ok());
}

TEST_CASE("MiniMax-H3 has the parameters that its files have, and its canvas") {
  // As diffusers 0.42.1 counts them in its classes at their defaults.
  CHECK(parameters(built(build_minimax_h3_dit(minimax_h3()))) == 33122992896.0);
  CHECK(parameters(built(build_minimax_h3_video_encoder({}))) +
            parameters(built(build_minimax_h3_video_decoder({}))) ==
        2603868984.0);
  const auto model = find_builtin_model("minimax-h3");
  REQUIRE(model.ok());
  const Recipe recipe = (*model)->recipe();
  CHECK(recipe.clip.width.preferred == 1344);
  CHECK(recipe.clip.height.preferred == 768);
  CHECK(recipe.clip.width.min == 512);
  CHECK(recipe.clip.width.max == 2016);
  CHECK(recipe.clip.frames.min == 124);
  CHECK(recipe.clip.frames.max == 345);
}
