#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "bench/show.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/serve/server.h"

namespace zoetrope {
namespace {

struct Options {
  std::vector<std::string> models, adapters;
  std::string place, keys, new_key, models_memory, upload, disk, bench;
  double keep_days = 0;
  DeviceFlags device;
  ServiceOptions service;
  ServerOptions server;
};

// $XDG_DATA_HOME/zoetrope, or where that is by convention.
Result<std::string> default_folder() {
  for (const auto& [name, tail] :
       {std::pair{"XDG_DATA_HOME", "/zoetrope"}, std::pair{"HOME", "/.local/share/zoetrope"}})
    if (const char* base = std::getenv(name); base != nullptr && *base == '/')
      return std::string(base) + tail;
  return error(Code::kInvalidArgument,
               "neither $XDG_DATA_HOME nor $HOME is set; say with --data "
               "where jobs are kept");
}

// A flag's size; 0 where it is not given.
Result<int64_t> size_of(const char* flag, const std::string& text) {
  if (text.empty()) return int64_t{0};
  auto bytes = parse_bytes(text);
  if (!bytes.ok()) return bytes.status().with_context(flag);
  return bytes;
}

Status run_serve(Options& o) {
  if (!o.new_key.empty()) {
    if (o.keys.empty())
      return error(Code::kInvalidArgument, "--new-key ", o.new_key,
                   ": give the file of keys that gets its digest, --api-keys FILE");
    ZT_ASSIGN_OR_RETURN(const std::string key, add_api_key(o.keys, o.new_key));
    std::printf("%s\n", key.c_str());
    return Status();
  }
  if (o.service.folder.empty()) {
    ZT_ASSIGN_OR_RETURN(o.service.folder, default_folder());
  }
  std::error_code failed;
  o.service.folder = (std::filesystem::absolute(o.service.folder, failed) / "").lexically_normal();
  o.service.folder.pop_back();  // the slash at the end
  if (!o.keys.empty()) {
    ZT_ASSIGN_OR_RETURN(o.server.keys, read_api_keys(o.keys));
  } else if (!is_loopback(o.server.host)) {
    return error(
        Code::kInvalidArgument, "--host ", o.server.host,
        ": whoever can connect could use it; give --api-keys FILE (--new-key NAME makes it)");
  }
  ZT_ASSIGN_OR_RETURN(const int64_t models_memory, size_of("--models-memory", o.models_memory));
  ZT_ASSIGN_OR_RETURN(o.service.disk_bytes, size_of("--disk", o.disk));
  ZT_ASSIGN_OR_RETURN(const int64_t upload, size_of("--max-upload", o.upload));
  if (upload > 0) o.service.uploads.bytes = upload;
  o.service.keep_seconds = static_cast<int64_t>(o.keep_days * 86400);
  GenerateFlags flags;
  flags.place = o.place;
  flags.device = o.device;
  ZT_ASSIGN_OR_RETURN(auto models, ModelPool::open(o.models, flags, models_memory));
  ZT_RETURN_IF_ERROR(models->offer(o.adapters));
  if (!o.bench.empty()) {
    ZT_ASSIGN_OR_RETURN(const bench::Report report, bench::read_report(o.bench));
    bench::Shown shown;
    shown.report = &report;
    o.server.bench_page = bench::to_page(shown).html();
  }
  nlohmann::json names = nlohmann::json::array();
  for (const auto& engine : models->engines()) names.push_back(engine->model().name);
  ZT_ASSIGN_OR_RETURN(const auto service, Service::open(std::move(models), flags, o.service));
  Server server(*service, o.server);
  ZT_RETURN_IF_ERROR(server.bind());
  service->start();
  Status listened;
  std::atomic<bool> listens{true};
  std::jthread http([&] {
    listened = server.run();
    listens = false;
  });
  const std::string host = o.server.host == "::1" ? "[::1]" : o.server.host;
  service->log({{"event", "listening"},
                {"url", str("http://", host, ":", server.port(), "/")},
                {"models", names},
                {"data", o.service.folder}});
  while (!interrupted() && listens) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  service->log({{"event", "ending"}});
  service->stop();  // the running job ends after its step and is kept
  server.stop();
  http.join();
  service->log({{"event", "ended"}});
  return listened;
}

}  // namespace

void add_serve(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  Options& o = *options;
  CLI::App* app = root->add_subcommand("serve", "Make clips for others, over HTTP and on a page");
  app->footer(
      "Jobs are kept in a database: after Ctrl-C, a crash or a kill the next start goes on where "
      "the "
      "last step was. Without --api-keys only this machine can connect.\n\n"
      "Examples:\n"
      "  zoetrope serve                                     then open http://127.0.0.1:8080/\n"
      "  zoetrope serve --host 0.0.0.0 --api-keys keys      put TLS in front of it\n"
      "  zoetrope serve --api-keys keys --new-key ann       prints a key; the file keeps its "
      "digest\n"
      "  curl -H 'Content-Type: application/json' -d '{\"prompt\": \"a red ball\"}' "
      "http://127.0.0.1:8080/v1/videos");
  app->add_option(
         "--model", o.models,
         "A .zoe model file; give more for more models, which requests name. Left out, the "
         "embedded one")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--models-memory", o.models_memory,
                  "What models may hold on devices together, such as 40GiB: those unused longest "
                  "let go first. Left out, only the one at work holds any");
  app->add_option(
         "--adapter", o.adapters,
         "NAME=[COMPONENT=]FILE[:STRENGTH]: an adapter (LoRA) that requests may name, as --lora of "
         "generate; a name given twice is all of its files, such as one of each expert. Or a "
         "folder, "
         "whose .safetensors files are named after themselves")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--bench", o.bench,
                  "A report of `zoetrope bench --json FILE`, shown on the page");
  app->add_option("--host", o.server.host, "The address to listen on")->capture_default_str();
  app->add_option("--port", o.server.port, "0 takes one that is free, and says which")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app->add_option("--data", o.service.folder,
                  "Where jobs and clips are kept; left out, ~/.local/share/zoetrope");
  app->add_option("--api-keys", o.keys,
                  "A file of keys' digests, NAME sha256:DIGEST a line. Each name sees its own "
                  "jobs alone");
  app->add_option("--new-key", o.new_key,
                  "Draws a key for this name, prints it, adds its digest to --api-keys FILE, and "
                  "ends");
  app->add_option("--queue", o.service.queue,
                  "So many jobs may wait; more are refused for now (429)")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  const CLI::Option* per_key =
      app->add_option("--queue-per-key", o.service.queue_of_owner, "Of them, one key's")
          ->check(CLI::Range(1, 1000000));
  app->add_option("--max-prompt", o.service.limits.prompt_bytes, "Bytes of a prompt")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app->add_option("--max-upload", o.upload,
                  "Bytes of a given picture, clip or sound; left out, 64M");
  app->add_option("--max-seconds", o.service.uploads.seconds, "Length of a given clip or sound")
      ->check(number_in(0.1, 86400))
      ->capture_default_str();
  app->add_option(
         "--rate", o.server.a_minute,
         "So many requests that make or plan something in a minute, of each key or, without "
         "keys, address; more are refused for now (429). 0: no limit")
      ->check(number_in(0, 1e6))
      ->capture_default_str();
  app->add_option("--keep", o.keep_days,
                  "Days that jobs stay once they have ended, with their clips; 0: until removed")
      ->check(number_in(0, 36500))
      ->capture_default_str();
  app->add_option(
      "--disk", o.disk,
      "What clips and given files may take, such as 100GiB: what ended longest ago goes "
      "first, and new jobs are refused (507) where that is not enough. Uploads may take half of "
      "it, one key's a quarter; more are refused (507), none goes for another");
  app->add_flag("--log-prompts", o.service.log_prompts, "Prompts stand in the log, too");
  app->add_option("--place", o.place, "As in generate: what runs where");
  o.device.add_to(app);
  app->callback([=] {
    *run = [=] {
      if (options->keys.empty() && per_key->count() > 0)
        return Status(error(Code::kInvalidArgument,
                            "--queue-per-key is of keys, and there are none; give --api-keys FILE, "
                            "or --queue alone"));
      // One person's machine has one queue.
      if (options->keys.empty()) options->service.queue_of_owner = options->service.queue;
      return run_serve(*options);
    };
  });
}

}  // namespace zoetrope
