// A discrete-time diffusion process and how it is sampled, as a recipe states it. The words are
// those of diffusers' scheduler configurations.
#pragma once

#include <string>
#include <vector>

namespace zoetrope {

struct DiffusionSpec {
  // Whose constants apply. They agree in the formulas and differ in what rounding does to them:
  //   original   improved-diffusion, which DiT's own code carries: tables in f64, a step ends at
  //              the next visited timestep, the last step adds no noise
  //   diffusers  tables and coefficients in f32; DDIM's step ends train_steps / steps (whole)
  //              earlier, whatever is visited; DDPM adds no noise at timestep 0 alone
  std::string reference = "original";
  std::string solver = "ddpm";  // ddpm (arXiv 2006.11239), ddim (arXiv 2010.02502)

  int train_steps = 1000;
  std::string betas = "linear";  // linear, scaled_linear, squaredcos_cap_v2, sigmoid, laplace
  double beta_first = 1e-4, beta_last = 2e-2;
  std::vector<double> trained_betas = {};  // train_steps of them, in place of the schedule
  bool zero_snr = false;  // betas rescaled so that the last timestep is noise alone

  // respaced (improved-diffusion's space_timesteps), leading, trailing, linspace
  std::string spacing = "respaced";
  int steps_offset = 0;  // added to each timestep of "leading"

  std::string prediction = "epsilon";  // epsilon, sample, v_prediction
  // Of DDPM's noise: fixed_small (posterior), fixed_large (beta); learned, learned_range (arXiv
  // 2102.09672) take it from the model's other output channels.
  std::string variance = "learned_range";
  double clip = 0;              // the predicted sample is held within ±clip; 0: it is free
  bool final_alpha_one = true;  // DDIM's last step ends at alpha 1, else at alpha of timestep 0
  double eta = 0;               // DDIM: 0 deterministic, 1 as random as DDPM

  bool learned_variance() const { return variance == "learned" || variance == "learned_range"; }
};

}  // namespace zoetrope
