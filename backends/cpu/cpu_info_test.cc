#include "backends/cpu/cpu_info.h"

#include <doctest/doctest.h>

using namespace zoetrope;
using namespace zoetrope::cpu;

TEST_CASE("the machine has an instruction set, and lower ones can be asked for") {
  const auto machine = detect_isa();
  REQUIRE(machine.ok());
  CHECK(parse_isa("sse4", *machine).ok());
  CHECK(parse_isa(isa_name(*machine), *machine).ok());
  CHECK(parse_isa("amx", Isa::kAvx2).status().code() == Code::kUnavailable);
  CHECK(parse_isa("neon", *machine).status().code() == Code::kInvalidArgument);
}

TEST_CASE("features list every level up to the machine's") {
  CHECK(feature_names(Isa::kSse4) == std::vector<std::string>{"sse4"});
  CHECK(feature_names(Isa::kAmx).back() == "amx_bf16");
}
