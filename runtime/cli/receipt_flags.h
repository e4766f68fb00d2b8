// Receipts and the command: read from a clip or a file, run again.
#pragma once

#include <string>

#include "runtime/cli/generate_flags.h"
#include "runtime/verify/receipt.h"

namespace zoetrope {

// From the tag of a clip, or a file that is a receipt itself. kNotFound: the clip holds none.
Result<Receipt> read_receipt(const std::string& path);

// The receipt as a clip carries it: of the paths of files, their names; without threads.
Receipt for_clip(Receipt receipt);

// Runs the request of the receipt at `path` again. `flags` bring the model, where it is given, and
// what says where to run: all of it, when `moved`, else threads alone. Files that are not where
// they were are looked for beside the receipt.
Result<ReceiptComparison> rerun_receipt(const std::string& path, const GenerateFlags& flags,
                                        bool moved, const RunHooks& hooks);

}  // namespace zoetrope
