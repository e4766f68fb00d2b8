// Model files that are well formed and lie about shapes and types, and about what a recipe's parts
// give: opening finds it, whichever part it is.
#include <doctest/doctest.h>

#include "runtime/engine/engine.h"
#include "tests/hostile/lies.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

constexpr TinyModel (*kModels[])() = {tiny_clip, tiny_causal, tiny_picture};

void check_found(const TinyModel& model, const std::string& words) {
  const Status status = opened(model);
  REQUIRE_MESSAGE(!status.ok(), words);
  CHECK_MESSAGE(status.code() == Code::kDataLoss, status.message());
  CHECK_MESSAGE(status.message().find(words) != std::string::npos, status.message());
}

// Outputs that the recipe reads, of every component: name and place.
template <typename Visit>
void for_each_output(Visit visit) {
  for (const auto make : kModels) {
    const TinyModel honest = make();
    for (const Graph& graph : honest.info.components)
      for (size_t i = 0; i < graph.outputs.size(); ++i) {
        CAPTURE(graph.name);
        CAPTURE(graph.outputs[i].name);
        visit(make, graph.name, i);
      }
  }
}

int rank_of(const TinyModel& model, const std::string& component, size_t output) {
  TinyModel copy = model;
  const Graph& graph = copy.component(component);
  Bindings bindings;
  for (const std::string& symbol : graph.symbols()) bindings[symbol] = 2;
  const auto bound = zoetrope::bind(graph, bindings);
  REQUIRE_MESSAGE(bound.ok(), bound.status().message());
  return bound->value(graph.outputs[output].value).type.shape.rank();
}

}  // namespace

TEST_CASE("an output of another type than f32 is found at opening, whichever it is") {
  for_each_output([](auto make, const std::string& component, size_t output) {
    for (DType dtype : {DType::kF64, DType::kF16, DType::kI8, DType::kI32, DType::kI64}) {
      TinyModel model = make();
      change_output(&model, component, output,
                    [&](Builder& b, ValueId x) { return b.cast(x, dtype); });
      check_found(model, std::string(dtype_name(dtype)));
    }
  });
}

TEST_CASE("an output with more, fewer or no elements along any axis is found at opening") {
  int lies = 0;
  for_each_output([&](auto make, const std::string& component, size_t output) {
    const int rank = rank_of(make(), component, output);
    for (int axis = 0; axis < rank; ++axis) {
      CAPTURE(axis);
      const Change changes[] = {
          [&](Builder& b, ValueId x) {
            return b.concat({x, x}, axis);
          },
          [&](Builder& b, ValueId x) { return b.slice(x, axis, 1, Builder::kToEnd); },
          [&](Builder& b, ValueId x) { return b.slice(x, axis, 0, 0); }};
      // How much a model sees of a picture is its own to say: whatever it is, it is read.
      if (component == "image_encoder" && axis == 1) continue;
      for (const Change& change : changes) {
        TinyModel model = make();
        change_output(&model, component, output, change);
        check_found(model, "component '");
        ++lies;
      }
    }
    TinyModel model = make();
    change_output(&model, component, output, [](Builder& b, ValueId x) {
      return b.reduce(OpKind::kReduceSum, x, {0}, false);
    });
    check_found(model, "component '");
  });
  CHECK(lies >= 100);
}

TEST_CASE("an input of another type or size than the recipe gives is found at opening") {
  for (const auto make : kModels) {
    const TinyModel honest = make();
    for (const Graph& graph : honest.info.components)
      for (const ValueId id : graph.inputs) {
        if (is_state(graph, id)) continue;
        CAPTURE(graph.name);
        CAPTURE(graph.value(id).name);
        for (DType dtype : {DType::kF64, DType::kI64, DType::kBF16}) {
          TinyModel model = make();
          model.component(graph.name).value(id).type.dtype = dtype;
          check_found(model, "component '");
        }
        for (size_t axis = 0; axis < graph.value(id).dims.size(); ++axis)
          for (const Dim& factor : {Dim(4096), Dim(0)}) {
            TinyModel model = make();
            Dim& dim = model.component(graph.name).value(id).dims[axis];
            dim = dim * factor;
            CAPTURE(dim.to_string());
            check_found(model, "component '");
          }
      }
  }
}

TEST_CASE("the two parts of a causal coder must hand on the same states") {
  const auto refused = [](const std::string& component, const std::function<void(Graph&)>& change) {
    TinyModel model = tiny_causal();
    change(model.component(component));
    check_found(model, component);
  };
  for (const char* component : {"decoder", "decoder_first", "encoder", "encoder_first"}) {
    refused(component, [](Graph& g) { g.states.clear(); });
    refused(component, [](Graph& g) { g.value(g.states[0].state).name = "elsewhere"; });
    refused(component, [](Graph& g) { g.value(g.states[0].state).dims[1] = 2; });
  }
}

