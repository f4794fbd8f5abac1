#include "trainer/plan/layer_list.h"

#include <algorithm>
#include <numeric>

#include "recipes/schema/error.h"
#include "trainer/freeze.h"

namespace lathe {

LayerList::LayerList(PictureModel model, const std::vector<std::string>& frozen,
                     const std::vector<std::string>& adapted, std::int64_t rank) {
  for (const PictureModel::Part& part : model.parts())
    for (const ParameterInfo& info : part.parameters) {
      const std::string name = part.prefix + info.name;
      const std::size_t dot = name.rfind('.');
      const bool vae = part.prefix == "vae.", trained = rank == 0 && !vae && !is_frozen(name, frozen),
                 matrix = info.shape.size() == 2;
      std::int64_t columns = 1;
      for (std::size_t i = 1; i < info.shape.size(); ++i) columns *= info.shape[i];
      (vae ? vae_sizes_ : sizes_).push_back(info.shape[0] * columns);
      const bool block = matrix && (name.find("layers.") != std::string::npos ||
                                    name.find("transformer_blocks.") != std::string::npos);
      if (trained) trained_.push_back({info.shape[0], columns, block});
      PlannedLayer& layer = layers_[name.substr(0, dot)];
      if (name.substr(dot + 1) == "bias") {
        layer.bias = true;
        layer.bias_trained = trained;
        continue;
      }
      layer.out = info.shape[0];
      layer.in = info.shape.size() > 1 ? info.shape[1] : 0;
      layer.side = info.shape.size() > 2 ? info.shape[2] : 1;
      layer.trained = trained;
      if (std::ranges::find(adapted, name.substr(0, dot)) == adapted.end()) continue;
      layer.rank = rank;
      trained_.push_back({rank, columns, block});
      trained_.push_back({layer.out, rank, block});
    }
}

const PlannedLayer& LayerList::at(const std::string& module) const {
  const auto found = layers_.find(module);
  require(found != layers_.end(), "plan: the network has no layer '", module, "'");
  return found->second;
}

std::int64_t LayerList::parameters() const {
  return std::accumulate(sizes_.begin(), sizes_.end(), std::int64_t{0});
}

}  // namespace lathe
