// Flow schedulers' configurations: honoured, or refused by name.
#include "converters/scheduler.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"

using namespace zoetrope;
using Json = nlohmann::json;

namespace {

Result<FlowSampler> read_text(const std::string& text) {
  const TemporaryFolder folder;
  std::ofstream(folder.file("scheduler_config.json")) << text;
  return read_flow_scheduler(folder.path());
}
Result<FlowSampler> read(const Json& json) { return read_text(json.dump()); }

// As Wan 2.1's folder has it.
Json wan() {
  return Json::parse(R"({"_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.33.0",
    "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [],
    "dynamic_thresholding_ratio": 0.995, "final_sigmas_type": "zero", "flow_shift": 3.0,
    "lower_order_final": true, "num_train_timesteps": 1000, "predict_x0": true,
    "prediction_type": "flow_prediction", "rescale_betas_zero_snr": false, "sample_max_value": 1.0,
    "solver_order": 2, "solver_p": null, "solver_type": "bh2", "steps_offset": 0,
    "thresholding": false, "timestep_spacing": "linspace", "trained_betas": null,
    "use_beta_sigmas": false, "use_exponential_sigmas": false, "use_flow_sigmas": true,
    "use_karras_sigmas": false})");
}

}  // namespace

TEST_CASE("Wan's scheduler is UniPC on diffusers' flow sigmas") {
  const auto s = read(wan());
  REQUIRE_MESSAGE(s.ok(), s.status().message());
  CHECK(s->solver == FlowSolver::kUniPc);
  CHECK(s->order == 2);
  CHECK(s->unipc_b == UniPcB::kBh2);
  CHECK(s->shift == 3);
  CHECK(s->last == 0.001);
  CHECK(s->train_steps == 1000);
  CHECK_FALSE(s->reaches_last);
}

TEST_CASE("flow Euler and DPM-Solver++ are read with their own sigmas") {
  const auto euler = read({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 5.0}});
  REQUIRE_MESSAGE(euler.ok(), euler.status().message());
  CHECK(euler->reaches_last);
  CHECK(euler->last == doctest::Approx(0.005 / 1.004));
  CHECK(euler->train_steps == 0);
  const auto dpm = read({{"_class_name", "DPMSolverMultistepScheduler"},
                         {"prediction_type", "flow_prediction"},
                         {"use_flow_sigmas", true},
                         {"flow_shift", 3.0}});
  REQUIRE_MESSAGE(dpm.ok(), dpm.status().message());
  CHECK(dpm->solver == FlowSolver::kDpmpp2m);
  CHECK(dpm->first == 0.999);
}

TEST_CASE("infinities, as diffusers writes them, are passed over or refused by name") {
  const auto dpm = [](const std::string& more) {
    return read_text(R"({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": true,
      "prediction_type": "flow_prediction", "beta_schedule": "NaN \" -Infinity", )" +
                     more + "}");
  };
  const auto good = dpm(R"("lambda_min_clipped": -Infinity)");
  REQUIRE_MESSAGE(good.ok(), good.status().message());
  CHECK(good->solver == FlowSolver::kDpmpp2m);
  for (const char* number : {"Infinity", "-Infinity", "NaN"}) {
    const auto bad = dpm(std::string("\"flow_shift\": ") + number);
    REQUIRE_FALSE(bad.ok());
    CHECK(bad.status().message().find("flow_shift") != std::string::npos);
  }
}

TEST_CASE("a shift that follows the size is read with its line") {
  for (const char* type : {"exponential", "linear"}) {
    const auto s = read({{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                         {"use_dynamic_shifting", true},
                         {"time_shift_type", type},
                         {"base_shift", 0.95},
                         {"max_shift", 2.05},
                         {"base_image_seq_len", 1024},
                         {"max_image_seq_len", 4097},
                         {"shift_terminal", 0.1}});
    REQUIRE_MESSAGE(s.ok(), s.status().message());
    CHECK((s->shift_by == FlowShift::kLinear) == (type == std::string("linear")));
    CHECK(s->base_shift == 0.95);
    CHECK(s->max_shift == 2.05);
    CHECK(s->base_tokens == 1024);
    CHECK(s->max_tokens == 4097);
    CHECK(s->terminal == 0.1);
    CHECK(s->last == 0.001);
  }
  Json json = wan();
  json["use_dynamic_shifting"] = true;
  const auto unipc = read(json);
  REQUIRE(unipc.ok());
  CHECK(unipc->shift_by == FlowShift::kExponential);
  json["base_image_seq_len"] = 5000;
  CHECK(read(json).status().message().find("base_image_seq_len") != std::string::npos);
}

TEST_CASE("what would change samples is refused by name") {
  const std::pair<const char*, Json> cases[] = {{"use_flow_sigmas", false},
                                                {"prediction_type", "epsilon"},
                                                {"predict_x0", false},
                                                {"lower_order_final", false},
                                                {"final_sigmas_type", "sigma_min"},
                                                {"solver_order", 4},
                                                {"solver_type", "bh3"},
                                                {"use_karras_sigmas", true},
                                                {"time_shift_type", "quadratic"},
                                                {"shift_terminal", 1.5},
                                                {"thresholding", true},
                                                {"disable_corrector", {0}},
                                                {"_class_name", "LCMScheduler"},
                                                {"flow_shift", -1},
                                                {"surprise", 1}};
  for (const auto& [key, value] : cases) {
    Json json = wan();
    json[key] = value;
    const auto s = read(json);
    CAPTURE(key);
    REQUIRE_FALSE(s.ok());
    CHECK_MESSAGE(s.status().message().find(key) != std::string::npos, s.status().message());
  }
}
