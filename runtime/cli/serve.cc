#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "runtime/cli/generate_flags.h"
#include "runtime/serve/server.h"

namespace zoetrope {
namespace {

struct Options {
  std::string model, place, keys;
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

Status run_serve(Options& o) {
  if (o.service.folder.empty()) {
    ZT_ASSIGN_OR_RETURN(o.service.folder, default_folder());
  }
  std::error_code failed;
  o.service.folder = std::filesystem::absolute(o.service.folder, failed).string();
  if (!o.keys.empty()) {
    ZT_ASSIGN_OR_RETURN(o.server.keys, read_api_keys(o.keys));
  } else if (!is_loopback(o.server.host)) {
    return error(Code::kInvalidArgument, "--host ", o.server.host,
                 ": whoever can connect could use it; give --api-keys FILE, with lines NAME KEY");
  }
  GenerateFlags flags;
  flags.model = o.model;
  flags.place = o.place;
  flags.device = o.device;
  ZT_ASSIGN_OR_RETURN(auto engine, flags.open_engine(/*keep_sessions=*/true));
  ZT_ASSIGN_OR_RETURN(const auto service, Service::open(std::move(engine), flags, o.service));
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
                {"model", service->model().name},
                {"data", o.service.folder}});
  while (!interrupted() && listens)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
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
      "  zoetrope serve --host 0.0.0.0 --api-keys keys      lines NAME KEY; put TLS in front of "
      "it\n"
      "  curl -H 'Content-Type: application/json' -d '{\"prompt\": \"a red ball\"}' "
      "http://127.0.0.1:8080/v1/videos");
  app->add_option("--model", o.model, "A .zoe model file; left out, the embedded one");
  app->add_option("--host", o.server.host, "The address to listen on")->capture_default_str();
  app->add_option("--port", o.server.port, "0 takes one that is free, and says which")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app->add_option("--data", o.service.folder,
                  "Where jobs and clips are kept; left out, ~/.local/share/zoetrope");
  app->add_option(
      "--api-keys", o.keys,
      "A file of keys, NAME KEY a line, that nobody else may read. Each name sees its own "
      "jobs alone");
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
