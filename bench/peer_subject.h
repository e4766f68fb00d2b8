// A peer's op on the host's processor, beside ours.
#pragma once

#include <memory>

#include "bench/peer_module.h"
#include "bench/subject.h"

namespace zoetrope::bench {

class PeerSubject : public Subject {
 public:
  PeerSubject(BenchDevice* device, const PeerModule* module, const OpCase& c);
  Result<int64_t> bytes() override;
  Status prepare() override;
  Result<double> sample() override;
  void release() override { call_.reset(); }

 private:
  const PeerModule* const module_;
  const OpCase case_;
  std::unique_ptr<PeerCall> call_;
};

}  // namespace zoetrope::bench
