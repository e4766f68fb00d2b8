// Recipes: read as written, and refused where a field or a name means nothing.
#include "graph/format/recipe.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "models/minimax_h3/recipe.h"
#include "models/moviegen/audio_recipe.h"
#include "runtime/engine/check.h"
#include "tests/format/small_model.h"

using namespace zoetrope;
using Json = nlohmann::json;

namespace {

Status parse(const Json& json) { return parse_recipe(json.dump()).status(); }

void check_refused(const Json& json, const std::string& word) {
  const Status status = parse(json);
  REQUIRE_FALSE(status.ok());
  CHECK(status.code() == Code::kDataLoss);
  CHECK_MESSAGE(status.message().find(word) != std::string::npos, status.message());
}

Json video() { return Json::parse(recipe_to_json(small_video_recipe())); }
Json picture() { return Json::parse(recipe_to_json(small_picture_recipe())); }

// Sets the value at a JSON pointer.
Json with(Json json, const char* where, Json value) {
  json[Json::json_pointer(where)] = std::move(value);
  return json;
}

}  // namespace

TEST_CASE("a recipe comes back from its JSON") {
  for (const Recipe& recipe : {small_video_recipe(), small_picture_recipe(), Recipe()}) {
    const std::string text = recipe_to_json(recipe);
    auto parsed = parse_recipe(text);
    REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
    CHECK(recipe_to_json(*parsed) == text);
  }
}

TEST_CASE("fields are read where FORMAT.md puts them") {
  auto parsed = parse_recipe(R"({
    "clip": {"width": {"min": 8, "max": 64, "multiple": 8, "preferred": 16}},
    "latents": [{"name": "z", "media": "image", "channels": 1, "mean": [0.5], "std": [2], "pixels": 8}],
    "stages": [
      {"kind": "class_label", "gives": "label", "classes": 2, "null_class": 2, "names": ["a", "b, c"]},
      {"kind": "denoise", "component": "net", "time": "t",
       "streams": [{"latents": "z", "input": "x", "output": "y"}],
       "conditions": [{"value": "label", "input": "labels"}],
       "sampler": {"method": "diffusion", "solver": "ddim", "spacing": "trailing", "eta": 0.5,
                   "betas": "scaled_linear", "beta_first": 0.001, "beta_last": 0.01},
       "steps": 9, "guidance": 4, "guidance_channels": 3},
      {"kind": "decode_image", "latents": "z", "component": "vae", "input": "z", "output": "rgb"}]})");
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
  CHECK(parsed->clip.width.multiple == 8);
  CHECK(parsed->picture()->std == std::vector<float>{2});
  CHECK(std::get<ClassLabel>(parsed->stages[0]).names[1] == "b, c");
  const Denoise* denoise = parsed->denoise();
  REQUIRE(denoise != nullptr);
  CHECK(denoise->guidance_channels == 3);
  CHECK(denoise->conditions[0].input == "labels");
  const auto& sampler = std::get<DiffusionSpec>(denoise->sampler);
  CHECK(sampler.solver == "ddim");
  CHECK(sampler.spacing == "trailing");
  CHECK(sampler.betas == "scaled_linear");
  CHECK(sampler.eta == 0.5);
  CHECK(sampler.train_steps == 1000);
  CHECK(std::get<DecodeImage>(parsed->stages[2]).component == "vae");
}

