#include "runtime/cli/lora_flags.h"

#include <charconv>
#include <cmath>

#include "converters/adapters.h"

namespace zoetrope {
namespace {

// "style.safetensors:0.8" is a file and a strength; without a number, all of it is the file.
std::pair<std::string, double> split_strength(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, 1.0};
  double strength = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data() + colon + 1, end, strength);
  if (failed != std::errc() || stop != end || !std::isfinite(strength)) return {text, 1.0};
  return {text.substr(0, colon), strength};
}

// "dit_low=style.safetensors" names a component; else all of it is the file.
std::pair<std::string, std::string> split_component(const Model& model, const std::string& text) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  if (equals == std::string::npos || model.component(name) == nullptr) return {"", text};
  return {name, text.substr(equals + 1)};
}

}  // namespace

void LoraFlags::add_to(CLI::App* app) {
  app->add_option(
         "--lora", files,
         "[COMPONENT=]FILE[:STRENGTH]: an adapter (LoRA) of this model, or of one of its "
         "components, in the keys of PEFT, kohya, FastVideo or the original repository; strength 1 "
         "is as trained; give more to add them up")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

std::vector<AdapterRecord> LoraFlags::read(const Model& model) const {
  std::vector<AdapterRecord> adapters;
  for (const std::string& text : files) {
    const auto [component, file] = split_component(model, text);
    const auto [path, strength] = split_strength(file);
    adapters.push_back({component, {path, ""}, strength});
  }
  return adapters;
}

Result<std::shared_ptr<const WeightSource>> open_adapters(
    const Model& model, const std::vector<AdapterRecord>& adapters) {
  std::vector<AdapterFile> files;
  for (const AdapterRecord& a : adapters) files.push_back({a.component, a.file.path, a.strength});
  return adapt_weights(model.components, model.family, *model.weights, files);
}

}  // namespace zoetrope
