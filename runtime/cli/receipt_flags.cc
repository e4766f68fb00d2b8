#include "runtime/cli/receipt_flags.h"

#include <filesystem>

#include "converters/checkpoint.h"
#include "graph/format/output_file.h"
#include "runtime/cli/record_flags.h"
#include "runtime/media/media_reader.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code ec;
  return fs::exists(path, ec);
}

// A sequence ("%04d.png") is there if its files are: media_digest() says so.
void find_beside(const std::string& receipt, RequestRecord* record) {
  const fs::path folder = fs::path(receipt).parent_path();
  for (const NamedFile& named : files_of(record)) {
    std::string& path = named.file->path;
    if (exists(path) || media_digest(path).ok()) continue;
    const std::string beside = (folder / fs::path(path).filename()).string();
    if (exists(beside) || media_digest(beside).ok()) path = beside;
  }
}

}  // namespace

Result<Receipt> read_receipt(const std::string& path) {
  auto text = read_small_file(path, kMaxReceiptBytes);
  if (text.ok() && text->find_first_not_of(" \t\r\n") != std::string::npos &&
      (*text)[text->find_first_not_of(" \t\r\n")] == '{')
    return parse_receipt(*text, path);
  ZT_ASSIGN_OR_RETURN(const auto tags, read_tags(path));
  for (const auto& [name, value] : tags)
    if (name == kReceiptTag || name == "ZOET")  // RIFF's names have four letters
      return parse_receipt(value, path + ": its receipt");
  return error(Code::kNotFound, path,
               " holds no receipt; MP4, MOV, PNG and WAV files of `zoetrope "
               "generate` do, others have one beside them where --receipt FILE was given");
}

Receipt for_clip(Receipt receipt) {
  for (const NamedFile& named : files_of(&receipt.request))
    named.file->path = fs::path(named.file->path).filename().string();
  receipt.request.devices.threads = 0;  // no number of them changes a bit of the clip
  return receipt;
}

Result<ReceiptComparison> rerun_receipt(const std::string& path, const GenerateFlags& given,
                                        bool moved, const RunHooks& hooks) {
  ZT_ASSIGN_OR_RETURN(const Receipt before, read_receipt(path));
  RequestRecord record = before.request;
  find_beside(path, &record);
  GenerateFlags flags;
  KnownFlags known;
  apply_record(record, &flags, &known);
  if (!given.model.empty() || !exists(flags.model)) flags.model = given.model;
  if (moved) {
    flags.device = given.device;
    flags.place = given.place;
  } else if (given.device.threads > 0) {
    flags.device.threads = given.device.threads;
  }
  ZT_RETURN_IF_ERROR(flags.finish());
  ZT_RETURN_IF_ERROR(check_files(record));
  ZT_ASSIGN_OR_RETURN(const auto engine, flags.open_engine(/*keep_sessions=*/false));
  ZT_RETURN_IF_ERROR(check_model_file(record, engine->model()));
  const Recipe& recipe = engine->model().recipe;
  ZT_ASSIGN_OR_RETURN(const MediaTarget target, media_target(recipe, known, &flags.request.clip));
  ZT_ASSIGN_OR_RETURN(KnownFiles files, read_known_files(known, target));
  ZT_RETURN_IF_ERROR(give_known(recipe, known, &files, &flags.request));
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine->plan(flags.request));
  StageLog log(nullptr, kReceiptSamples, /*keep_clip=*/false);
  log.begin(plan.shape.width * plan.shape.height * 3, plan.clip.sound_channels);
  RunHooks watched = hooks;
  watched.observe = [&log](const Observation& made) { return log.observe(made); };
  ZT_RETURN_IF_ERROR(engine->run(flags.request, log, watched).status());
  const Receipt again = make_receipt(std::string("Zoetrope ") + ZOETROPE_VERSION, std::move(record),
                                     plan, log.records());
  return compare_receipts(before, again);
}

}  // namespace zoetrope