TEST_CASE("values out of bounds and unknown keys are named with their place") {
  REQUIRE(parse(video()).ok());
  check_refused(with(video(), "/stepz", 1), "'stepz'");
  check_refused(with(video(), "/clip/fps", 0), "'clip.fps'");
  check_refused(with(video(), "/clip/sound_channels", 0), "'clip.sound_channels'");
  check_refused(with(video(), "/clip/frames/preferred", 23), "'clip.frames.preferred'");
  check_refused(with(video(), "/clip/frames/offset", 17), "'clip.frames.offset'");
  check_refused(with(video(), "/latents/0/mean", {0.5}), "'latents[0].mean'");
  check_refused(with(video(), "/latents/0/channels", -1), "'latents[0].channels'");
  check_refused(with(video(), "/latents/0/samples", 1), "'latents[0].samples'");
  check_refused(with(video(), "/stages/0/kind", "joint_av"), "'stages[0].kind'");
  check_refused(with(video(), "/stages/0/tokenizer", "words"), "bytes, sentencepiece");
  check_refused(with(video(), "/stages/0/max_ids", 2), "'stages[0].max_ids'");
  check_refused(with(video(), "/stages/0/places", 63), "at least max_ids");
  CHECK(parse(with(video(), "/stages/0/places", 64)).ok());
  check_refused(with(video(), "/stages/0/component", ""), "'stages[0].component'");
  check_refused(with(video(), "/stages/0/output", "a\nb"), "control characters");
  check_refused(with(video(), "/stages/2/sampler/times", {1, 0.5, 0.5, 0}), "falling");
  check_refused(with(video(), "/stages/2/sampler/eta", 1), "unknown key");
  check_refused(with(video(), "/stages/2/sampler/order", 0), "between 1 and 3");
  check_refused(with(video(), "/stages/2/sampler/order", 4), "between 1 and 3");
  check_refused(with(video(), "/stages/2/sampler/unipc_b", "bh3"), "bh1, bh2");
  check_refused(with(video(), "/stages/2/sampler/last", 1), "less than first");
  check_refused(with(video(), "/stages/2/sampler/reaches_last", true), "more than 0");
  check_refused(with(video(), "/stages/2/sampler/told", {0.5}), "one a step");
  check_refused(with(video(), "/stages/2/sampler/train_steps", -1), "between 0 and");
  const Json expert = {{"component", "low"}, {"below", 0.875}, {"guidance", 3}};
  check_refused(with(video(), "/stages/2/experts", Json::array({expert, expert})), "falling");
  check_refused(with(video(), "/stages/2/experts", Json::array({{{"component", "low"}}})),
                "more than 0");
  check_refused(with(picture(), "/stages/2/experts", Json::array({expert})), "flow matching");
  check_refused(with(video(), "/stages/2/steps", 0), "'stages[2].steps'");
  check_refused(with(video(), "/stages/4/tiles/overlap", 4), "'stages[4].tiles.overlap'");
  check_refused(with(picture(), "/stages/0/names", {"cat"}), "'stages[0].names'");
  check_refused(with(picture(), "/stages/2/sampler/method", "guess"), "flow, diffusion");
}

TEST_CASE("causal coders, known frames, a picture's features and experts come back as written") {
  Recipe recipe = small_video_recipe();
  auto& known = std::get<KnownLatents>(recipe.stages[1]);
  recipe.latents[0].first_frames = 1;
  known.first = "encoder_first";
  known.mask_first_frame.reset();
  known.fill = KnownLatents::Fill::kGrey;
  known.mask = KnownLatents::Mask::kFrames;
  known.required = true;
  std::get<DecodeVideo>(recipe.stages[4]).first = "decoder_first";
  auto& denoise = std::get<Denoise>(recipe.stages[2]);
  denoise.experts = {{"low", 0.875, 3.0}, {"lowest", 0.5, std::nullopt}};
  denoise.conditions.push_back({"seen", "image"});
  recipe.stages.insert(recipe.stages.begin() + 1,
                       ImageFeatures{"tower", "image", "features", "seen", 224, 2,
                                     ImageFeatures::Fit::kStretch, false});
  const auto parsed = parse_recipe(recipe_to_json(recipe));
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
  const auto& image = std::get<ImageFeatures>(parsed->stages[1]);
  CHECK(image.component == "tower");
  CHECK(image.gives == "seen");
  CHECK(image.size == 224);
  CHECK(image.pictures == 2);
  CHECK(image.fit == ImageFeatures::Fit::kStretch);
  CHECK_FALSE(image.antialias);
  const auto& read = std::get<KnownLatents>(parsed->stages[2]);
  CHECK(read.first == "encoder_first");
  CHECK(read.fill == KnownLatents::Fill::kGrey);
  CHECK(read.mask == KnownLatents::Mask::kFrames);
  CHECK(read.required);
  CHECK(std::get<DecodeVideo>(parsed->stages[5]).first == "decoder_first");
  REQUIRE(parsed->denoise()->experts.size() == 2);
  CHECK(parsed->denoise()->experts[0].below == 0.875);
  CHECK(parsed->denoise()->guidance_of(1) == 3.0);
  CHECK(parsed->denoise()->guidance_of(2) == 4.5);

  const Json whole = Json::parse(recipe_to_json(recipe));
  check_refused(with(whole, "/stages/1/size", 0), "'stages[1].size'");
  check_refused(with(whole, "/stages/1/size", 5000), "'stages[1].size'");
  check_refused(with(whole, "/stages/1/pictures", 3), "'stages[1].pictures'");
  check_refused(with(whole, "/stages/1/fit", "contain"), "cover, stretch");
  check_refused(with(whole, "/stages/1/gives", "features"), "given twice");
  check_refused(with(whole, "/stages/2/fill", "black"), "zeros, grey");
  check_refused(with(whole, "/stages/2/mask", "pixels"), "latent, frames");
  check_refused(with(whole, "/stages/2/required", 1), "'stages[2].required'");
  check_refused(with(whole, "/stages/2/first", "a\nb"), "control characters");
  check_refused(with(whole, "/stages/4/first", "x"), "first");  // of sound
}

