// The weights of one component that lie in several checkpoints.
#pragma once

#include <string>
#include <vector>

#include "converters/weight_map.h"

namespace zoetrope {

class JoinedWeights : public WeightSource {
 public:
  // Of names that several maps have, the first one's count.
  void add(WeightMap map) { maps_.push_back(std::move(map)); }

  Result<TensorType> type(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const WeightMap* map, find(name));
    return map->type(name);
  }
  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const WeightMap* map, find(name));
    return map->load(name);
  }
  std::optional<EncodedLayout> encoded(std::string_view name) const override {
    const auto map = find(name);
    return map.ok() ? (*map)->encoded(name) : std::nullopt;
  }
  Result<WeightData> load_part(std::string_view name, EncodedPart part) const override {
    ZT_ASSIGN_OR_RETURN(const WeightMap* map, find(name));
    return map->load_part(name, part);
  }

 private:
  Result<const WeightMap*> find(std::string_view name) const {
    for (const WeightMap& map : maps_)
      if (map.contains(name)) return &map;
    return error(Code::kNotFound, "no weight '", name, "'");
  }

  std::vector<WeightMap> maps_;
};

}  // namespace zoetrope
