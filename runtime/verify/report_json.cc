#include <nlohmann/json.hpp>

#include "runtime/verify/verify.h"

namespace zoetrope {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Finding& f) {
  return {{"kind", finding_name(f.kind)},
          {"job", f.job},
          {"node", f.node},
          {"kernel", f.kernel},
          {"text", f.text}};
}

Json to_json(const TracedNode& n) {
  Json json = {{"call", n.call},
               {"run", n.run},
               {"name", n.name},
               {"op", n.op},
               {"node", n.node},
               {"kernel", n.kernel},
               {"rate", rate_name(n.rate)},
               {"judged", n.judged}};
  if (n.judged) {
    json["elements"] = n.error.elements;
    json["error_of_bound"] = n.error.ratio;
    json["error_units"] = n.error.units;
  }
  for (const auto& [name, sketch] : n.values)
    json["values"].push_back({{"name", name}, {"digest", sketch.digest}, {"rms", sketch.rms}});
  return json;
}

Json to_json(const DeviceReport& d) {
  Json json = {{"device", d.run.device},
               {"name", d.run.device_name},
               {"ok", d.ok()},
               {"seconds", d.seconds},
               {"judgements", d.judged()}};
  if (!d.status.ok()) json["error"] = d.status.message();
  json["findings"] = Json::array();
  for (const Finding& f : d.findings) json["findings"].push_back(to_json(f));
  json["stages"] = Json::array();
  for (const StageRecord& s : d.run.stages) {
    Json stage = {
        {"stage", s.stage}, {"name", s.name}, {"digest", s.sketch.digest}, {"rms", s.sketch.rms}};
    for (const StageDifference& off : d.stages)
      if (off.stage == s.stage && off.name == s.name) stage["difference"] = off.relative;
    json["stages"].push_back(std::move(stage));
  }
  if (d.quality.compared) {
    json["psnr"] = d.quality.psnr;
    json["ssim"] = d.quality.ssim;
    json["frame_psnr"] = d.quality.frame_psnr;
    if (d.quality.has_sound) json["snr"] = d.quality.snr;
  }
  json["values"] = Json::array();
  for (const ValueDifference& v : d.values)
    json["values"].push_back(
        {{"job", v.job}, {"run", v.run}, {"name", v.name}, {"difference", v.relative}});
  json["jobs"] = Json::array();
  for (const JobReport& job : d.jobs) {
    Json nodes = Json::array();
    for (const TracedNode& node : job.nodes) nodes.push_back(to_json(node));
    json["jobs"].push_back({{"name", job.name},
                            {"component", job.component},
                            {"plan", job.plan},
                            {"calls", job.calls},
                            {"nodes", std::move(nodes)}});
  }
  return json;
}

}  // namespace

std::string verify_report_to_json(const VerifyReport& report) {
  Json json = {{"ok", report.ok()},
               {"model", report.model},
               {"request", report.request},
               {"judged_by", report.judged_by},
               {"baseline", report.baseline},
               {"least_psnr", report.least_psnr},
               {"least_snr", report.least_snr},
               {"devices", Json::array()}};
  for (const DeviceReport& device : report.devices) json["devices"].push_back(to_json(device));
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace zoetrope
