// Sets of bytes of device memory: who touches what.
#pragma once

#include <cstdint>
#include <vector>

namespace zoetrope::cuda {

class Ranges {
 public:
  void add(const char* begin, int64_t bytes);
  bool overlap(const Ranges& other) const;
  bool overlaps(const char* begin, int64_t bytes) const;
  bool empty() const { return ranges_.empty(); }
  void clear() { ranges_.clear(); }
  // Sorts and joins: call once after many add().
  void merge();

 private:
  struct Range {
    const char *begin, *end;
  };
  std::vector<Range> ranges_;
};

}  // namespace zoetrope::cuda
