#include "backends/cuda/capabilities.h"

#include <doctest/doctest.h>

namespace zoetrope::cuda {

TEST_CASE("words switch features off") {
  const auto some = parse_switches("no-wgmma,no-graph");
  REQUIRE(some.ok());
  CHECK(some->no_wgmma);
  CHECK(some->no_graph);
  CHECK_FALSE(some->no_mma);
  REQUIRE(parse_switches("").ok());

  Capabilities caps;
  caps.architecture = 90;
  CHECK(caps.wgmma());
  caps.switches = *parse_switches("no-mma");
  CHECK_FALSE(caps.wgmma());
  CHECK_FALSE(caps.mma());
  caps.switches = {};
  for (int architecture : {80, 89, 100, 120}) {
    caps.architecture = architecture;
    CHECK_FALSE(caps.wgmma());
    CHECK(caps.mma());
  }
}

TEST_CASE("an unknown word is named, with those that exist") {
  const auto wrong = parse_switches("no-wgmma,no-such");
  REQUIRE_FALSE(wrong.ok());
  CHECK(wrong.status().code() == Code::kInvalidArgument);
  CHECK(wrong.status().message().find("'no-such'") != std::string::npos);
  CHECK(wrong.status().message().find("no-cublaslt") != std::string::npos);
}

TEST_CASE("kernels run on the devices that CUDA's rules name") {
  const std::string_view all = "80-real,89-real,90a-real,100,120";
  for (int device : {80, 86, 87, 89, 90, 100, 103, 110, 120, 121, 130}) {
    CAPTURE(device);
    CHECK(has_kernels(all, device));
  }
  CHECK_FALSE(has_kernels(all, 75));
  CHECK_FALSE(has_kernels("100-real,120", 110));  // later than machine code, earlier than the PTX
  CHECK(has_kernels("90a-real", 90));
  for (int device : {80, 89, 100, 120}) CHECK_FALSE(has_kernels("90a-real", device));
  CHECK_FALSE(has_kernels("90a", 100));
  CHECK_FALSE(has_kernels("89-real", 86));
  CHECK(has_kernels("80", 120));
  CHECK(has_kernels("80-virtual", 90));
  CHECK_FALSE(has_kernels("", 90));
}

TEST_CASE("CUDA's errors become ours") {
  CHECK(check(cudaSuccess, "x").ok());
  const Status memory = check(cudaErrorMemoryAllocation, "allocating 5 bytes");
  CHECK(memory.code() == Code::kResourceExhausted);
  CHECK(memory.message().find("allocating 5 bytes") != std::string::npos);
  const Status foreign = check(cudaErrorNoKernelImageForDevice, "launching");
  CHECK(foreign.message().find("ZOETROPE_CUDA_ARCHITECTURES") != std::string::npos);
  const Status lost = check(cudaErrorIllegalAddress, "running kernels");
  CHECK(lost.code() == Code::kUnavailable);
  CHECK(lost.message().find("lost") != std::string::npos);
}

}  // namespace zoetrope::cuda
