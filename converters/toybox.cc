#include <nlohmann/json.hpp>

#include "converters/families.h"
#include "converters/store.h"
#include "converters/weight_map.h"
#include "models/toybox/toybox.h"

namespace zoetrope {
namespace {

// The header's word list: a JSON array of strings, or words between spaces.
std::vector<std::string> read_vocabulary(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> words;
  if (!json.is_array()) return words;
  for (const auto& word : json)
    if (word.is_string()) words.push_back(word.get<std::string>());
  return words;
}

// What the README shows: all that it was trained on, once each.
const std::vector<std::string> kCaptions = {
    "a small red star bounces on a blue floor",
    "a large yellow heart grows",
    "a green ring slides from side to side while a red ball bounces",
    "a white cross blinks on and off on a dark background",
    "a green triangle shrinks on a plain pink background",
    "a red ball bounces up and down",
};

// As train/toydata/captions.py writes them.
Expansion expansion() {
  Expansion e;
  e.pattern = "a {size} {colour} {shape} {motion} {ground}";
  std::vector<std::string> grounds;
  for (const char* colour : {"dark", "grey", "blue", "green", "yellow", "brown", "red", "pink",
                             "purple", "teal", "navy"})
    for (const char* kind :
         {"on a plain {} background", "on a {} floor", "in front of {} stripes",
          "on a {} checkerboard", "over a {} gradient", "on the {} floor", "on a {} background"}) {
      std::string ground = kind;
      ground.replace(ground.find("{}"), 2, colour);
      grounds.push_back(std::move(ground));
    }
  e.slots = {{"ground", std::move(grounds)},  // first, as their colours are no toy's
             {"size", {"small", "little", "tiny", "medium-sized", "large", "big", "huge"}},
             {"colour",
              {"red", "scarlet", "orange", "yellow", "golden", "green", "blue", "purple", "violet",
               "pink", "rosy", "white", "snowy"}},
             {"shape",
              {"ball", "circle", "disc", "box", "square", "block", "triangle", "star", "heart",
               "ring", "donut", "hoop", "cross", "plus", "diamond", "gem"}},
             {"motion",
              {"bounces",
               "bounces up and down",
               "hops",
               "jumps up and down",
               "slides",
               "slides from side to side",
               "slides back and forth",
               "rises",
               "floats up",
               "falls",
               "drops",
               "orbits",
               "circles around",
               "spins",
               "spins around",
               "rotates",
               "twirls",
               "grows",
               "grows bigger",
               "swells",
               "shrinks",
               "shrinks down",
               "blinks",
               "blinks on and off",
               "flashes",
               "stands still",
               "waits",
               "bouncing",
               "hopping",
               "sliding",
               "rising",
               "falling",
               "orbiting",
               "spinning",
               "growing",
               "shrinking",
               "blinking",
               "standing still"}}};
  return e;
}

std::string metadata_or(const Checkpoint& checkpoint, const char* key, const char* otherwise) {
  const auto it = checkpoint.metadata().find(key);
  return it == checkpoint.metadata().end() ? otherwise : it->second;
}

Status convert_toybox(const ConvertSource& source, const ConvertOptions& options,
                      const WriteProgress& progress) {
  const Checkpoint& checkpoint = source.checkpoint;
  if (!checkpoint.metadata().contains("config"))
    return error(Code::kDataLoss, checkpoint.path(),
                 ": the header has no 'config'; not a Toybox checkpoint");
  auto config = parse_toybox_config(checkpoint.metadata().at("config"));
  if (!config.ok()) return config.status().with_context(checkpoint.path());
  ModelInfo info;
  info.name = options.name.empty() ? "toybox" : options.name;
  info.family = "toybox";
  ZT_ASSIGN_OR_RETURN(std::vector<Graph> components, build_toybox(*config));
  ZT_ASSIGN_OR_RETURN(
      const WeightMap map,
      WeightMap::create(checkpoint, components, [](const std::string& name) { return name; }));
  if (const auto rest = map.unused(); !rest.empty())
    return error(Code::kDataLoss, checkpoint.path(), ": ", rest.size(),
                 " tensors belong to no component, first '", rest.front(), "'");
  info.tokenizers = {{"", "bytes"}};
  info.vocabulary = read_vocabulary(metadata_or(checkpoint, "vocabulary", "[]"));
  info.captions = kCaptions;
  config->recipe.expansion = expansion();
  info.recipe = recipe_to_json(config->recipe);
  info.provenance =
      metadata_or(checkpoint, "provenance", "trained by the Zoetrope project on generated data");
  info.licence = metadata_or(checkpoint, "licence", "Apache-2.0");
  return store_model(std::move(info),
                     {{.scope = "", .components = std::move(components), .weights = &map}}, options,
                     progress);
}

}  // namespace

const Family& toybox_family() {
  static const Family family{
      "toybox", {"codec.decoder.input.weight"}, convert_toybox, [](const std::string& weight) {
        return std::vector<std::vector<std::string>>{{weight}};
      }};
  return family;
}

}  // namespace zoetrope