TEST_CASE("source clips, reference pictures, windows and guidance from what is not wanted") {
  Recipe recipe = small_video_recipe();
  auto& denoise = std::get<Denoise>(recipe.stages[2]);
  denoise.windows = {14, 4};
  denoise.weaker = {{"without", std::vector<double>(denoise.streams.size(), 0.5), true}};
  const std::string latents = recipe.latents[0].name;
  recipe.latents[0].later_frames = recipe.latents[0].first_frames;
  recipe.stages.insert(recipe.stages.begin() + 1,
                       {ReferenceFeatures{"tower", "image", "features", "shown", 224, 3},
                        SourceClip{latents, "encoder", "video", "mean", "source", "black", 2, 4},
                        ClassLabel{"task", 3, 0, {"add", "remove", "style"}, 1, true}});
  const auto parsed = parse_recipe(recipe_to_json(recipe));
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
  CHECK(parsed->denoise()->windows.length == 14);
  CHECK(parsed->denoise()->windows.overlap == 4);
  CHECK(parsed->denoise()->weaker[0].unwanted);
  CHECK(std::get<ReferenceFeatures>(parsed->stages[1]).most == 3);
  const auto& source = std::get<SourceClip>(parsed->stages[2]);
  CHECK(source.gives_black == "black");
  CHECK(source.scale == 2);
  CHECK(source.tile == 4);
  CHECK(std::get<ClassLabel>(parsed->stages[3]).preset == 1);
  CHECK(std::get<ClassLabel>(parsed->stages[3]).every_row);

  const Json whole = Json::parse(recipe_to_json(recipe));
  check_refused(with(whole, "/stages/1/most", 0), "'stages[1].most'");
  check_refused(with(whole, "/stages/2/scale", 0), "'stages[2].scale'");
  check_refused(with(whole, "/stages/2/scale", 7), "divides them by 7");
  check_refused(with(whole, "/stages/2/gives_black", "source"), "given twice");
  check_refused(with(whole, "/latents/0/first_frames", 1 + recipe.latents[0].later_frames),
                "all stand for as many frames");
  check_refused(with(whole, "/stages/3/preset", 3), "'stages[3].preset'");
  check_refused(with(whole, "/stages/5/windows/overlap", 14), "'stages[5].windows.overlap'");
}

