#include "converters/convert.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <tuple>

#include "converters/families.h"
#include "converters/lora_keys.h"
#include "converters/scaled.h"
#include "graph/format/folder_listing.h"
#include "graph/format/output_claim.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

// kInvalidArgument where `output` is a file of the folder or of one within.
Status check_not_within(const std::string& folder, const std::string& output) {
  const auto names = list_folder(folder);
  if (!names.ok())  // what cannot be listed is not read either
    return names.status().code() == Code::kResourceExhausted ? names.status() : Status();
  for (const std::string& name : *names) {
    const fs::path path = fs::path(folder) / name;
    std::error_code failed;
    if (fs::is_directory(fs::symlink_status(path, failed)))
      ZT_RETURN_IF_ERROR(check_not_within(path.string(), output));
    else if (fs::equivalent(path, output, failed))
      return error(Code::kInvalidArgument, "-o ", output, " is a file of the input, ",
                   path.string());
  }
  return Status();
}

// The output replaces nothing that is read, and nobody else writes it meanwhile.
Result<OutputClaim> claim_output(const ConvertOptions& options) {
  if (!options.output.ends_with(".zoe"))
    return error(Code::kInvalidArgument, "-o ", options.output, ": name the model *.zoe");
  std::error_code failed;
  for (const std::string& input :
       {options.input, options.vae, options.text_encoder, options.image_encoder, options.tokenizer,
        options.upsampler, options.refining_lora}) {
    if (input.empty() || !fs::exists(input, failed)) continue;
    if (fs::equivalent(input, options.output, failed))
      return error(Code::kInvalidArgument, input, ": input and output are the same file");
    if (fs::is_directory(input, failed))
      ZT_RETURN_IF_ERROR(check_not_within(input, options.output));
  }
  return OutputClaim::take(options.output);
}

// A diffusers pipeline folder; none: the input is the weights themselves.
Result<std::optional<DiffusersFolder>> find_pipeline(const std::string& input) {
  std::error_code failed;
  if (!fs::exists(fs::path(input) / "model_index.json", failed) &&
      !fs::exists(fs::path(input) / "modular_model_index.json", failed))
    return std::optional<DiffusersFolder>();
  ZT_ASSIGN_OR_RETURN(DiffusersFolder folder, read_diffusers_folder(input));
  if (!folder.components.contains("transformer"))
    return error(Code::kUnsupported, input, ": ", folder.pipeline_class, " has no transformer");
  return std::optional<DiffusersFolder>(std::move(folder));
}

// Where the denoiser's weights are. Of two that take turns each has a folder; the family finds the
// other.
std::string denoiser_path(const std::string& input,
                          const std::optional<DiffusersFolder>& pipeline) {
  if (pipeline) return pipeline->components.at("transformer").path;
  std::error_code failed;
  const fs::path first = fs::path(input) / "high_noise_model";
  return fs::is_directory(first, failed) ? first.string() : input;
}

// Components that the family has no use for.
Status check_components(const ConvertOptions& options, const Family& family) {
  const bool wan = &family == &wan_family(), dit = &family == &dit_family(),
             ltx = &family == &ltx2_family(), h3 = &family == &minimax_h3_family();
  for (const auto& [flag, value, taken] :
       {std::tuple{"--vae", &options.vae, wan || dit || ltx || h3},
        std::tuple{"--text-encoder", &options.text_encoder, wan || ltx || h3},
        std::tuple{"--transformer-2", &options.second, wan},
        std::tuple{"--image-encoder", &options.image_encoder, wan},
        std::tuple{"--upsampler", &options.upsampler, ltx},
        std::tuple{"--refining-lora", &options.refining_lora, ltx},
        std::tuple{"--tokenizer", &options.tokenizer, wan || ltx || h3}})
    if (!value->empty() && !taken)
      return error(Code::kInvalidArgument, flag, ": the family '", family.name, "' takes none");
  if (options.distilled.has_value() && !ltx && !wan)
    return error(Code::kInvalidArgument, *options.distilled ? "--distilled" : "--no-distilled",
                 ": the family '", family.name, "' has no schedule of its own for few steps");
  return Status();
}

