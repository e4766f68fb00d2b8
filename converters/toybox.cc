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
