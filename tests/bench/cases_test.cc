#include <doctest/doctest.h>

#include <set>

#include "bench/op_case.h"
#include "bench/synthetic.h"
#include "graph/elements.h"

namespace zoetrope::bench {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI8, DType::kF8E4M3};

std::vector<OpCase> all_cases(DType dtype) {
  std::vector<OpCase> all = every_op(dtype, 128);
  for (auto list : {odd_cases(dtype), special_cases(dtype), curve_cases(dtype, 512)})
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

TEST_CASE("every op has a case") {
  std::set<OpKind> seen;
  for (const DType dtype : {DType::kF32, DType::kI8})
    for (const OpCase& c : every_op(dtype, 128)) seen.insert(c.op);
  for (const OpKind op : all_ops()) CHECK_MESSAGE(seen.contains(op), op_def(op).name);
}

TEST_CASE("weights of 4 bits are made numbers in a case of their own") {
  std::set<int64_t> bits;
  for (const OpCase& c : every_op(DType::kI8, 128))
    if (c.op == OpKind::kDequantize) bits.insert(c.attrs.get_int("bits"));
  CHECK(bits == std::set<int64_t>{4, 8});
}

TEST_CASE("every case is a node that its op accepts, whatever the dtype") {
  for (const DType dtype : kDTypes)
    for (const OpCase& c : all_cases(dtype)) {
      const auto bound = BoundCase::create(c);
      CHECK_MESSAGE(bound.ok(), case_name(c), " ", dtype_name(dtype), ": ",
                    bound.status().message());
    }
}

TEST_CASE("names tell cases apart and say nothing of dtypes") {
  std::set<std::string> f32, bf16;
  for (const OpCase& c : every_op(DType::kF32, 128)) CHECK(f32.insert(case_name(c)).second);
  for (const OpCase& c : every_op(DType::kBF16, 128)) bf16.insert(case_name(c));
  CHECK(f32 == bf16);
  const OpCase c{OpKind::kLinear,
                 {{{DType::kF32, Shape{3, 5}}}, {{DType::kF32, Shape{7, 5}}, true}},
                 {{"transpose_b", true}, {"activation", std::string("gelu_tanh")}}};
  CHECK(case_name(c) == "fused_linear 3x5 7x5 activation=gelu_tanh transpose_b=true");
}

TEST_CASE("work is counted by the formulas that papers use") {
  for (const OpCase& c : curve_cases(DType::kF32, 512)) {
    const auto bound = BoundCase::create(c);
    REQUIRE(bound.ok());
    if (c.op == OpKind::kMatmul) CHECK((*bound)->cost().flops == 2.0 * 512 * 1536 * 1536);
    if (c.op == OpKind::kAttention)
      CHECK((*bound)->cost().flops == doctest::Approx(4.0 * 512 * 512 * 12 * 128).epsilon(0.05));
  }
}

TEST_CASE("operands are data that kernels work on") {
  const TensorType bf16{DType::kBF16, Shape{300, 100}};
  const std::vector<char> noise = random_tensor(bf16, 1);
  double sum = 0, most = 0;
  for (int64_t i = 0; i < bf16.shape.elements(); ++i) {
    const double v = load_element(DType::kBF16, noise.data(), i);
    sum += v, most = std::max(most, std::abs(v));
  }
  CHECK(most <= 1);
  CHECK(most > 0.9);
  CHECK(std::abs(sum) < 0.05 * 30000);
  // A gather that reads one row again and again would be timed from a cache.
  for (const OpCase& c : every_op(DType::kF32, 128)) {
    if (c.op != OpKind::kGather) continue;
    const auto bound = BoundCase::create(c);
    REQUIRE(bound.ok());
    const std::vector<char> indices = operand_data(**bound, 1);
    std::set<double> rows;
    for (int64_t i = 0; i < 128; ++i) rows.insert(load_element(DType::kI32, indices.data(), i));
    CHECK(rows.size() == 128);
    CHECK(*rows.rbegin() == 127);
  }
}

// 832x480, 81 frames: 21 x 60 x 104 latents in patches of 1x2x2; 33 frames are 9 latents.
TEST_CASE("networks are bound to about as many tokens as asked, at the proportions of real clips") {
  const auto whole = make_network("wan2.1-1.3b", {}, 0);
  REQUIRE(whole.ok());
  CHECK(whole->tokens == 32760);
  const auto clip = make_network("wan2.1-1.3b", {}, 14040);
  REQUIRE(clip.ok());
  CHECK(clip->tokens == 14040);
  CHECK(clip->symbols.at("frames") == 9);
  CHECK(clip->symbols.at("height") == 60);
  CHECK(clip->symbols.at("width") == 104);
  for (const int64_t tokens : {512, 1024, 2048, 4096}) {
    for (const char* name : {"wan2.1-1.3b", "dit-xl-2", "toybox-dit"}) {
      const auto network = make_network(name, {}, tokens);
      REQUIRE_MESSAGE(network.ok(), network.status().message());
      INFO(name, " ", tokens, " ", network->name());
      CHECK(std::abs(static_cast<double>(network->tokens) / static_cast<double>(tokens) - 1) <
            0.13);
    }
  }
}

TEST_CASE("names and symbols that are not there are errors that list what is") {
  const auto unknown = make_network("wan3", {}, 0);
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.status().message().find("wan2.1-1.3b") != std::string::npos);
  const auto symbol = make_network("dit-xl-2", {{"depth", 3}}, 0);
  REQUIRE_FALSE(symbol.ok());
  CHECK(symbol.status().message().find("height") != std::string::npos);
  const auto component = make_network("wan2.1-1.3b:audio", {}, 0);
  REQUIRE_FALSE(component.ok());
  CHECK(component.status().message().find("it has") != std::string::npos);
}

TEST_CASE("a network's ops are those of its fused step, each once") {
  const auto network = make_network("dit-xl-2", {}, 0);
  REQUIRE(network.ok());
  const auto ops = ops_of(*network, DType::kBF16);
  REQUIRE_MESSAGE(ops.ok(), ops.status().message());
  std::set<std::string> names;
  bool wide = false;
  for (const OpCase& c : *ops) {
    CHECK(names.insert(case_name(c)).second);
    CHECK(BoundCase::create(c).ok());
    // The first product of its feed-forward: 1152 to 4608 columns, with its activation.
    wide |= c.op == OpKind::kLinear && c.inputs[1].type.shape == Shape{4608, 1152};
  }
  CHECK(wide);
  CHECK(ops->size() > 8);
  CHECK(ops->size() < 60);
}

}  // namespace
}  // namespace zoetrope::bench
