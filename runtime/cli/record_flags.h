// Flags to the record of a request and back, and whether the files are what they were.
#pragma once

#include "runtime/cli/generate_flags.h"
#include "runtime/cli/known_files.h"
#include "runtime/engine/request_record.h"

namespace zoetrope {

// What one clip was asked for: flags after finish(), and the model that they opened. Reads every
// file for its digest; of what is no regular file there is none. Paths are as given.
Result<RequestRecord> record_of(const GenerateFlags& flags, const KnownFlags& known,
                                const Model& model);

// Fills flags as if they had been given so; finish() and open_engine() come after.
void apply_record(const RequestRecord& record, GenerateFlags* flags, KnownFlags* known);

// Every file of the record with a word that says what it is, in a fixed order.
struct NamedFile {
  const char* what;  // "the model", "the adapter", "--image"
  FileRecord* file;
};
std::vector<NamedFile> files_of(RequestRecord* record);

// An adapter or a given file that is not what it was, or is gone, is an error that names it. The
// model's digest comes with opening it: see check_model_file.
Status check_files(RequestRecord record);
Status check_model_file(const RequestRecord& record, const Model& model);

// Of a picture, a clip or sound, or of all files of a sequence ("%04d.png").
Result<std::string> media_digest(const std::string& path);

}  // namespace zoetrope
