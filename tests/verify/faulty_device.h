// A device that breaks one thing: what `verify` must find. It lives in tests alone, so that nobody
// can meet it by accident: everything but the fault is the device inside.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/backend/backend.h"

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

class FaultyDevice : public Device {
 public:
  // Breaks the first call whose label has `where` in it. `victim`: of whose output kOverwrites
  // writes into the first element.
  FaultyDevice(std::unique_ptr<Device> inner, Fault fault, std::string where,
               std::string victim = "");

  const DeviceInfo& info() const override { return info_; }
  int64_t alignment() const override { return inner_->alignment(); }
  Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) override {
    return inner_->allocate(bytes);
  }
  int64_t allocated_bytes() const override { return inner_->allocated_bytes(); }
  Result<std::unique_ptr<Buffer>> allocate_host(int64_t bytes) override {
    return inner_->allocate_host(bytes);
  }
  Result<std::unique_ptr<Buffer>> wrap_host(const void*, int64_t) override {
    return error(Code::kUnsupported, "memory of its own");
  }
  Status upload(BufferView dst, const void* src) override { return inner_->upload(dst, src); }
  Status download(void* dst, BufferView src) override { return inner_->download(dst, src); }
  Status copy(BufferView dst, BufferView src) override { return inner_->copy(dst, src); }
  Status upload_beside(BufferView dst, BufferView src, const Order& order) override;
  Result<std::unique_ptr<Fence>> create_fence() override { return inner_->create_fence(); }
  Result<KernelInfo> query_kernel(const KernelRequest& request) override;
  Status pack(const KernelRequest& request, const PackedInput& packed, const HostTensor& tensor,
              BufferView to) override;
  Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request) override {
    return inner_->create_kernel(request);
  }
  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override {
    return std::unique_ptr<Sequence>(new CallList(calls));
  }
  Status submit(Sequence& sequence, const Order& order) override;
  Status wait() override { return inner_->wait(); }

  // What was broken: the call's label, or the copy. Empty: nothing yet.
  const std::string& broken() const { return broken_; }

 private:
  Status run(const KernelCall& call);
  Status run_broken(const KernelCall& call);
  bool is_target(const KernelCall& call);

  std::unique_ptr<Device> inner_;
  const Fault fault_;
  const std::string where_, victim_name_;
  DeviceInfo info_;
  std::string broken_;
  int runs_ = 0;
  std::map<std::pair<Buffer*, int64_t>, Buffer*> slots_;  // where copies came from, by place
  BufferView victim_;
};

}  // namespace zoetrope
