#include "runtime/cli/generate_flags.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "models/registry.h"
#include "runtime/cli/builtin.h"
#include "runtime/cli/prompt_flags.h"

namespace zoetrope {

void GenerateFlags::add_to(CLI::App* app) {
  Request& o = request;
  app->add_option("--model", model, "A .zoe model file; left out, the embedded one");
  app->add_option("--width", o.clip.width, "Pixels; 0 or left out, what the model prefers")
      ->check(whole_in(0));
  app->add_option("--height", o.clip.height, "Pixels")->check(whole_in(0));
  auto* frames = app->add_option("--frames", o.clip.frames, "Frames; 1 makes a still image")
                     ->check(whole_in(0));
  app->add_option("--seconds,--duration", o.clip.seconds, "Length of the clip, or of sound")
      ->check(number_in(0, 86400))
      ->excludes(frames);
  app->add_flag("--loop", o.clip.loop,
                "A clip without an end: behind the last frame comes the first, sound too. How well "
                "that holds is said");
  app->add_option("--window", o.clip.window,
                  "Frames that the network sees at once: a clip may then be longer than it makes "
                  "otherwise, and is denoised in windows that share half. How well they join "
                  "is said")
      ->check(whole_in(1));
  app->add_option("--steps", o.steps, "Denoising steps")->check(whole_in(1, 10000));
  app->add_option("--guidance", o.guidance,
                  "How strongly the caption guides; 1 switches guidance off and halves the time")
      ->check(number_in(0, 100));
  app->add_flag("--sequential-guidance", sequential,
                "Run the caption and the negative prompt one after the other: less memory");
  app->add_option("--expert-guidance", o.expert_guidance,
                  "Guidance of the network that takes over where little noise is left, in models "
                  "that have such experts; left out, as --guidance or the recipe says; give more "
                  "for more of them")
      ->check(number_in(0, 100))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--solver", o.solver,
                  "euler, unipc, dpmpp_2m, dmd (few-step models), midpoint or heun (two calls a "
                  "step); of diffusion models, ddpm or ddim")
      ->check(
          CLI::IsMember({"euler", "midpoint", "heun", "unipc", "dpmpp_2m", "dmd", "ddpm", "ddim"}));
  app->add_option("--schedule", o.schedule,
                  "linear, linear_quadratic, or explicit: the times that the model lists, in as "
                  "many steps")
      ->check(CLI::IsMember({"linear", "linear_quadratic", "explicit"}));
  app->add_option("--shift", o.shift,
                  "Shift of the schedule towards noise; 1 is none, left out, the model's")
      ->check(number_in(0.01, 100));
  app->add_option("--spacing", o.spacing,
                  "Of diffusion models, which training steps are visited: respaced, leading, "
                  "trailing or linspace")
      ->check(CLI::IsMember({"respaced", "leading", "trailing", "linspace"}));
  app->add_option("--eta", o.eta, "Of ddim: 0 adds no noise, 1 as much as ddpm")
      ->check(number_in(0, 1));
  app->add_option("--class", o.classes,
                  "Of models of classes: a class by number or name; give more for more pictures")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--compute", compute, "Arithmetic: f32, bf16 or f16")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->capture_default_str();
  app->add_option(
      "--memory", memory,
      "Stay within this on each device, such as 8GiB or 500M: weights of 4 and 8 bits stay as "
      "stored, others are streamed, and clips decoded in shorter pieces; refused where that is not "
      "enough. It bounds what `plan` "
      "counts, weights and intermediate values; on the CPU the process itself (libraries, "
      "the mapped file, encoders) comes on top");
  app->add_option(
         "--decode-tile", decode_tile,
         "How much of the clip is decoded at once. auto: what the model's recipe says, "
         "or what is quick, less when --memory asks for it; whole: everything, the most memory; "
         "N: at most N latents of the picture, where fewer take less memory and may show at the "
         "seams (never where a decoder hands on what it has seen)")
      ->capture_default_str();
  app->add_option(
      "--place", place,
      "What runs where: auto takes all devices as the plan finds best; or parts such as "
      "text=cpu,denoise=cuda:0,decode=vulkan:1, of components, kinds of stages, text, "
      "encode, denoise and decode; denoise=cuda:0+vulkan:0 runs the two halves of a "
      "guided step at once");
  app->add_flag("--no-fusion", no_fusion, "Node by node, without fused operations: to compare");
  lora.add_to(app);
  device.add_to(app);
}

Result<int64_t> parse_bytes(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  std::string unit(end);
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (!unit.empty() && unit.back() == 'b') unit.pop_back();
  if (!unit.empty() && unit.back() == 'i') unit.pop_back();
  double scale = 1;
  if (unit == "k")
    scale = 0x1p10;
  else if (unit == "m")
    scale = 0x1p20;
  else if (unit == "g")
    scale = 0x1p30;
  else if (unit == "t")
    scale = 0x1p40;
  else if (!unit.empty())
    scale = 0;
  if (end == text.c_str() || scale == 0 || !(value > 0) || !(value * scale < 0x1p60))
    return error(Code::kInvalidArgument, "'", text,
                 "' is not a size; write 8GiB, 500M or a number of bytes");
  return static_cast<int64_t>(value * scale);
}

Status GenerateFlags::finish() {
  ZT_ASSIGN_OR_RETURN(request.compute, parse_dtype(compute));
  request.fuse = !no_fusion;
  if (sequential) request.guidance_mode = GuidanceMode::kSequential;
  if (decode_tile == "whole") {
    request.decode_tile = kWholeClip;
  } else if (decode_tile != "auto") {
    char* end = nullptr;
    request.decode_tile = std::strtoll(decode_tile.c_str(), &end, 10);
    if (*end != '\0' || request.decode_tile < 1 || request.decode_tile > 1 << 20)
      return error(Code::kInvalidArgument, "--decode-tile ", decode_tile,
                   ": expected auto, whole, or how many latents to decode at once, such as 4");
  }
  if (memory.empty()) return Status();
  auto bytes = parse_bytes(memory);
  if (!bytes.ok()) return bytes.status().with_context("--memory");
  request.memory_budget = *bytes;
  return Status();
}

Result<std::unique_ptr<Engine>> GenerateFlags::open_engine(bool keep_sessions, bool for_planning) {
  EngineOptions options;
  options.devices = device.options();
  ZT_ASSIGN_OR_RETURN(options.placement, placement());
  options.keep_sessions = keep_sessions;
  if (for_planning && find_builtin_model(model).ok() && !std::filesystem::exists(model)) {
    if (!lora.files.empty())
      return error(Code::kInvalidArgument, "--lora: '", model,
                   "' is a built-in shape, without weights to adapt");
    ZT_ASSIGN_OR_RETURN(Model shape, builtin_model(model));
    return Engine::create(std::move(shape), std::move(options));
  }
  ZT_ASSIGN_OR_RETURN(const std::string path, find_model(model));
  ZT_ASSIGN_OR_RETURN(auto engine, Engine::open(path, std::move(options)));
  if (adapters.empty()) adapters = lora.read(engine->model());
  ZT_ASSIGN_OR_RETURN(request.weights, open_adapters(engine->model(), adapters));
  return engine;
}

}  // namespace zoetrope
