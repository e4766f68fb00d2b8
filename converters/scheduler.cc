#include "converters/scheduler.h"

#include <filesystem>

#include "converters/checkpoint.h"
#include "converters/config.h"

namespace zoetrope {

Result<DiffusionSpec> read_scheduler(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "scheduler_config.json").string();
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, 1 << 20));
  ZT_ASSIGN_OR_RETURN(Config c, Config::parse(path, text));
  DiffusionSpec s;
  s.reference = "diffusers";
  const std::string type = c.text("_class_name", "", {"DDIMScheduler", "DDPMScheduler"});
  if (type.empty()) c.fail(Code::kUnsupported, "no '_class_name'; expected a scheduler's");
  s.solver = type == "DDIMScheduler" ? "ddim" : "ddpm";
  s.train_steps = static_cast<int>(c.integer("num_train_timesteps", 1000, 1, 100000));
  s.beta_first = c.number("beta_start", 1e-4, 1e-12, 0.999);
  s.beta_last = c.number("beta_end", 2e-2, 1e-12, 0.999);
  s.betas =
      s.solver == "ddim"
          ? c.text("beta_schedule", "linear", {"linear", "scaled_linear", "squaredcos_cap_v2"})
          : c.text("beta_schedule", "linear",
                   {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"});
  s.trained_betas = c.numbers("trained_betas", 100000);
  if (!s.trained_betas.empty() && s.trained_betas.size() != static_cast<size_t>(s.train_steps))
    c.fail(Code::kDataLoss, str("'trained_betas' has ", s.trained_betas.size(),
                                " numbers; 'num_train_timesteps' is ", s.train_steps));
  s.zero_snr = c.flag("rescale_betas_zero_snr", false);
  s.spacing = c.text("timestep_spacing", "leading", {"leading", "trailing", "linspace"});
  const int64_t offset = c.integer("steps_offset", 0, 0, 1000);
  s.steps_offset = s.spacing == "leading" ? static_cast<int>(offset) : 0;  // the others have none
  s.prediction = c.text("prediction_type", "epsilon", {"epsilon", "sample", "v_prediction"});
  const bool clip = c.flag("clip_sample", true);
  const double range = c.number("clip_sample_range", 1.0, 1e-6, 1e6);
  s.clip = clip ? range : 0;
  c.only("thresholding", false, "dynamic thresholding is for pixels, not for latents");
  c.ignore({"dynamic_thresholding_ratio", "sample_max_value"});  // of thresholding
  if (s.solver == "ddim") {
    s.variance = "fixed_small";  // DDIM's steps have none
    s.final_alpha_one = c.flag("set_alpha_to_one", true);
    // Schedulers are exchanged by copying their configurations; diffusers' DDIM knows none of
    // these.
    c.ignore({"variance_type", "skip_prk_steps"});
  } else {
    s.variance =
        c.text("variance_type", "fixed_small",
               {"fixed_small", "fixed_small_log", "fixed_large", "learned", "learned_range"});
    if (s.variance == "fixed_small_log") s.variance = "fixed_small";  // the same, by its logarithm
    c.ignore({"set_alpha_to_one", "skip_prk_steps"});
  }
  ZT_RETURN_IF_ERROR(c.finish());
  return s;
}

}  // namespace zoetrope
