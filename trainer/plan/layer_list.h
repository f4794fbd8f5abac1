#pragma once
// The layers of a network that draws, by the names that they have in records: sizes of their parameters, and
// which of those are trained. What the plan of a network names wrongly is an Error, so names hold its picture
// of the network to the network.
#include <map>
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "trainer/plan/trained_state.h"

namespace lathe {

struct PlannedLayer {
  std::int64_t out = 0, in = 0;  // of `weight`; vectors have in = 0
  std::int64_t side = 1;         // of a convolution
  bool bias = false;
  bool trained = true, bias_trained = true;  // of `weight` and `bias`
  std::int64_t rank = 0;                     // of its adapter; 0: without
  std::int64_t weights() const { return out * (in > 0 ? in : 1) * side * side; }
};

class LayerList {
 public:
  // frozen: parts of names whose parameters are not trained (model.freeze). adapted: the modules with an
  // adapter of that rank, which are all that is trained then.
  LayerList(PictureModel model, const std::vector<std::string>& frozen,
            const std::vector<std::string>& adapted = {}, std::int64_t rank = 0);
  const PlannedLayer& at(const std::string& module) const;
  bool has(const std::string& module) const { return layers_.contains(module); }
  // Parameters in the order of the networks; those of a VAE, which stays in fp32; those that are trained.
  const std::vector<std::int64_t>& sizes() const { return sizes_; }
  const std::vector<std::int64_t>& vae_sizes() const { return vae_sizes_; }
  const std::vector<TrainedMatrix>& trained() const { return trained_; }
  std::int64_t parameters() const;

 private:
  std::map<std::string, PlannedLayer> layers_;
  std::vector<std::int64_t> sizes_, vae_sizes_;
  std::vector<TrainedMatrix> trained_;
};

}  // namespace lathe
