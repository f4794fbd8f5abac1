#pragma once
// CLIPTextModel and CLIPTextModelWithProjection of transformers (Radford et al., arXiv 2103.00020) as plain
// data: config.json, parameters' names and shapes, as in the text_encoder folders of diffusers.
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "data/io/json.h"

namespace lathe {

enum class ClipActivation { QuickGelu, Gelu };  // x * sigmoid(1.702 x), or the exact one

struct ClipTextSpec {
  std::int64_t vocab_size = 49408, hidden_size = 512, intermediate_size = 2048;
  std::int64_t num_layers = 12, num_heads = 8, max_positions = 77;
  std::int64_t projection_dim = 0;  // 0: without a projection of the whole text
  std::int64_t eos_token_id =
      49407;  // 2: the largest id marks the end (models saved before transformers 4.30)
  double norm_eps = 1e-5;
  ClipActivation activation = ClipActivation::QuickGelu;
};

// Errors name `where` and the field.
ClipTextSpec read_clip_text(const Json& config, const std::string& where);
Json clip_text_config(const ClipTextSpec& spec);
std::vector<ParameterInfo> clip_text_parameters(const ClipTextSpec& spec);

}  // namespace lathe
