// `zoetrope bench` without its flags: what is asked for, to a report.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bench/pipeline_subject.h"
#include "bench/result.h"
#include "bench/runner.h"
#include "bench/subject.h"
#include "bench/synthetic.h"

namespace zoetrope::bench {

struct PeerModule;

struct BenchOptions {
  bool ops = false, models = false, pipelines = false;  // none: all
  std::vector<std::string> networks;   // of ops and models: names of synthetic.h; empty: some
  std::vector<PipelineCase> requests;  // of pipelines: a model file each
  std::vector<std::string> devices;    // as open_device takes them; empty: all that are usable
  std::vector<DType> dtypes;           // empty: what each device is made for
  std::vector<int64_t> tokens;         // empty: by device
  Bindings set;                        // symbols of networks
  int attention_bits = 0;              // 8: networks in fewer than 32 bits also with attention so
  int64_t budget = 0;                  // bytes on the device, of models and pipelines
  std::vector<std::string> filters;    // a case's name contains one of them; empty: all
  std::vector<std::string> peers;      // modules; those that are missing are an error
  bool quick = false;                  // small shapes, three rounds: seconds in all
  DeviceOptions device;
  int rounds = 0;                   // 0: nine, or three
  double seconds = -1, limit = -1;  // as RunnerOptions; negative: by kind
  std::function<void(const std::string&, size_t, size_t)> progress;
  std::function<bool()> stop;
};

class Bench {
 public:
  // Opens devices and lists what will be timed. Errors are of flags, files and devices.
  static Result<std::unique_ptr<Bench>> create(BenchOptions options);

  // The cases, without times.
  Report list() const;
  // Everything once. What was measured before `stop` is there, and complete is false.
  Report measure();
  // The groups of these rows once more; of each row the better median stays.
  void measure_again(const std::vector<const Row*>& rows, Report* report);

 private:
  explicit Bench(BenchOptions options) : o_(std::move(options)) {}
  Status open_devices();
  Status add_ops(BenchDevice* device, DType dtype);
  Status add_models(BenchDevice* device, DType dtype);
  Status add_pipelines(BenchDevice* device, DType dtype);
  void add(const std::string& key, std::unique_ptr<Subject> subject);
  std::vector<DType> dtypes_of(const BenchDevice& device, bool networks) const;
  Result<DType> compute_beside(DType dtype) const;
  std::vector<int64_t> tokens_of(const BenchDevice& device) const;
  std::vector<std::string> networks_of(const BenchDevice& device, bool ops) const;
  Result<std::shared_ptr<const Network>> network(const std::string& name, int64_t tokens);
  RunnerOptions runner_options(const std::string& kind) const;
  void describe(Report* report) const;

  const BenchOptions o_;
  std::vector<std::unique_ptr<BenchDevice>> devices_;
  std::vector<const PeerModule*> peers_;
  std::map<std::pair<std::string, int64_t>, std::shared_ptr<const Network>> networks_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::map<std::string, size_t> by_key_;
  std::set<std::string> seen_, left_out_;
};

}  // namespace zoetrope::bench
