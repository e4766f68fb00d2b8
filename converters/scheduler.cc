#include "converters/scheduler.h"

#include <filesystem>

#include "converters/checkpoint.h"
#include "converters/config.h"

namespace zoetrope {

namespace {

Result<Config> open_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "scheduler_config.json").string();
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, 1 << 20));
  return Config::parse(path, text);
}

// Of the two multistep schedulers, which have most of their fields in common.
void read_multistep(Config* c, FlowSampler* s, bool unipc) {
  s->solver = unipc ? FlowSolver::kUniPc : FlowSolver::kDpmpp2m;
  s->shift = c->number("flow_shift", 1, 1e-3, 1e3);
  // diffusers 0.42: UniPC from 1 to one training step, DPM-Solver++ from one less than all to 0.
  s->first = unipc ? 1 : 1 - 1.0 / s->train_steps;
  s->last = unipc ? 1.0 / s->train_steps : 0;
  if (!c->flag("use_flow_sigmas", false))
    c->fail(Code::kUnsupported, "'use_flow_sigmas' is not true: not flow matching");
  if (c->text("prediction_type", "epsilon", {"flow_prediction"}) != "flow_prediction")
    c->fail(Code::kUnsupported, "'prediction_type' is not 'flow_prediction': no velocities");
  c->text("final_sigmas_type", "zero", {"zero"});
  if (!c->flag("lower_order_final", true))
    c->fail(Code::kUnsupported, "'lower_order_final' is false; the last steps have a lower order");
  c->only("thresholding", false, "dynamic thresholding is for pixels, not for latents");
  c->only("rescale_betas_zero_snr", false, "flow matching has no betas");
  c->ignore({"dynamic_thresholding_ratio", "sample_max_value"});  // of thresholding
  // Of diffusion: flow sigmas replace them.
  c->ignore({"beta_start", "beta_end", "beta_schedule", "trained_betas", "timestep_spacing",
             "steps_offset"});
  if (unipc) {
    s->order = static_cast<int>(c->integer("solver_order", 2, 1, 3));
    const std::string b =
        c->text("solver_type", "bh2", {"bh1", "bh2", "midpoint", "heun", "logrho"});
    s->unipc_b = b == "bh1" ? UniPcB::kBh1 : UniPcB::kBh2;  // the last three mean bh2 there
    if (!c->flag("predict_x0", true))
      c->fail(Code::kUnsupported, "'predict_x0' is false; UniPC predicts the result here");
    if (!c->numbers("disable_corrector", 10000).empty())
      c->fail(Code::kUnsupported, "'disable_corrector' lists steps; every step is corrected here");
    c->absent("solver_p", "another solver as the predictor");
    c->absent("sigma_min", "sigmas are those of the shift");
    c->absent("sigma_max", "sigmas are those of the shift");
  } else {
    c->integer("solver_order", 2, 2, 2);
    c->text("solver_type", "midpoint", {"midpoint"});
    c->text("algorithm_type", "dpmsolver++", {"dpmsolver++"});
    c->only("use_lu_lambdas", false, "sigmas are those of the shift");
    c->ignore({"euler_at_final", "lambda_min_clipped", "variance_type"});  // nothing with zero ends
  }
}

// A shift that follows the clip's size; the defaults are those of diffusers' calculate_shift().
void read_shift(Config* c, FlowSampler* s) {
  const bool dynamic = c->flag("use_dynamic_shifting", false);
  const std::string type = c->text("time_shift_type", "exponential", {"exponential", "linear"});
  s->base_shift = c->number("base_shift", 0.5, -1e3, 1e3);
  s->max_shift = c->number("max_shift", 1.15, -1e3, 1e3);
  s->base_tokens = static_cast<int>(c->integer("base_image_seq_len", 256, 0, 1 << 30));
  s->max_tokens = static_cast<int>(c->integer("max_image_seq_len", 4096, 0, 1 << 30));
  if (!dynamic) return;
  s->shift_by = type == "linear" ? FlowShift::kLinear : FlowShift::kExponential;
  if (s->base_tokens >= s->max_tokens)
    c->fail(Code::kUnsupported, str("'base_image_seq_len' ", s->base_tokens,
                                    " is not less than 'max_image_seq_len' ", s->max_tokens));
}

}  // namespace

Result<FlowSampler> read_flow_scheduler(const std::string& folder, int told_in) {
  ZT_ASSIGN_OR_RETURN(Config c, open_config(folder));
  FlowSampler s;
  const std::string type = c.text("_class_name", "",
                                  {"UniPCMultistepScheduler", "DPMSolverMultistepScheduler",
                                   "FlowMatchEulerDiscreteScheduler"});
  if (type.empty()) c.fail(Code::kUnsupported, "no '_class_name'; expected a flow scheduler's");
  const auto train_steps = static_cast<int>(c.integer("num_train_timesteps", 1000, 2, 100000));
  if (told_in > 0 && train_steps != told_in)
    c.fail(Code::kUnsupported, str("'num_train_timesteps' is ", train_steps,
                                   "; the transformer is told its time in ", told_in));
  for (const char* key : {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"})
    c.only(key, false, "sigmas are those of the shift");
  read_shift(&c, &s);
  if (type == "DPMSolverMultistepScheduler")
    c.absent("shift_terminal", "its sigmas are not stretched");
  else
    s.terminal = c.number("shift_terminal", 0, 0, 0.999);
  if (type != "FlowMatchEulerDiscreteScheduler") {
    s.train_steps = train_steps;
    read_multistep(&c, &s, type == "UniPCMultistepScheduler");
  } else {
    s.shift = c.number("shift", 1, 1e-3, 1e3);
    // Its own sigmas: the least of training, shifted once when it is made (but for a shift that
    // follows the size) and again when it runs.
    const double least = 1.0 / train_steps;
    const bool fixed = s.shift_by == FlowShift::kFixed;
    s.last = fixed ? s.shift * least / (1 + (s.shift - 1) * least) : least;
    s.reaches_last = true;
    if (c.flag("stochastic_sampling", false)) s.solver = FlowSolver::kDmd;
    c.only("invert_sigmas", false, "time runs from noise to the result");
  }
  ZT_RETURN_IF_ERROR(c.finish());
  return s;
}

Result<DiffusionSpec> read_scheduler(const std::string& folder) {
  ZT_ASSIGN_OR_RETURN(Config c, open_config(folder));
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
