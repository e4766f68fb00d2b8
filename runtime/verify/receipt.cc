#include "runtime/verify/receipt.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "graph/format/hash.h"
#include "graph/json_reader.h"
#include "graph/json_writer.h"
#include "runtime/engine/devices.h"
#include "runtime/verify/numerics.h"

namespace zoetrope {

template <typename V>
void fields(V& v, ReceiptJob& j) {
  v.name("name", &j.name);
  v.name("component", &j.component);
  v.name("device", &j.device);
  v.text("device_name", &j.device_name, kMaxName);
  v.name("plan", &j.plan);
}

template <typename V>
void fields(V& v, StageRecord& s) {
  constexpr int64_t kMost = int64_t{1} << 46;
  v.name("stage", &s.stage);
  v.name("name", &s.name);
  v.integer("step", &s.step, 0, 1 << 20);
  v.name("digest", &s.sketch.digest);
  v.require(is_digest(s.sketch.digest), "digest", "\"xxh3:\" and 16 hexadecimal digits");
  v.integer("elements", &s.sketch.elements, 0, kMost);
  v.number("rms", &s.sketch.rms, 0, 1e300);
  v.numbers("samples", &s.sketch.samples, kReceiptSamples, -1e300, 1e300);
}

template <typename V>
void own_fields(V& v, Receipt& r) {
  v.name("software", &r.software);
  v.integer("numerics", &r.numerics, 1, 1 << 30);
  v.object("request", &r.request);
  v.objects("jobs", &r.jobs, 4096);
  v.objects("stages", &r.stages, 1 << 16);
}

struct LaterReceipt {
  Receipt held;
};
template <typename V>
void fields(V& v, LaterReceipt& s) {
  own_fields(v, s.held);
}
template <typename V>
void later_field(V& v, const char* key, std::vector<Receipt>* receipts) {
  LaterReceipt later;
  if (!receipts->empty()) later.held = (*receipts)[0];
  v.optional_object(key, &later, !receipts->empty());
  if (!later.held.software.empty()) *receipts = {std::move(later.held)};
}

template <typename V>
void fields(V& v, Receipt& r) {
  own_fields(v, r);
  later_field(v, "upsampled", &r.upsampled);
  later_field(v, "sound", &r.sound);
}

std::string plan_fingerprint(const Plan& plan) {
  std::string text;
  for (const PlanCall& call : plan.calls) {
    const Node& node = plan.graph.nodes[static_cast<size_t>(call.node)];
    text += str(describe(plan.graph, node), " ", call.kernel.name, call.on_host ? " host" : "");
    for (const auto& [name, value] : node.attrs.items())
      text += str(" ", name, "=", attr_to_string(value));
    for (const PackedInput& packed : call.kernel.packed) text += " " + packed.layout;
    text += "\n";
  }
  return digest_text(hash_bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
}

Receipt make_receipt(const std::string& software, RequestRecord request, const RequestPlan& plan,
                     std::vector<StageRecord> stages) {
  Receipt receipt;
  receipt.software = software;
  receipt.numerics = kNumericsVersion;
  receipt.request = std::move(request);
  for (const Job& job : plan.jobs) {
    const DeviceInfo& device = job.device->info();
    receipt.jobs.push_back({job.name, job.component, job.device->spec(),
                            device.hardware.empty() ? device.name : device.hardware,
                            plan_fingerprint(*job.plan)});
  }
  receipt.stages = std::move(stages);
  for (StageRecord& stage : receipt.stages) {  // JSON knows no infinity
    for (double& v : stage.sketch.samples)
      v = std::isfinite(v) ? std::clamp(v, -1e300, 1e300) : 1e300;
    stage.sketch.rms = std::min(stage.sketch.rms, 1e300);
  }
  return receipt;
}

std::string receipt_to_json(const Receipt& receipt) {
  JsonWriter writer;
  Receipt copy = receipt;
  fields(writer, copy);
  return writer.json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Receipt> parse_receipt(std::string_view text, const std::string& origin) {
  if (text.size() > kMaxReceiptBytes)
    return error(Code::kDataLoss, origin, ": ", text.size(), " bytes; at most ", kMaxReceiptBytes);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(Code::kDataLoss, origin, " is not JSON");
  JsonReader reader(json, origin);
  Receipt receipt;
  fields(reader, receipt);
  ZT_RETURN_IF_ERROR(reader.finish());
  return receipt;
}

namespace {

std::string off_text(double relative) {
  if (std::isinf(relative)) return "not comparable";
  char text[64];
  std::snprintf(text, sizeof(text), "off by about %.2g", relative);
  return text;
}

// What else is different, in the order in which it could be the reason.
std::string reasons(const Receipt& before, const Receipt& again) {
  std::string text;
  const auto add = [&](const std::string& line) { text += "    " + line + "\n"; };
  if (before.numerics != again.numerics)
    add(str("numerics version ", before.numerics, ", now ", again.numerics,
            ": bits changed on purpose, CHANGELOG.md says where"));
  if (before.software != again.software)
    add(str("made by ", before.software, ", now ", again.software));
  if (before.request.model.digest != again.request.model.digest) add("another model file");
  for (const ReceiptJob& job : again.jobs) {
    const auto old = std::find_if(before.jobs.begin(), before.jobs.end(),
                                  [&](const ReceiptJob& j) { return j.name == job.name; });
    if (old == before.jobs.end()) {
      add(str("'", job.name, "' was not run then"));
    } else if (old->device_name != job.device_name) {
      add(str("'", job.name, "' ran on ", old->device, " (", old->device_name, "), now on ",
              job.device, " (", job.device_name, ")"));
    } else if (old->plan != job.plan) {
      add(str("'", job.name, "' has another plan: kernels, shapes or layouts changed"));
    }
  }
  if (text.empty()) add("nothing else is different: the device or a file on the way is at fault");
  return text;
}

}  // namespace

namespace {

ReceiptComparison compare_own(const Receipt& before, const Receipt& again) {
  ReceiptComparison result;
  for (const StageRecord& now : again.stages) {
    const auto then = std::find_if(
        before.stages.begin(), before.stages.end(),
        [&](const StageRecord& s) { return s.stage == now.stage && s.name == now.name; });
    const std::string what = now.stage == now.name ? now.stage : now.stage + ", " + now.name;
    if (then == before.stages.end()) {
      result.same = false;
      result.text += what + ": not in the receipt\n";
    } else if (then->sketch.digest == now.sketch.digest) {
      result.text += what + ": the same bits\n";
    } else {
      const bool sampled = !now.sketch.samples.empty();
      result.text +=
          str(result.same ? "FIRST DIFFERENCE: " : "", what, ": ",
              sampled ? off_text(relative_difference(now.sketch, then->sketch)) : "other bits",
              "\n", result.same ? reasons(before, again) : "");
      result.same = false;
    }
  }
  for (const StageRecord& then : before.stages)
    if (std::none_of(again.stages.begin(), again.stages.end(), [&](const StageRecord& s) {
          return s.stage == then.stage && s.name == then.name;
        })) {
      result.same = false;
      result.text += str(then.stage, ", ", then.name, ": in the receipt, not made now\n");
    }
  return result;
}

}  // namespace

ReceiptComparison compare_receipts(const Receipt& before, const Receipt& again) {
  ReceiptComparison result = compare_own(before, again);
  const auto compare_later = [&](const char* what, const std::vector<Receipt>& then,
                                 const std::vector<Receipt>& now) {
    if (then.empty() || now.empty()) return;
    const ReceiptComparison later = compare_own(then[0], now[0]);
    result.same = result.same && later.same;
    result.text += str(what, ", by another model:\n", later.text);
  };
  compare_later("the larger clip", before.upsampled, again.upsampled);
  compare_later("the sound", before.sound, again.sound);
  result.text += result.same ? "the clip is the same, bit for bit, at every stage\n" : "";
  return result;
}

}  // namespace zoetrope