TEST_CASE("the recipe's own numbers are compared with the components") {
  struct Lie {
    TinyModel (*make)();
    void (*change)(TinyModel&);
    const char* words;
  };
  const Lie lies[] = {
      {tiny_clip, [](TinyModel& m) { m.recipe.latents[0].pixels = 8; }, "'encoder'"},
      {tiny_clip, [](TinyModel& m) { m.recipe.latents[0].first_frames = 1; }, "'encoder'"},
      {tiny_clip, [](TinyModel& m) { m.recipe.latents[0].later_frames = 4; }, "'encoder'"},
      {tiny_clip, [](TinyModel& m) { m.recipe.latents[1].samples = 40; }, "'sound_encoder'"},
      {tiny_clip, [](TinyModel& m) { m.recipe.clip.sound_channels = 1; }, "'sound_encoder'"},
      {tiny_clip,
       [](TinyModel& m) {
         m.recipe.latents[1].channels = 1;
         m.recipe.latents[1].mean = {0}, m.recipe.latents[1].std = {1};
       },
       "'sound_encoder'"},
      {tiny_clip, [](TinyModel& m) { m.stage<Denoise>().conditions.pop_back(); }, "'sound_mask'"},
      {tiny_clip, [](TinyModel& m) { m.stage<EncodeText>().lengths = ""; }, "'lengths'"},
      {tiny_clip, [](TinyModel& m) { m.info.tokenizers.clear(); }, "tokenizer"},
      {tiny_clip, [](TinyModel& m) { m.info.tokenizers[0].kind = "class_table"; }, "tokenizer"},
      {tiny_clip,
       [](TinyModel& m) {
         m.info.tokenizers[0].kind = "sentencepiece";
         m.stage<EncodeText>().tokenizer = EncodeText::Tokenizer::kSentencePiece;
       },
       "holds no sentencepiece model"},
      {tiny_clip,
       [](TinyModel& m) {
         m.info.tokenizers = {{"", "sentencepiece", std::vector<uint8_t>(300, 0x0a)}};
         m.stage<EncodeText>().tokenizer = EncodeText::Tokenizer::kSentencePiece;
       },
       "tokenizer"},
      {tiny_clip,
       [](TinyModel& m) {
         m.info.tokenizers = {{"", "clip_bpe", std::vector<uint8_t>(300, '[')}};
         m.stage<EncodeText>().tokenizer = EncodeText::Tokenizer::kClipBpe;
       },
       "tokenizer"},
      {tiny_clip, [](TinyModel& m) { m.stage<EncodeText>().tokenizer_name = "other"; }, "'other'"},
      {tiny_causal, [](TinyModel& m) { m.recipe.latents[0].first_frames = 2; }, "'encoder"},
      {tiny_causal, [](TinyModel& m) { m.stage<ImageFeatures>().size = 16; }, "'image_encoder'"},
      {tiny_causal, [](TinyModel& m) { m.stage<Denoise>().experts[0].component = "decoder"; },
       "'decoder'"},
      {tiny_causal, [](TinyModel& m) { m.stage<Denoise>().experts[0].component = "lost"; },
       "'lost'"},
      {tiny_causal,
       [](TinyModel& m) { m.stage<KnownLatents>().mask = KnownLatents::Mask::kLatent; }, "'mask'"},
      {tiny_causal, [](TinyModel& m) { m.stage<DecodeVideo>().first = "encoder_first"; },
       "'encoder_first'"},
      {tiny_picture, [](TinyModel& m) { m.stage<Denoise>().sampler = FlowSampler(); }, "'net'"},
      {tiny_picture, [](TinyModel& m) { m.stage<Denoise>().guidance_channels = 5; }, "5 channels"},
      {tiny_picture, [](TinyModel& m) { m.recipe.latents[0].pixels = 4; }, "'encoder'"},
  };
  for (const Lie& lie : lies) {
    TinyModel model = lie.make();
    lie.change(model);
    check_found(model, lie.words);
  }
}

TEST_CASE("a state with two successors is no file") {
  TinyModel model = tiny_causal();
  Graph& decoder = model.component("decoder");
  decoder.states.push_back(decoder.states[0]);
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  const Status written = model.write(folder / "m.zoe");
  CHECK(!written.ok());
  CHECK_MESSAGE(written.message().find("two successors") != std::string::npos, written.message());
}
