// One call of a whole network with noise for weights, and where its time goes.
#pragma once

#include <memory>
#include <optional>

#include "bench/subject.h"
#include "bench/synthetic.h"
#include "graph/passes/quantize.h"
#include "runtime/component.h"

namespace zoetrope::bench {

class ModelSubject : public Subject {
 public:
  // `products`: i8 or f8e4m3 quantises the network as `zoetrope quantize` does, so that products of
  // activations are of 8 bits and the rest is of `compute`; else it is `compute` itself.
  // `attention_bits`: 8 lets attention be of 8 bits; else 0. `budget`:
  // bytes on the device, weights are streamed to keep it; 0: none. The network is shared by the
  // subjects of a group.
  ModelSubject(BenchDevice* device, std::shared_ptr<const Network> network, DType products,
               DType compute, int attention_bits, int64_t budget);

  Result<int64_t> bytes() override;
  Status prepare() override;
  // Of the phases of a step: what depends on the time, and the rest.
  Result<double> sample() override;
  Status finish(std::vector<Row>* more) override;
  void release() override;

 private:
  Status compile();
  Status set_inputs(Rate slowest);
  const WeightSource& weights() const;

  const std::shared_ptr<const Network> network_;
  const DType products_, compute_;
  const int attention_bits_;
  const int64_t budget_;
  uint64_t seed_ = 0;
  std::optional<Plan> plan_;
  std::unique_ptr<NoiseWeights> noise_;
  std::unique_ptr<QuantizedWeights> quantized_;  // reads noise_
  std::unique_ptr<WeightStore> store_;
  std::unique_ptr<Session> session_;
};

}  // namespace zoetrope::bench
