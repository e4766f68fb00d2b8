// A device that breaks one thing: what `verify` must find. It lives in tests alone, so that nobody
// can meet it by accident: everything but the fault is the device inside.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/forwarding_device.h"

namespace zoetrope {

enum class Fault {
  kScaled,            // a kernel's results are 1% too large
  kTile,              // 8 by 8 elements of a result are wrong
  kWeightBit,         // one bit of a packed weight is flipped
  kStaleSlot,         // one copy of a streamed weight does not happen
  kMaskEdge,          // attention does not see the last key that it should
  kSwappedRows,       // two rows of a result change places
  kLostLast,          // the last element of a result is not written
  kOverflow,          // what is above half of the largest value becomes infinite, as in f16
  kUnwritten,         // the result depends on what lay in the workspace
  kNotDeterministic,  // the last bits differ from run to run
  kOverwrites,        // a kernel writes into another value's memory
  kChangesInput,      // a kernel writes into its input
};

class FaultyDevice : public ForwardingDevice {
 public:
  // Breaks the first call whose label has `where` in it. `victim`: of whose output kOverwrites
  // writes into the first element.
  FaultyDevice(std::unique_ptr<Device> inner, Fault fault, std::string where,
               std::string victim = "");

  Status upload_beside(BufferView dst, BufferView src, const Order& order) override;
  Result<KernelInfo> query_kernel(const KernelRequest& request) override;
  Status pack(const KernelRequest& request, const PackedInput& packed, const HostTensor& tensor,
              BufferView to) override;
  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override {
    return std::unique_ptr<Sequence>(new CallList(calls));
  }
  Status submit(Sequence& sequence, const Order& order) override;

  // What was broken: the call's label, or the copy. Empty: nothing yet.
  const std::string& broken() const { return broken_; }

 private:
  Status run(const KernelCall& call);
  Status run_broken(const KernelCall& call);
  bool is_target(const KernelCall& call);

  const Fault fault_;
  const std::string where_, victim_name_;
  std::string broken_;
  int runs_ = 0;
  std::map<std::pair<Buffer*, int64_t>, Buffer*> slots_;  // where copies came from, by place
  BufferView victim_;
};

}  // namespace zoetrope
