// One call of a whole network with noise for weights, and where its time goes.
#pragma once

#include <memory>
#include <optional>

#include "bench/subject.h"
#include "bench/synthetic.h"
#include "runtime/component.h"

namespace zoetrope::bench {

class ModelSubject : public Subject {
 public:
  // `budget`: bytes on the device, weights are streamed to keep it; 0: none. The network is shared
  // by the subjects of a group.
  ModelSubject(BenchDevice* device, std::shared_ptr<const Network> network, DType compute,
               int64_t budget);

  Result<int64_t> bytes() override;
  Status prepare() override;
  // Of the phases of a step: what depends on the time, and the rest.
  Result<double> sample() override;
  Status finish(std::vector<Row>* more) override;
  void release() override;

 private:
  Status compile();
  Status set_inputs(Rate slowest);

  const std::shared_ptr<const Network> network_;
  const DType compute_;
  const int64_t budget_;
  uint64_t seed_ = 0;
  std::optional<Plan> plan_;
  std::unique_ptr<NoiseWeights> weights_;
  std::unique_ptr<WeightStore> store_;
  std::unique_ptr<Session> session_;
};

}  // namespace zoetrope::bench
