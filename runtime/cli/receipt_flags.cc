#include "runtime/cli/receipt_flags.h"

#include <filesystem>

#include "converters/checkpoint.h"
#include "graph/format/output_file.h"
#include "runtime/cli/clip_assembly.h"
#include "runtime/cli/later_models.h"
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
  std::vector<RequestRecord*> records{&receipt.request};
  for (std::vector<Receipt>* later : {&receipt.upsampled, &receipt.sound})
    for (Receipt& one : *later) records.push_back(&one.request);
  for (RequestRecord* record : records) {
    for (const NamedFile& named : files_of(record))
      named.file->path = fs::path(named.file->path).filename().string();
    record->devices.threads = 0;  // no number of them changes a bit of the clip
  }
  return receipt;
}

namespace {

// Where the models of a receipt run now, in place of where they ran.
void move_to(const GenerateFlags& given, bool moved, GenerateFlags* flags) {
  if (moved) {
    flags->device = given.device;
    flags->place = given.place;
  } else if (given.device.threads > 0) {
    flags->device.threads = given.device.threads;
  }
}

// With the flags by which a later model of a receipt was opened.
Result<GenerateFlags> flags_of_later(const RequestRecord& before, const std::string& path,
                                     const GenerateFlags& given, bool moved) {
  RequestRecord record = before;
  find_beside(path, &record);
  GenerateFlags flags;
  KnownFlags none;
  apply_record(record, &flags, &none);
  move_to(given, moved, &flags);
  flags.place.clear();
  ZT_RETURN_IF_ERROR(flags.finish());
  return flags;
}

}  // namespace

Result<ReceiptComparison> rerun_receipt(const std::string& path, const GenerateFlags& given,
                                        bool moved, const RunHooks& hooks) {
  ZT_ASSIGN_OR_RETURN(const Receipt before, read_receipt(path));
  RequestRecord record = before.request;
  find_beside(path, &record);
  GenerateFlags flags;
  KnownFlags known;
  apply_record(record, &flags, &known);
  if (!given.model.empty() || !exists(flags.model)) flags.model = given.model;
  move_to(given, moved, &flags);
  ZT_RETURN_IF_ERROR(flags.finish());
  ZT_RETURN_IF_ERROR(check_files(record));
  ZT_ASSIGN_OR_RETURN(const auto engine, flags.open_engine(/*keep_sessions=*/false));
  ZT_RETURN_IF_ERROR(check_model_file(record, engine->model()));
  const Recipe& recipe = engine->model().recipe;
  ZT_ASSIGN_OR_RETURN(const MediaTarget target, media_target(recipe, known, &flags.request.clip));
  ZT_ASSIGN_OR_RETURN(KnownFiles files, read_known_files(known, target));
  ZT_RETURN_IF_ERROR(give_known(recipe, known, &files, &flags.request));
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine->plan(flags.request));
  files.frames = plan.shape.frames;
  files.samples = plan.shape.samples;
  LaterModels later;
  ZT_RETURN_IF_ERROR(later.reopen(before, recipe, [&](const RequestRecord& of) {
    return flags_of_later(of, path, given, moved);
  }));
  // Later models are given what went to the file.
  NoSink none;
  const ClipFormat f = ClipAssembly(files, flags.request.known, target, none).format(plan.shape);
  const Request& r = flags.request;
  ClipSink* next = &none;
  if (later.any()) {
    ZT_ASSIGN_OR_RETURN(next, later.begin({f.width, f.height, f.frames, f.fps, r.prompt, r.seed},
                                          f.channels, none));
  }
  ClipAssembly assembly(files, flags.request.known, target, *next);
  StageLog log(later.any() ? &assembly : nullptr, kReceiptSamples, /*keep_clip=*/false);
  log.begin(plan.shape.width * plan.shape.height * 3, plan.clip.sound_channels);
  RunHooks watched = hooks;
  watched.observe = [&log](const Observation& made) { return log.observe(made); };
  ZT_RETURN_IF_ERROR(engine->run(flags.request, log, watched).status());
  Receipt again = make_receipt(std::string("Zoetrope ") + ZOETROPE_VERSION, std::move(record), plan,
                               log.records());
  if (later.any()) {
    RunStats stats;
    ZT_RETURN_IF_ERROR(assembly.finish());
    ZT_RETURN_IF_ERROR(later.run(hooks, &stats));
    ZT_RETURN_IF_ERROR(later.add_receipts(&again));
  }
  return compare_receipts(before, again);
}

}  // namespace zoetrope
