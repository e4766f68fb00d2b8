// Which device a name opens.
#include "runtime/backend/registry.h"

#include <doctest/doctest.h>

using namespace zoetrope;

TEST_CASE("every backend is listed, and one that cannot be used says why") {
  const auto all = list_backends();
  REQUIRE(all.size() == 4);
  for (const BackendStatus& backend : all) {
    CAPTURE(backend.name);
    CHECK(backend.status.ok() == !backend.devices.empty());
    CHECK(backend.status.ok() == backend.status.message().empty());
    for (const DeviceInfo& device : backend.devices) {
      CHECK_FALSE(device.name.empty());
      CHECK(device.unusable.empty() == (device.memory_bytes > 0));
    }
  }
}

TEST_CASE("a name that fits no device is refused with what there is") {
  const auto message = [](const char* spec, Code code) {
    const auto device = open_device(spec);
    REQUIRE_FALSE(device.ok());
    CHECK(device.status().code() == code);
    return device.status().message();
  };
  CHECK(message("abacus", Code::kInvalidArgument).find("cuda, vulkan, cpu") != std::string::npos);
  CHECK(message("reference:1", Code::kUnavailable).find("0 double") != std::string::npos);
  CHECK(message("reference:-1", Code::kUnavailable).find("no such number") != std::string::npos);
  CHECK(message("reference:radeon", Code::kInvalidArgument).find("0 double") != std::string::npos);
  CHECK(message("reference:", Code::kInvalidArgument).find("expected") != std::string::npos);
  for (const char* spec : {"reference", "reference:0", "reference:DOUBLE arith"})
    CHECK(open_device(spec).ok());
}
