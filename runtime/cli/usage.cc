#include "runtime/cli/usage.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "graph/status.h"
#include "runtime/cli/command.h"
#include "runtime/engine/tokenizer.h"

namespace zoetrope {
namespace {

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  return flags;
}

std::string unknown_command(const CLI::App& root, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::App* command : root.get_subcommands([](const CLI::App*) { return true; }))
    known.push_back(command->get_name());
  const std::string nearest = nearest_word(word, known);
  if (!nearest.empty())
    return str("there is no command '", word, "'; did you mean zoetrope ", nearest, "?");
  std::string all;
  for (const std::string& name : known) all += str(all.empty() ? "" : ", ", name);
  return str("there is no command '", word, "'; there are ", all);
}

std::string unknown_flag(const CLI::App& root, const CLI::App& command, const std::string& word) {
  const std::string flag = word.substr(0, word.find('='));
  const std::string text = str(command.get_name(), " has no flag ", flag);
  std::string others;
  for (const CLI::App* other : root.get_subcommands([](const CLI::App*) { return true; })) {
    const auto flags = flags_of(*other);
    if (other != &command && std::find(flags.begin(), flags.end(), flag) != flags.end())
      others += str(others.empty() ? "" : ", ", other->get_name());
  }
  if (!others.empty())
    return str(text, ", which is one of ", others, "; `zoetrope ", command.get_name(),
               " --help` lists its own");
  const std::string nearest = nearest_word(flag, flags_of(command));
  if (!nearest.empty()) return str(text, "; did you mean ", nearest, "?");
  return str(text, "; `zoetrope ", command.get_name(), " --help` lists its flags");
}

}  // namespace

std::string explain_usage(const CLI::App& root, int argc, const char* const* argv) {
  const auto commands = root.get_subcommands();
  if (commands.empty()) {
    const std::string word = argc > 1 ? argv[1] : "";
    return word.empty() || word[0] == '-' ? "" : printable(unknown_command(root, word));
  }
  const CLI::App& command = *commands[0];
  const std::vector<std::string> left = command.remaining();
  if (left.empty()) return "";
  if (left[0].size() > 1 && left[0][0] == '-')
    return printable(unknown_flag(root, command, left[0]));
  const bool prompts = command.get_option_no_throw("prompt") != nullptr;
  return printable(
      str(command.get_name(), " does not know what to do with '", left[0], "'",
          prompts ? "; a prompt of several words stands in quotes: \"a red ball\"" : "",
          "; `zoetrope ", command.get_name(), " --help` says more"));
}

}  // namespace zoetrope