TEST_CASE("pictures at the ends, read with the words, come back as written") {
  MiniMaxH3Pipeline p;
  p.vision.emplace();
  p.mean.assign(24, 0.0f);
  p.deviation.assign(24, 1.0f);
  p.sound_mean.assign(32, 0.0f);
  p.sound_deviation.assign(32, 1.0f);
  const Recipe recipe = *minimax_h3_recipe(p);
  const Json whole = Json::parse(recipe_to_json(recipe));
  const auto parsed = parse_recipe(whole.dump());
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
  const auto& seen = std::get<EncodeText>(parsed->stages[0]).seen;
  REQUIRE(seen.has_value());
  CHECK(seen->text == "text_seeing");
  CHECK(seen->label == "<Picture {n}>: ");
  CHECK(seen->place == 151655);
  CHECK(seen->pixels == 32);
  CHECK(seen->least_pixels == 65536);
  CHECK(seen->gives == "text_seen");
  const auto& ends = std::get<EndPictures>(parsed->stages[1]);
  CHECK(ends.output_deviation == "deviation");
  CHECK(ends.seed == 42);
  CHECK(ends.noise == 0.001);
  CHECK(ends.area.length == 16);
  CHECK(ends.area.stitched);
  REQUIRE(parsed->denoise()->ended.has_value());
  CHECK(parsed->denoise()->ended->component == "dit_ended");
  CHECK(parsed->denoise()->ended->conditions.size() == 3);
  std::vector<std::string_view> tasks;
  for (const GivenTask& task : given_tasks(*parsed)) tasks.push_back(task.name);
  CHECK(tasks == std::vector<std::string_view>{"image", "last_image"});

  check_refused(with(whole, "/stages/0/seen/pixels", 0), "'stages[0].seen.pixels'");
  check_refused(with(whole, "/stages/0/seen/gives", "text"), "given twice");
  check_refused(with(whole, "/stages/0/bos", 1), "'stages[0].seen'");
  check_refused(with(whole, "/stages/1/noise", 2), "'stages[1].noise'");
  check_refused(with(whole, "/stages/1/latents", "sound"), "expected video");
  check_refused(with(whole, "/stages/1/gives_times", "ends"), "given twice");
  check_refused(with(whole, "/stages/2/ended/conditions/0/value", "nothing"), "'nothing'");
  check_refused(with(whole, "/stages/2/windows", Json{{"length", 14}, {"overlap", 4}}),
                "'stages[2].ended'");
  // There where pictures are given, and only there: `conditions` are always taken.
  for (const char* value : {"ends", "end_times", "text_seen"})
    check_refused(with(whole, "/stages/2/conditions/0/value", value), "conditions of 'ended'");
  Json unread = whole;
  unread["stages"][2].erase("ended");
  check_refused(unread, "no stage denoises with 'ended'");
  Json reduced = whole;  // known latents of another size than what denoises with them
  reduced["latents"][0].erase("period");
  const int pixels = whole["latents"][0]["pixels"];
  for (const char* side : {"width", "height"}) {
    Json& range = reduced["clip"][side];
    range = {
        {"min", 2 * pixels}, {"max", 4096}, {"multiple", 2 * pixels}, {"preferred", 2 * pixels}};
  }
  reduced["stages"].insert(reduced["stages"].begin() + 2,
                           Json{{"kind", "known_latents"},
                                {"latents", whole["latents"][0]["name"]},
                                {"component", "encoder"},
                                {"input", "video"},
                                {"output", "latents"},
                                {"gives", "known"},
                                {"gives_mask", "mask"},
                                {"reduced", 2}});
  REQUIRE_MESSAGE(parse(reduced).ok(), parse(reduced).message());
  check_refused(with(reduced, "/stages/3/ended/conditions/0/value", "known"), "reduced by 2");
  Json none = whole;
  none["stages"].erase(1);
  check_refused(none, "no stage 'end_pictures'");
  Json two = whole;
  two["stages"].insert(two["stages"].begin() + 1, whole["stages"][1]);
  two["stages"][1]["gives"] = "more";
  two["stages"][1]["gives_times"] = "more_times";
  check_refused(two, "two stages 'end_pictures'");
}

TEST_CASE("latents may be denoised at two thirds of the size, and enlarged by as much") {
  Recipe recipe = small_video_recipe();
  const LatentSpec& frames = recipe.latents[0];
  for (Range* r : {&recipe.clip.width, &recipe.clip.height})
    *r = {3 * frames.pixels, 12 * frames.pixels, 3 * frames.pixels, 6 * frames.pixels};
  std::get<Denoise>(recipe.stages[2]).conditions.clear();
  std::get<Denoise>(recipe.stages[2]).reduced = {3, 2};
  recipe.stages.erase(recipe.stages.begin() + 1);
  Denoise later = std::get<Denoise>(recipe.stages[1]);
  later.reduced = {};
  recipe.stages.insert(
      recipe.stages.begin() + 2,
      {ResampleLatents{frames.name, "upsampler", "latents", "larger", 3, 2}, later});
  const Json whole = Json::parse(recipe_to_json(recipe));
  const auto parsed = parse_recipe(whole.dump());
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
  CHECK(parsed->denoise()->reduced == Reduced{3, 2});
  CHECK(parsed->denoise()->reduced.of(96) == 64);
  const auto& resample = std::get<ResampleLatents>(parsed->stages[2]);
  CHECK(resample.factor == 3);
  CHECK(resample.divisor == 2);
  check_refused(with(whole, "/stages/1/reduced_to", 3), "lowest terms");
  check_refused(with(whole, "/stages/1/reduced_to", 4), "lowest terms");
  check_refused(with(whole, "/stages/2/divisor", 3), "'stages[2].divisor'");
  check_refused(with(whole, "/stages/2/divisor", 1), "reduced by as much");
  check_refused(with(whole, "/stages/2/factor", 4), "lowest terms");
  check_refused(with(whole, "/stages/1/reduced", 5), "latents reduced by 5/2");
  check_refused(with(whole, "/clip/width/multiple", frames.pixels), "latents reduced by 3/2");

  // One behind another, whose product no field bounds.
  Json twice = with(whole, "/stages/1/reduced", 9);
  twice = with(twice, "/stages/1/reduced_to", 4);
  for (const char* side : {"width", "height"})
    twice["clip"][side] = {{"min", 9 * frames.pixels},
                           {"max", 18 * frames.pixels},
                           {"multiple", 9 * frames.pixels},
                           {"preferred", 9 * frames.pixels}};
  twice["stages"].insert(twice["stages"].begin() + 2, whole["stages"][2]);
  check_refused(twice, "directly behind a stage that denoises");
}

