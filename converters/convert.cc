#include "converters/convert.h"

#include <filesystem>

#include "converters/families.h"

namespace zoetrope {
namespace {

// A diffusers pipeline: the denoiser is what has a graph.
Result<std::string> find_denoiser(const std::string& input) {
  std::error_code failed;
  if (!std::filesystem::exists(std::filesystem::path(input) / "model_index.json", failed))
    return input;
  ZT_ASSIGN_OR_RETURN(const DiffusersFolder folder, read_diffusers_folder(input));
  const auto it = folder.components.find("transformer");
  if (it == folder.components.end())
    return error(Code::kUnsupported, input, ": ", folder.pipeline_class, " has no transformer");
  return it->second;
}

std::string find_family(const Checkpoint& checkpoint) {
  const auto has = [&](const std::string& key) {
    return checkpoint.type(find_prefix(checkpoint, key) + key).ok();
  };
  if (has("x_embedder.proj.weight") || has("pos_embed.proj.weight")) return "dit";
  if (has("patch_embedding.weight")) return "wan";
  if (checkpoint.metadata().contains("config")) return "toybox";
  return "";
}

}  // namespace

Status convert(const ConvertOptions& options, const WriteProgress& progress) {
  constexpr std::string_view kSynthetic = "synthetic:";
  if (options.input.starts_with(kSynthetic))
    return convert_synthetic(options.input.substr(kSynthetic.size()), options, progress);
  const std::string& asked = options.family;
  if (asked != "auto" && asked != "toybox" && asked != "dit" && asked != "wan")
    return error(Code::kInvalidArgument, "unknown family '", asked, "'; known: toybox, dit, wan");
  ZT_ASSIGN_OR_RETURN(const std::string input, find_denoiser(options.input));
  ZT_ASSIGN_OR_RETURN(const auto checkpoint, open_checkpoint(input));
  const std::string family = asked == "auto" ? find_family(*checkpoint) : asked;
  if (family == "dit") return convert_dit(*checkpoint, options, progress);
  if (family == "wan") return convert_wan(*checkpoint, options, progress);
  if (family == "toybox") return convert_toybox(input, options, progress);
  return error(Code::kInvalidArgument, options.input,
               ": cannot tell the model's family; name it with --family");
}

}  // namespace zoetrope
