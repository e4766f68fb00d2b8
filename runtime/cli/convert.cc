#include <cstdio>

#include "converters/convert.h"
#include "runtime/cli/command.h"
#include "runtime/cli/progress.h"
#include "runtime/engine/check.h"

namespace zoetrope {
namespace {

struct Options {
  ConvertOptions convert;
  std::string dtype;
  bool quiet = false;
};

Status run_convert(const Options& options) {
  ConvertOptions convert_options = options.convert;
  if (!options.dtype.empty()) {
    ZT_ASSIGN_OR_RETURN(const DType dtype, parse_dtype(options.dtype));
    if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16)
      return error(Code::kInvalidArgument, "--dtype ", options.dtype,
                   ": expected f32, f16 or bf16");
    convert_options.dtype = dtype;
  }
  ProgressBar bar(options.quiet);
  convert_options.check = [](const ModelInfo& info) { return check_model(info); };
  convert_options.notice = [&](const std::string& text) { bar.message(text); };
  ZT_RETURN_IF_ERROR(convert(convert_options, [&](int64_t done, int64_t total) {
    bar.update("convert", static_cast<double>(done), static_cast<double>(total));
    return !interrupted();
  }));
  bar.end();
  return Status();
}

}  // namespace

void add_convert(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand("convert", "Turn a checkpoint into a .zoe model file");
  app->footer(
      "Examples:\n"
      "  zoetrope convert toybox.safetensors -o toybox.zoe\n"
      "  zoetrope convert DiT-XL-2-256 -o dit.zoe            a diffusers folder\n"
      "  zoetrope convert DiT-XL-2-256x256.pt --vae sd-vae-ft-ema -o dit.zoe\n"
      "  zoetrope convert ltx-2.3-22b-distilled.safetensors --distilled --text-encoder "
      "gemma-3-12b-it "
      "-o ltx.zoe\n"
      "  zoetrope convert synthetic:wan2.1-1.3b -o wan.zoe   shapes of a real model, generated "
      "weights");
  app->add_option(
         "input", options->convert.input,
         "A checkpoint (.safetensors, .gguf, .pt), a diffusers folder, or synthetic:NAME for a "
         "built-in configuration")
      ->required();
  app->add_option("-o,--output", options->convert.output, "Where to write the .zoe file")
      ->required();
  app->add_option("--family", options->convert.family, "Model family; auto looks at the checkpoint")
      ->capture_default_str();
  app->add_option("--vae", options->convert.vae,
                  "The autoencoder, for a checkpoint that has none: a folder or file");
  app->add_option(
      "--text-encoder", options->convert.text_encoder,
      "The text encoder, likewise (Wan: UMT5; LTX-2: Gemma 3, of 2.5 its own Gemma 4; MiniMax-H3: "
      "Qwen3-VL-32B)");
  app->add_option(
      "--tokenizer", options->convert.tokenizer,
      "Its SentencePiece model (spiece.model, tokenizer.model) or tokenizer.json, or the folder "
      "that holds it");
  app->add_option("--image-encoder", options->convert.image_encoder,
                  "CLIP's picture tower, likewise (Wan 2.1: image to video)");
  app->add_option(
      "--transformer-2", options->convert.second,
      "Of two transformers that take turns (Wan 2.2 A14B), the low-noise one's folder or "
      "file, where single files are converted; the input is then the high-noise one. Left out, one "
      "of A14B's text-to-video pair passes for Wan 2.1 14B, whose tensors are the same");
  app->add_option(
      "--upsampler", options->convert.upsampler,
      "LTX-2's upsampler of latents (to 1.5, 2 or 4 times the size), a folder or file, where it "
      "does "
      "not lie beside the model: distilled checkpoints then make a smaller clip first and refine "
      "it");
  app->add_option(
      "--refining-lora", options->convert.refining_lora,
      "The adapter that distils LTX-2: a checkpoint that was not then refines what it made smaller "
      "with it, in a second transformer of the same size");
  // CLI11's add_flag sets what it is bound to, which has to stay unset where no flag is given.
  app->add_flag_function(
      "--distilled,!--no-distilled",
      [options](int64_t given) { options->convert.distilled = given > 0; },
      "The checkpoint was distilled to few steps without guidance, which nothing in it "
      "says (LTX-2: eight, but 2.5's folder says it itself; Wan: lightx2v's four; "
      "FastWan's folders say it themselves), or was not, whatever its folder says");
  app->add_option("--dtype", options->dtype,
                  "Store float tensors as f32, f16 or bf16; left out, as the checkpoint has them");
  app->add_flag("-q,--quiet", options->quiet, "No progress");
  app->callback([=] { *run = [=] { return run_convert(*options); }; });
}

}  // namespace zoetrope
