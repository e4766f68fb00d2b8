#include "backends/cpu/cpu_info.h"

#include <doctest/doctest.h>
#include <sched.h>

#include "runtime/backend/host.h"

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

TEST_CASE("threads follow the affinity mask") {
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CHECK(usable_threads() >= 1);
  CHECK(usable_threads() <= CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(usable_threads() == 1);
  REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
}

TEST_CASE("there is some memory") { CHECK(usable_memory() > (int64_t{1} << 20)); }
