#include "converters/bpe_files.h"

#include <algorithm>
#include <filesystem>

#include "converters/checkpoint.h"

namespace zoetrope {

using Json = nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostBytes = 64 << 20;

// Empty where it is missing or null.
std::string text_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

Result<Json> read_json(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(path, kMostBytes));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return error(Code::kDataLoss, path, " is not a JSON object");
  return json;
}

}  // namespace

Result<LibraryTokenizer> read_library_tokenizer(const std::string& path, std::string_view who,
                                                std::string_view word_end) {
  ZT_ASSIGN_OR_RETURN(Json json, read_json(path));
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object() || text_of(*model, "type") != "BPE" ||
      text_of(*model, "end_of_word_suffix") != word_end || !model->contains("vocab") ||
      !model->contains("merges") || !(*model)["merges"].is_array())
    return error(Code::kUnsupported, path, ": not ", who,
                 "'s tokenizer: expected a model of the type BPE whose words end with '", word_end,
                 "', with vocab and merges");
  Json merges = Json::array();
  for (const Json& merge : (*model)["merges"]) {  // "a b", or both in a list
    const bool two =
        merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    merges.push_back(two ? Json(merge[0].get<std::string>() + " " + merge[1].get<std::string>())
                         : merge);
  }
  Json data{{"vocab", (*model)["vocab"]}, {"merges", std::move(merges)}};
  return LibraryTokenizer{std::move(data), std::move(json)};
}

Json LibraryTokenizer::at(const char* pointer) const {
  const Json::json_pointer place(pointer);
  return file.contains(place) ? file[place] : Json();
}

Result<Json> added_pieces(const LibraryTokenizer& tokenizer, const std::string& path,
                          std::string_view who) {
  const auto bad = [&](const char* what) {
    return error(Code::kUnsupported, path, ": not ", who, "'s tokenizer: ", what);
  };
  Json added = Json::object();
  const Json list = tokenizer.at("/added_tokens");
  if (!list.is_array()) return added;
  for (const Json& token : list) {
    if (!token.is_object() || !token.contains("content") || !token["content"].is_string() ||
        !token.contains("id") || !token["id"].is_number_integer())
      return bad("an added piece has no content or id");
    for (const char* flag : {"lstrip", "rstrip", "single_word", "normalized"})
      if (token.contains(flag) && token[flag] != false)
        return bad("an added piece is not taken as it stands");
    added[token["content"].get<std::string>()] = token["id"];
  }
  return added;
}

Result<Json> read_vocab_and_merges(const std::string& folder) {
  ZT_ASSIGN_OR_RETURN(Json vocab, read_json((fs::path(folder) / "vocab.json").string()));
  ZT_ASSIGN_OR_RETURN(const std::string text,
                      read_small_file((fs::path(folder) / "merges.txt").string(), kMostBytes));
  Json merges = Json::array();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    // The first line names the version.
    if (!line.empty() && !(at == 0 && line.starts_with("#version"))) merges.push_back(line);
    at = end + 1;
  }
  return Json{{"vocab", std::move(vocab)}, {"merges", std::move(merges)}};
}

std::vector<uint8_t> json_bytes(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return {text.begin(), text.end()};
}

}  // namespace zoetrope
