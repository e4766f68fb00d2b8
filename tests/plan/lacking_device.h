// A device without kernels for some ops, for tests of what runs on the host instead. Its memory is
// out of the host's reach, as a GPU's is.
#pragma once

#include <memory>
#include <set>
#include <utility>

#include "tests/support/forwarding_device.h"

namespace zoetrope {

class Lacking : public ForwardingDevice {
 public:
  Lacking(std::unique_ptr<Device> inner, std::set<OpKind> lacks)
      : ForwardingDevice(std::move(inner)), lacks_(std::move(lacks)) {
    info_.host_memory = false;
    info_.name = "lacking";
  }

  Result<KernelInfo> query_kernel(const KernelRequest& request) override {
    if (lacks_.contains(request.node->op)) return error(Code::kUnsupported, "lacking");
    return ForwardingDevice::query_kernel(request);
  }

 private:
  std::set<OpKind> lacks_;
};

}  // namespace zoetrope
