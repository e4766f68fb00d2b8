// Names of outputs that no other process may write to meanwhile: another one is refused before it
// computes what would take the first one's place.
//
// The kernel keeps a claim as a lock of the folder (F_OFD_SETLK) and drops it with the process and
// those that it forked, however they end; nothing lies on the disk. A forked process has no claims
// of its own by that: it takes them anew. Not claimed are devices and descriptors that are open
// already, which take what comes, and names in a folder that may not be listed or whose file system
// has no such locks: there the last one wins, whole. Of a folder on a network the processes of one
// machine see each other.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct OutputTarget;

// Held until it is dropped. Names are told apart as the file system does, of letters that it does
// not tell apart A to Z; a file with several names (hard links) is one. Several claims of one process to one name are no conflict. Thread-safe.
class OutputClaim {
 public:
  OutputClaim() = default;
  OutputClaim(OutputClaim&&) noexcept = default;
  OutputClaim& operator=(OutputClaim&&) noexcept;
  ~OutputClaim() { release(); }

  // All of them, or kUnavailable, which names one that another process holds.
  static Result<OutputClaim> take(std::span<const OutputTarget> targets);
  // Of one path, after resolve_output()'s checks.
  static Result<OutputClaim> take(const std::string& path);

  struct Place;
  struct Spot {
    std::shared_ptr<Place> place;
    int64_t offset = 0;
  };

 private:
  void release() noexcept;

  std::vector<Spot> held_;
};

}  // namespace zoetrope
