// Requests from clients: every check of what they may ask stands here.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/engine/engine.h"

namespace zoetrope {

struct RequestLimits {
  size_t prompt_bytes = 8192;  // of the prompt, and of what to steer away from
};

// A request in the words of checkpoints and receipts (fields(V&, Request&)), strictly; a seed that
// is left out is drawn. Errors are kInvalidArgument and name the key.
Result<Request> read_client_request(const nlohmann::json& json, const RequestLimits& limits);

// One in the words of OpenAI's videos: prompt, model, seconds ("4"), size ("1280x720"). `model` is
// the service's: another is kNotFound.
Result<Request> read_openai_request(const nlohmann::json& json, const Model& model,
                                    const RequestLimits& limits);

// As jobs keep it.
std::string store_request(const Request& request);
Result<Request> read_stored_request(const std::string& json);

}  // namespace zoetrope
