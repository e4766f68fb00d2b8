// One libFuzzer program a target; ZOETROPE_FUZZ_TARGET is its function.
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  zoetrope::ZOETROPE_FUZZ_TARGET({data, size});
  return 0;
}
