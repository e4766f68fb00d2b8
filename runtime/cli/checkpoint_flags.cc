#include "runtime/cli/checkpoint_flags.h"

#include <filesystem>

#include "graph/format/output_file.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/cli/record_flags.h"

namespace zoetrope {

std::string whole_path(const std::string& path) {
  const auto target = resolve_output(path);
  if (target.ok() && target->descriptor >= 0) return path;
  std::error_code failed;
  const auto whole = std::filesystem::absolute(path, failed);
  return failed ? path : whole.string();
}

void CheckpointFlags::add_to(CLI::App* app) {
  auto* to = app->add_option(
      "--checkpoint", folder,
      "Keep the work in this folder after each step: `zoetrope resume DIR` goes on after a crash, "
      "on another device, or from an earlier step with another prompt");
  app->add_option("--checkpoint-every", every, "So many steps from one state to the next")
      ->check(whole_in(1, 10000))
      ->needs(to)
      ->capture_default_str();
  app->add_option("--checkpoint-keep", keep,
                  "At most so many states: the last two, and others that lie evenly. Each is as "
                  "large as the latents, times up to 5 with a solver that remembers steps")
      ->check(whole_in(kFewestKept, 10001))
      ->needs(to)
      ->capture_default_str();
}

Result<CheckpointJob> CheckpointFlags::job(const GenerationOptions& options,
                                           const std::vector<Clip>& clips,
                                           const Model& model) const {
  CheckpointJob job;
  job.software = std::string("Zoetrope ") + ZOETROPE_VERSION;
  ZT_ASSIGN_OR_RETURN(job.request, record_of(options.generate, options.known, model));
  job.request.request.prompt.clear();
  job.request.request.seed = 0;
  for (const NamedFile& named : files_of(&job.request)) {
    if (named.file->digest.empty())
      return error(Code::kInvalidArgument, "--checkpoint: ", named.what, " ", named.file->path,
                   " is no file, so that it could not be read again; copy it into one");
    named.file->path = whole_path(named.file->path);
  }
  for (const Clip& clip : clips) job.clips.push_back({clip.prompt, clip.seed, clip.short_prompt});
  for (const std::string& path : options.outputs) job.outputs.push_back(whole_path(path));
  job.format = options.format;
  if (!options.receipt.empty()) job.receipt = whole_path(options.receipt);
  job.metadata = !options.no_metadata;
  if (options.loudness != 0) job.loudness = options.loudness;
  job.every = every;
  job.keep = keep;
  return job;
}

}  // namespace zoetrope
