// Tensors larger than what one binding, one allocation or 31 bits of bytes hold.
#include <doctest/doctest.h>

#include <vector>

#include "graph/op.h"
#include "runtime/backend/registry.h"
#include "tests/devices.h"

using namespace zoetrope;

namespace {

constexpr int64_t kBlock = int64_t{8} << 20;  // elements

// A normal bf16 number that differs from its neighbours and from those a power of two away.
uint16_t element(int64_t i) {
  const auto mixed = static_cast<uint64_t>(i + 1) * 0x9E3779B97F4A7C15ull;
  return static_cast<uint16_t>((mixed >> 40 & 0x0fff) | 0x3000);
}

// −x over `count` elements of bf16: every element is written, and only once.
void negate(const std::string& backend, const std::string& target, int64_t count) {
  auto device = open_device(backend, {.threads = 0, .force_target = target});
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  const TensorType type{DType::kBF16, {count}};
  Node node;
  node.op = OpKind::kNeg;
  node.inputs = {0};
  KernelRequest request{&node, {&type}, {&type}, {false}};
  auto kernel = (*device)->create_kernel(request);
  REQUIRE_MESSAGE(kernel.ok(), kernel.status().message());
  // One buffer for both, the output after the input: like an arena.
  auto buffer = (*device)->allocate(2 * type.bytes());
  if (!buffer.ok() && buffer.status().code() == Code::kResourceExhausted) {
    skip(std::string(buffer.status().message()));
    return;
  }
  REQUIRE(buffer.ok());
  std::vector<uint16_t> block(static_cast<size_t>(kBlock));
  for (int64_t at = 0; at < count; at += kBlock) {
    const int64_t n = std::min(kBlock, count - at);
    for (int64_t i = 0; i < n; ++i) block[static_cast<size_t>(i)] = element(at + i);
    REQUIRE((*device)->upload({buffer->get(), 2 * at, 2 * n}, block.data()).ok());
  }
  const BufferView input{buffer->get(), 0, type.bytes()};
  const BufferView output{buffer->get(), type.bytes(), type.bytes()};
  KernelCall call;
  call.kernel = kernel->get();
  call.args = {{&input, 1}, {&output, 1}, {}};
  call.label = "negate";
  const Status ran = run_once(**device, {&call, 1});
  REQUIRE_MESSAGE(ran.ok(), ran.message());
  int64_t wrong = 0;
  for (int64_t at = 0; at < count; at += kBlock) {
    const int64_t n = std::min(kBlock, count - at);
    REQUIRE((*device)->download(block.data(), {buffer->get(), type.bytes() + 2 * at, 2 * n}).ok());
    for (int64_t i = 0; i < n; ++i)
      wrong += block[static_cast<size_t>(i)] != (element(at + i) ^ 0x8000);
  }
  CHECK_MESSAGE(wrong == 0, wrong, " of ", count, " elements are wrong on ", backend, " ", target);
}

}  // namespace

TEST_CASE("cpu: a tensor of more than 2 GiB") {
  if (needs_device("cpu")) negate("cpu", "", (int64_t{1} << 30) + 100'128);
}

TEST_CASE("vulkan: a tensor of more than 2 GiB") {
  if (needs_device("vulkan")) negate("vulkan", "", (int64_t{1} << 30) + 100'128);
}

TEST_CASE("cuda: a tensor of more than 2 GiB") {
  if (needs_device("cuda")) negate("cuda", "", (int64_t{1} << 30) + 100'128);
}

TEST_CASE("vulkan: a tensor of more bytes than one binding takes") {
  if (needs_device("vulkan")) negate("vulkan", "baseline", (int64_t{70} << 20) + 128);
}

TEST_CASE("vulkan: a tensor over many allocations") {
  if (!needs_device("vulkan")) return;
  negate("vulkan", "segment=1048576", (int64_t{20} << 20) + 384);
  negate("vulkan", "sparse=1048576", (int64_t{20} << 20) + 384);
  negate("vulkan", "baseline,segment=8388608", (int64_t{20} << 20) + 384);
}
