// What handles stand for.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "runtime/c/handles.h"
#include "runtime/engine/preview.h"
#include "runtime/engine/request_record.h"

struct zoetrope_engine;
struct zoetrope_token;
struct zoetrope_tensors;

namespace zoetrope {

struct OpenEngine {
  DeviceRecord devices;  // as it was opened
  std::unique_ptr<Engine> engine;
  std::mutex preview_mutex;
  std::optional<Preview> preview;  // once a run has asked for one
};
using TensorList = std::vector<ComponentOutput>;

// They live until the process ends: what a program leaves open is not torn down behind its back.
Handles<zoetrope_engine, OpenEngine>& engines();
Handles<zoetrope_token, std::stop_source>& tokens();
Handles<zoetrope_tensors, TensorList>& tensor_lists();

}  // namespace zoetrope
