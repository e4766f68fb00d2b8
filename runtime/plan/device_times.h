// How long a device takes: measured points of kernels, and rates of what goes on beside them.
// Between points it interpolates; without any it knows the rough rates that the device tells of
// itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"
#include "runtime/backend/backend.h"

namespace zoetrope {

// One call of a kernel: what of it decides the time, and the time.
struct KernelPoint {
  std::string op, kernel;  // "matmul", "matmul_f32_bf16_..."
  std::string types;       // of inputs and outputs: "f32 bf16 -> f32"
  uint64_t signature = 0;  // of kernel_signature()
  double flops = 0, bytes = 0;
  double inner = 1, outer = 1;  // innermost extents of the first input and the first output
  double seconds = 0;           // within a long sequence; 0: not known

  bool gives_narrow() const;  // floats and integers of 16 bits and fewer: another rate
};

KernelPoint kernel_point(const KernelRequest& request, std::string_view kernel, const Cost& cost);

// 0 of none.
double median(std::vector<double> values);

// How unlike two points of one op are, in powers of two of what decides their time.
double point_distance(const KernelPoint& a, const KernelPoint& b);

// Beside kernels; 0: not known.
struct DeviceRates {
  double start_seconds = 0;         // before a process' first product: libraries load their code
  double run_seconds = 0;           // submitting a sequence and waiting for it
  double create_seconds = 0;        // making one kernel whose code is loaded
  double record_seconds = 0;        // a call's share of making a sequence ready
  double upload = 0, download = 0;  // bytes a second, from memory that is not pinned
  double upload_seconds = 0, download_seconds = 0;  // of a copy, whatever its size
  double stream = 0;                // from pinned memory, beside the arithmetic
  double pin = 0;                   // taking pinned memory and copying into it
  double pack = 0;                  // of weights into the layouts of kernels
  double make = 0;                  // of weights that no file has, by one thread of the host
};

// What kernels of one name take beyond that when a process first uses them: code is loaded or made.
struct CodeTime {
  double first = 0;    // seconds of the first kernel
  double further = 0;  // mean of the others, which may share its code
  double others = 0;   // how many were measured
};

// Calls that follow each other in a network beside the same calls alone: some run side by side,
// some wait, and long work brings clocks down. Of short calls in another way than of long ones.
struct SequencePoint {
  uint64_t network = 0;     // of network_of() (estimate.h): its ops and types, of any size
  double mean_seconds = 0;  // of a call, alone
  double factor = 1;        // of the time of all calls
};

// Plain data. Not thread safe while it changes.
class DeviceTimes {
 public:
  // Only what `info` says.
  explicit DeviceTimes(const DeviceInfo& info);

  // A point of the same signature is replaced. Beyond what parse() reads, new ones are left out.
  void add(KernelPoint point);
  void set_rates(const DeviceRates& rates) { rates_ = rates; }
  // `first`: the process had no kernel of that name before.
  void add_code(const std::string& kernel, bool first, double seconds);

  // Interpolated from points of the same op that are near in work, traffic and extents, or else
  // from rates; 0 where neither is known. `asked.seconds` does not matter.
  double seconds(const KernelPoint& asked) const;
  // The part of that in which the device has no room for other work, by the best rates known.
  double busy_seconds(const KernelPoint& asked) const;
  // The point of that signature; null: it was not measured.
  const KernelPoint* find(uint64_t signature) const;
  // How far away the nearest point of the same op is, in powers of two; infinite without any.
  double distance(const KernelPoint& asked) const;

  void add_sequence(SequencePoint point) { sequences_.push_back(point); }
  void clear_sequences() { sequences_.clear(); }
  // By what calls of that mean length take longer in a network than alone: as in that network at
  // other sizes, or else as in others; 1 where nothing is known.
  double sequence_factor(uint64_t network, double mean_seconds) const;

  // What a process spends once on `kernels` different ones of a name; as usual where it is unknown.
  double code_seconds(const std::string& kernel, int64_t kernels) const;

  const DeviceRates& rates() const { return rates_; }
  const std::vector<KernelPoint>& points() const { return points_; }
  bool measured() const { return !points_.empty(); }

  std::string to_json() const;
  // Of to_json(); whatever else it is given is an error.
  Status parse(std::string_view json);

 private:
  // By the best rates known.
  double bound(const KernelPoint& point) const;
  void find_bounds();
  void find_usual();

  DeviceRates rates_;
  double told_narrow_, told_wide_, told_bytes_;  // FLOP/s and bytes/s of DeviceInfo
  double narrow_, wide_, bytes_, least_;         // the best of all points; seconds of the shortest
  std::vector<KernelPoint> points_;              // sorted by op, then by signature
  std::map<std::string, CodeTime> codes_;        // by the kernel's name
  std::vector<SequencePoint> sequences_;
  CodeTime usual_;  // medians of codes_
};

}  // namespace zoetrope
