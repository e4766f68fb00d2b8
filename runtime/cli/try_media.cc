#include <cstdio>

#include "runtime/cli/command.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/serve/uploads.h"

namespace zoetrope {

void add_try_media(CLI::App* root, Run* run) {
  struct Options {
    std::string file;
    double seconds = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand(
      "try-media", "What `serve` starts for each file that it is given: decodes it within limits");
  app->group("");  // nobody's to call
  app->add_option("file", options->file)->required();
  app->add_option("seconds", options->seconds)->required()->check(number_in(0.1, 86400));
  app->callback([=] {
    *run = [=] {
      const nlohmann::json facts = try_media(options->file, options->seconds);
      std::printf("%s\n",
                  facts.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
      return Status();
    };
  });
}

}  // namespace zoetrope
