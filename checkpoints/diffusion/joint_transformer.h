#pragma once
// SD3Transformer2DModel of diffusers (MM-DiT, Esser et al., arXiv 2403.03206) as plain data: its config.json,
// its parameters' names and shapes. Read leniently; a field that would change the mathematics and is not
// known is an error by name.
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "data/io/json.h"

namespace lathe {

struct JointTransformerSpec {
  std::int64_t sample_size = 16;  // side of a picture (or latent) that positions are centred on
  std::int64_t patch_size = 4;
  std::int64_t in_channels = 3, out_channels = 3;
  std::int64_t num_layers = 6;
  std::int64_t num_heads = 4, head_size = 48;
  std::int64_t joint_attention_dim = 128;    // channels of a text token
  std::int64_t pooled_projection_dim = 128;  // channels of the whole text
  std::int64_t pos_embed_max_size = 4;       // patches a side that the table of positions holds
  bool qk_norm = false;                      // RMSNorm of queries and keys, eps 1e-6
  std::int64_t hidden_size() const { return num_heads * head_size; }
};

// Errors name `where` and the field.
JointTransformerSpec read_joint_transformer(const Json& config, const std::string& where);
// config.json as diffusers writes it.
Json joint_transformer_config(const JointTransformerSpec& spec);
// In the order of the network, the table of positions (a buffer that diffusers stores) left out.
std::vector<ParameterInfo> joint_transformer_parameters(const JointTransformerSpec& spec);

// The table of positions, (pos_embed_max_size ^ 2, hidden_size) row by row
// (checkpoints/diffusion/positions.h); a picture of sample_size spans it all, whatever the table's size.
std::vector<float> sincos_positions(const JointTransformerSpec& spec);

}  // namespace lathe
