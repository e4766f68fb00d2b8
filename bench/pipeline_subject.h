// Generation from a model file, from prompt to a file, by phase: the second request and those after
// of an engine that lives.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "bench/subject.h"
#include "runtime/engine/engine.h"

namespace zoetrope::bench {

struct PipelineCase {
  std::string path;    // of the model
  std::string prompt;  // empty: one of ours
  int64_t count = 1;   // pictures, of models of classes
  ClipRequest clip;
  int steps = 0;  // 0: the recipe's
  int64_t budget = 0;
  DeviceOptions devices;
  bool smallest = false;  // the least size that the recipe takes, two steps
  std::function<bool()> stop;
};

class PipelineSubject : public Subject {
 public:
  // Opens the model: errors are the file's.
  static Result<std::unique_ptr<Subject>> create(BenchDevice* device, const PipelineCase& c,
                                                 DType compute);
  Result<int64_t> bytes() override;
  double estimate(double, double) const override { return estimated_; }
  Status prepare() override;
  Result<double> sample() override;
  // Rows of the phases beside that of the whole.
  Status finish(std::vector<Row>* more) override;
  void release() override;

 private:
  explicit PipelineSubject(const PipelineCase& c) : case_(c) {}
  Status make_request(DType compute);
  Status plan();
  Row part(const std::string& name, const std::vector<double>& seconds) const;

  const PipelineCase case_;
  std::unique_ptr<Engine> engine_;
  Request request_;
  std::string base_;  // of the rows' names: "toybox 128x128x32"
  ClipShape shape_;
  int steps_ = 0;
  double estimated_ = 0;
  bool warm_ = false;
  // By sample after the first: the whole, and the phases as the engine names them.
  std::vector<double> first_step_, step_, decode_;
  std::map<std::string, std::vector<double>> phases_;
  std::vector<std::string> order_;
  double load_ = 0;
};

}  // namespace zoetrope::bench