TEST_CASE("what no stage would read is refused by name") {
  Json two = video();  // the second stage that denoises goes on from the first
  const Json later = two["stages"][2];
  two["stages"].insert(two["stages"].begin() + 3, later);
  REQUIRE_MESSAGE(parse(two).ok(), parse(two).message());
  const Json windows = {{"length", 14}, {"overlap", 4}};
  CHECK(parse(with(two, "/stages/2/windows", windows)).ok());
  check_refused(with(two, "/stages/3/windows", windows), "'windows' of a later stage");
}

TEST_CASE("a source clip is of the clip's size, and so is what denoises with it") {
  Recipe recipe = small_video_recipe();
  recipe.latents[0].later_frames = recipe.latents[0].first_frames;
  auto& denoise = std::get<Denoise>(recipe.stages[2]);
  denoise.conditions = {{"source", "source"}};
  recipe.stages[1] = SourceClip{recipe.latents[0].name, "encoder", "video", "mean", "source"};
  const Json whole = Json::parse(recipe_to_json(recipe));
  REQUIRE_MESSAGE(parse(whole).ok(), parse(whole).message());
  check_refused(with(whole, "/stages/2/reduced", 2), "'source' of 'source_clip'");
}

TEST_CASE("sound alone: features of frames, windows and tiles come back as written") {
  const Json sound = Json::parse(recipe_to_json(moviegen_audio_recipe(moviegen_audio_pipeline())));
  const auto parsed = parse_recipe(sound.dump());
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
  CHECK(parsed->sound_alone());
  const auto& frames = std::get<FrameFeatures>(parsed->stages[1]);
  CHECK(frames.latents == "sound");
  CHECK(frames.gives == "pictures");
  CHECK(frames.size == 224);
  const auto& known = std::get<KnownLatents>(parsed->stages[2]);
  CHECK(known.tiles.length == 256);
  CHECK(known.tiles.overlap == 2 * known.tiles.reach);
  const Denoise& denoise = *parsed->denoise();
  CHECK(denoise.windows.length == 750);
  CHECK(denoise.windows.overlap == 250);
  CHECK(denoise.windows.weights == Denoise::Windows::Weights::kTriangle);
  CHECK_FALSE(parse_recipe(video().dump())->denoise()->windows.length > 0);

  check_refused(with(sound, "/stages/1/latents", "frames"), "'frames'");
  check_refused(with(sound, "/stages/1/size", 0), "'stages[1].size'");
  check_refused(with(sound, "/stages/3/windows/overlap", 750), "less than length");
  check_refused(with(sound, "/stages/3/windows/weights", "square"), "slopes, triangle");
  Json looked = video();
  looked["stages"].insert(looked["stages"].begin(), sound["stages"][1]);
  looked["stages"][0]["latents"] = looked["latents"][0]["name"];
  check_refused(looked, "expected sound");
  check_refused(with(video(), "/stages/1/tiles", Json{{"length", 4}}), "are of sound");
}

TEST_CASE("names of latents and values must refer to something") {
  check_refused(with(video(), "/latents/1/name", "frames"), "twice");
  check_refused(with(video(), "/stages/1/latents", "pixels"), "'pixels'");
  check_refused(with(video(), "/stages/1/gives", "features"), "given twice");
  check_refused(with(video(), "/stages/2/conditions/0/value", "nothing"), "'nothing'");
  check_refused(with(video(), "/stages/2/streams/1/latents", "frames"), "denoised twice");
  check_refused(with(video(), "/stages/3/kind", "decode_video"), "are sound");
  check_refused(with(picture(), "/stages/2/streams/0/latents", "none"), "'none'");

  Json undecoded = video();
  undecoded["stages"].erase(4);
  check_refused(undecoded, "no stage decodes");
  Json late = video();
  std::swap(late["stages"][0], late["stages"][4]);
  check_refused(late, "not denoised");
  Json twice = picture();
  twice["stages"].push_back(twice["stages"][2]);
  check_refused(twice, "denoise");
  Json none = picture();
  none["stages"].erase(2);
  check_refused(none, "denoise");
}
