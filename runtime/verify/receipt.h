// What made a clip, and digests of everything on the way: enough to make it again and to say where
// another run first differs. JSON; travels in the clip and beside it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine/request_plan.h"
#include "runtime/engine/request_record.h"
#include "runtime/verify/stage_log.h"

namespace zoetrope {

inline constexpr int64_t kReceiptSamples = 8;  // elements kept of each value, for rough comparisons
inline constexpr size_t kMaxReceiptBytes = 16 << 20;
inline constexpr char kReceiptTag[] = "receipt";  // the name of the clip's tag

struct ReceiptJob {
  std::string name, component;
  std::string device;  // "cpu": as the job's device was asked for
  std::string device_name;
  std::string plan;  // plan_fingerprint()
};

struct Receipt {
  std::string software;  // "Zoetrope 0.1.0"
  int64_t numerics = 0;  // kNumericsVersion
  RequestRecord request;
  std::vector<ReceiptJob> jobs;
  std::vector<StageRecord> stages;
  // Of later models that made the clip larger and that made its sound: one each, without later ones
  // of its own; empty: there was none.
  std::vector<Receipt> upsampled = {}, sound = {};
};

// Nodes, their types, kernels and the layouts of weights: what decides the bits that a plan
// computes on its device.
std::string plan_fingerprint(const Plan& plan);

// `stages`: of a StageLog with kReceiptSamples.
Receipt make_receipt(const std::string& software, RequestRecord request, const RequestPlan& plan,
                     std::vector<StageRecord> stages);

std::string receipt_to_json(const Receipt& receipt);
// Strict: kDataLoss names what is wrong.
Result<Receipt> parse_receipt(std::string_view json, const std::string& origin = "receipt");

// Where `again` first differs from `before`.
struct ReceiptComparison {
  bool same = true;
  std::string text;  // one line a stage, and what may explain the first difference
};
ReceiptComparison compare_receipts(const Receipt& before, const Receipt& again);

}  // namespace zoetrope
