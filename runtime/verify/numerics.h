// Which arithmetic this version does. Bits that a device computes from one request change only with
// this number, which stands in every receipt and in `zoetrope --version`: CONTRIBUTING.md says how
// it is raised, tests/numerics holds the digests that find a change nobody meant.
#pragma once

namespace zoetrope {

inline constexpr int kNumericsVersion = 1;

}  // namespace zoetrope
