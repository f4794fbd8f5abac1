#pragma once
// What the networks of an original single file are, read off the shapes of its tensors.
#include <map>
#include <string>
#include <vector>

#include "checkpoints/diffusion/autoencoder_kl.h"
#include "checkpoints/diffusion/clip_text.h"
#include "checkpoints/diffusion/unet_2d.h"

namespace lathe {

class TensorShapes {
 public:
  TensorShapes(std::map<std::string, std::vector<std::int64_t>> shapes, std::string where)
      : shapes_(std::move(shapes)), where_(std::move(where)) {}
  bool has(const std::string& name) const { return shapes_.contains(name); }
  // Error when it is not there, or has fewer dimensions.
  std::int64_t size(const std::string& name, std::size_t dimension) const;
  std::size_t dimensions(const std::string& name) const;
  const std::string& where() const { return where_; }

 private:
  std::map<std::string, std::vector<std::int64_t>> shapes_;
  std::string where_;
};

// Whether its text encoder is OpenCLIP's, as in Stable Diffusion 2.
bool is_second_version(const TensorShapes& shapes);
// Whole original names. Settings that leave no trace in a shape are those of the published version.
UNet2DSpec single_file_unet(const TensorShapes& shapes);
AutoencoderSpec single_file_vae(const TensorShapes& shapes);
ClipTextSpec single_file_text(const TensorShapes& shapes);

}  // namespace lathe
