// Checkpoint → .zoe model file.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "graph/format/model_writer.h"

namespace zoetrope {

struct ConvertOptions {
  std::string input;            // a checkpoint, or "synthetic:NAME" of a built-in configuration
  std::string output;           // path of the .zoe
  std::string family = "auto";  // toybox, dit, wan, ltx-2, minimax-h3; auto looks at the checkpoint
  std::string name = "";        // of the model; empty: the family's
  // Folders or files of components, for a checkpoint without them.
  std::string vae = "", text_encoder = "", image_encoder = "";
  std::string second = "";         // of two denoisers that take turns, the one for little noise
  std::string upsampler = "";      // of latents, for a second stage of denoising
  std::string tokenizer = "";      // a SentencePiece model or tokenizer.json, or the folder of one
  std::string refining_lora = "";  // on the denoiser of that stage
  // Made for few steps without guidance, or not; none: as the folder says, where it says it.
  std::optional<bool> distilled = std::nullopt;
  std::optional<DType> dtype = std::nullopt;  // store float tensors as this; none: as they are
  // Judges the model before anything is written; what runs it lies in the runtime.
  std::function<Status(const ModelInfo&)> check = {};
  std::function<void(const std::string& text)> notice = {};  // things a person should know
};

// Errors name the tensor that is missing, left over, of the wrong shape, or not finite, and the
// part of a configuration that is not known or contradicts the weights.
Status convert(const ConvertOptions& options, const WriteProgress& progress = {});

// A built-in configuration (models/registry.h) with generated weights; bf16 where no dtype is asked
// for.
Status convert_synthetic(const std::string& name, const ConvertOptions& options,
                         const WriteProgress& progress);

}  // namespace zoetrope
