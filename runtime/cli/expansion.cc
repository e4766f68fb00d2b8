#include "runtime/cli/expansion.h"

#include <httplib.h>

#include <chrono>
#include <cstdlib>
#include <future>
#include <nlohmann/json.hpp>

#include "graph/text.h"
#include "runtime/cli/command.h"
#include "runtime/text/expand.h"

namespace zoetrope {
namespace {

using nlohmann::json;

constexpr int kSeconds = 60;
constexpr size_t kMostAnswer = 1 << 20;  // bytes of an answer that are read
constexpr size_t kMostPrompt = 16384;    // bytes of a prompt that is taken from it

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Endpoint {
  std::string server, path;  // "http://localhost:8080", "/v1"
};
Result<Endpoint> parse_endpoint(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos || (!url.starts_with("http://") && !url.starts_with("https://")))
    return error(Code::kInvalidArgument, "ZOETROPE_LLM_URL is '", url,
                 "': expected http:// or https:// and a base such as http://localhost:8080/v1");
  const size_t slash = url.find('/', scheme + 3);
  Endpoint e{url.substr(0, slash), slash == std::string::npos ? "" : url.substr(slash)};
  while (e.path.ends_with('/')) e.path.pop_back();
  return e;
}

// What a model says around a prompt is no part of it.
std::string bare(std::string text) {
  const char* const space = " \t\r\n\"";
  const size_t begin = text.find_first_not_of(space);
  if (begin == std::string::npos) return "";
  text = text.substr(begin, text.find_last_not_of(space) + 1 - begin);
  for (char& c : text)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  return text;
}

Result<std::string> read_answer(const std::string& body, const std::string& url) {
  const json answer = json::parse(body, nullptr, /*allow_exceptions=*/false);
  const auto refuse = [&](const char* why) {
    return error(Code::kDataLoss, url, " answered ", why,
                 "; expected a chat completion, as OpenAI's interface gives");
  };
  if (!answer.is_object() || !answer.contains("choices") || !answer["choices"].is_array() ||
      answer["choices"].empty())
    return refuse("without 'choices'");
  const json& choice = answer["choices"][0];
  if (!choice.is_object() || !choice.contains("message") || !choice["message"].is_object() ||
      !choice["message"].contains("content") || !choice["message"]["content"].is_string())
    return refuse("without a message");
  const std::string prompt = bare(choice["message"]["content"].get<std::string>());
  if (prompt.empty()) return refuse("with nothing");
  if (prompt.size() > kMostPrompt || find_invalid_utf8(prompt) != std::string_view::npos)
    return refuse("with what is no prompt");
  return prompt;
}

struct Answer {
  int status = 0;
  std::string body;
};
// Within a minute, an answer's bytes and the person's patience.
Result<Answer> post(httplib::Client* client, const std::string& path, const std::string& body,
                    const std::string& url) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(kSeconds);
  Answer answer;
  bool large = false;
  httplib::Request request;
  request.method = "POST";
  request.path = path;
  request.body = body;
  request.set_header("Content-Type", "application/json");
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    large = answer.body.size() + size > kMostAnswer;
    if (!large) answer.body.append(data, size);
    return !large;
  };
  auto sent = std::async(std::launch::async, [&] { return client->send(request); });
  bool stopped = false, late = false;
  while (sent.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
    stopped = stopped || interrupted();
    late = late || std::chrono::steady_clock::now() > end;
    if (stopped || late) client->stop();
  }
  const httplib::Result got = sent.get();
  if (stopped) return error(Code::kCancelled, "asked to stop");
  if (large) return error(Code::kDataLoss, url, " answered with more than ", kMostAnswer, " bytes");
  if (late) return error(Code::kUnavailable, url, " did not answer within ", kSeconds, " s");
  if (!got)
    return error(Code::kUnavailable, url, ": ", httplib::to_string(got.error()),
                 "; is the language model running?");
  answer.status = got->status;
  return answer;
}

Result<std::string> ask(const std::string& instructions, const std::string& prompt) {
  const std::string url = variable("ZOETROPE_LLM_URL");
  if (url.empty())
    return error(Code::kInvalidArgument,
                 "--expand: this model has no grammar of its own; ZOETROPE_LLM_URL names the "
                 "language model that rewrites prompts for it (the base of an OpenAI-compatible "
                 "interface, such as http://localhost:8080/v1; ZOETROPE_LLM_KEY and "
                 "ZOETROPE_LLM_MODEL where it asks for them)");
  ZT_ASSIGN_OR_RETURN(const Endpoint endpoint, parse_endpoint(url));
  httplib::Client client(endpoint.server);
  if (!client.is_valid())
    return error(Code::kUnsupported, "ZOETROPE_LLM_URL is '", url,
                 "', which this build cannot talk to");
  client.set_connection_timeout(kSeconds);
  client.set_read_timeout(kSeconds);
  client.set_write_timeout(kSeconds);
  if (const std::string key = variable("ZOETROPE_LLM_KEY"); !key.empty())
    client.set_bearer_token_auth(key);
  json body = {
      {"messages",
       {{{"role", "system"}, {"content", instructions}}, {{"role", "user"}, {"content", prompt}}}},
      {"stream", false}};
  const std::string model = variable("ZOETROPE_LLM_MODEL");
  body["model"] = model.empty() ? "default" : model;
  const std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
  ZT_ASSIGN_OR_RETURN(const Answer got,
                      post(&client, endpoint.path + "/chat/completions", text, url));
  if (got.status != 200)
    return error(Code::kUnavailable, url, " answered ", got.status, ": ",
                 printable(got.body.substr(0, 300)));
  return read_answer(got.body, url);
}

}  // namespace

Result<std::string> expand_prompt(const Recipe& recipe, const std::string& prompt, uint64_t seed,
                                  const std::function<void(const std::string&)>& notice) {
  if (!recipe.expansion)
    return error(Code::kUnsupported,
                 "--expand: this model says nothing about how its prompts are to be written");
  const Expansion& e = *recipe.expansion;
  if (e.pattern.empty()) return ask(e.instructions, prompt);
  auto expanded = expand_by_pattern(e, prompt, seed);
  if (expanded.status().code() == Code::kUnsupported) {
    notice(expanded.status().message());
    return prompt;
  }
  if (!expanded.ok()) return expanded.status();
  std::string left;
  for (const std::string& word : expanded->left_out) left += (left.empty() ? "" : ", ") + word;
  if (!left.empty()) notice("words that found no place in the expanded prompt: " + left);
  return std::move(expanded->prompt);
}

}  // namespace zoetrope