// "model-00001-of-00003.safetensors" is one of 3 parts; 0: no part.
int64_t parts_of(const std::string& path) {
  const auto digits = [&](size_t begin, size_t end) {  // one to nine of them, nothing else
    return begin < end && end - begin <= 9 &&
           std::all_of(path.begin() + static_cast<std::ptrdiff_t>(begin),
                       path.begin() + static_cast<std::ptrdiff_t>(end),
                       [](unsigned char c) { return std::isdigit(c) != 0; });
  };
  constexpr std::string_view kOf = "-of-";
  const size_t of = path.rfind(kOf), dot = path.rfind('.');
  const size_t dash = of == std::string::npos || of == 0 ? of : path.rfind('-', of - 1);
  if (of == std::string::npos || dot == std::string::npos || dash == std::string::npos) return 0;
  if (!digits(dash + 1, of) || !digits(of + kOf.size(), dot)) return 0;
  return std::stoll(path.substr(of + kOf.size(), dot - of - kOf.size()));
}

bool is_adapter(const Checkpoint& checkpoint) {
  const auto& names = checkpoint.names();
  return !names.empty() && std::all_of(names.begin(), names.end(), is_adapter_key);
}

Result<const Family*> choose_family(const std::string& asked, const Checkpoint& checkpoint) {
  std::string known;
  for (const Family* family : families()) {
    if (family->name == asked) return family;
    known += str(known.empty() ? "" : ", ", family->name);
  }
  if (asked != "auto")
    return error(Code::kInvalidArgument, "unknown family '", asked, "'; known: ", known);
  if (const Family* family = find_family(checkpoint)) return family;
  if (const std::string_view name = name_foreign_model(checkpoint); !name.empty())
    return error(Code::kUnsupported, checkpoint.path(), ": this looks like ", name,
                 "; known families: ", known);
  if (const int64_t parts = parts_of(checkpoint.path()); parts > 1)
    return error(Code::kInvalidArgument, checkpoint.path(), " is one of ", parts,
                 " parts; give the folder that holds all of them, or its .index.json");
  if (is_adapter(checkpoint))
    return error(Code::kInvalidArgument, checkpoint.path(),
                 " is an adapter (LoRA), not a model: give it to `zoetrope generate` with --lora, "
                 "beside the model that it was made for");
  const std::string remark = checkpoint.remark();
  return error(Code::kInvalidArgument, checkpoint.path(),
               ": cannot tell the model's family from its tensors ('",
               checkpoint.names().empty() ? "" : checkpoint.names().front(),
               "', ...); known: ", known, "; --family names one",
               remark.empty() ? "" : str(" (beside the tensors, ", remark, ")"));
}

}  // namespace

Status convert(const ConvertOptions& options, const WriteProgress& progress) {
  constexpr std::string_view kSynthetic = "synthetic:";
  ZT_ASSIGN_OR_RETURN(const OutputClaim claim, claim_output(options));
  if (options.input.starts_with(kSynthetic))
    return convert_synthetic(options.input.substr(kSynthetic.size()), options, progress);
  ZT_ASSIGN_OR_RETURN(const std::optional<DiffusersFolder> pipeline, find_pipeline(options.input));
  ZT_ASSIGN_OR_RETURN(const auto stored, open_checkpoint(denoiser_path(options.input, pipeline)));
  ZT_ASSIGN_OR_RETURN(const auto scaled, apply_scales(*stored));
  const Checkpoint& checkpoint = scaled ? *scaled : *stored;
  ZT_ASSIGN_OR_RETURN(const Family* family, choose_family(options.family, checkpoint));
  ZT_RETURN_IF_ERROR(check_one_model(checkpoint, *family));
  ZT_RETURN_IF_ERROR(check_components(options, *family));
  return family->convert({checkpoint, pipeline ? &*pipeline : nullptr}, options, progress);
}

}  // namespace zoetrope
