#include "bench/peer_subject.h"

#include <algorithm>

#include "bench/op_timer.h"

namespace zoetrope::bench {

PeerSubject::PeerSubject(BenchDevice* on, const PeerModule* module, const OpCase& c)
    : module_(module), case_(c) {
  device = on;
  row = op_row(c, module->name, on->id);
}

Result<int64_t> PeerSubject::bytes() { return static_cast<int64_t>(2 * row.bytes); }

Status PeerSubject::prepare() {
  ZT_ASSIGN_OR_RETURN(call_, module_->prepare(case_, device->threads));
  ZT_RETURN_IF_ERROR(call_->run());
  constexpr double kSample = 2e-3, kMost = 10000;  // as ours on the host
  const double begin = now_seconds();
  ZT_RETURN_IF_ERROR(call_->run());
  const double one = std::max(now_seconds() - begin, 1e-7);
  row.calls = static_cast<int64_t>(std::clamp(kSample / one + 1, 1.0, kMost));
  return Status();
}

Result<double> PeerSubject::sample() {
  const double begin = now_seconds();
  for (int64_t i = 0; i < row.calls; ++i) ZT_RETURN_IF_ERROR(call_->run());
  return (now_seconds() - begin) / static_cast<double>(row.calls);
}

}  // namespace zoetrope::bench
