#pragma once
// DiTTransformer2DModel of diffusers (Peebles and Xie, arXiv 2212.09748, blocks of kind adaLN-Zero) as plain
// data: its config.json, its parameters' names and shapes. Read leniently; a field that would change the
// mathematics and is not known is an error by name. Unlike the paper's own network every block embeds time
// and class itself, and the frequencies of times are divided by one less (freq_shift 1).
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "data/io/json.h"

namespace lathe {

struct DiTSpec {
  std::int64_t sample_size = 16;  // side of the pictures (or latents) it was trained on
  std::int64_t patch_size = 2;
  std::int64_t in_channels = 3, out_channels = 3;
  std::int64_t num_layers = 6;
  std::int64_t num_heads = 4, head_size = 32;
  std::int64_t num_classes = 10;  // num_embeds_ada_norm; one row more stands for no class
  bool attention_bias = true;     // of queries, keys and values
  double norm_eps = 1e-5;         // of the norm before the MLP; the others have 1e-6
  std::int64_t hidden_size() const { return num_heads * head_size; }
  std::int64_t class_rows() const { return num_classes + 1; }
};

// Errors name `where` and the field.
DiTSpec read_dit(const Json& config, const std::string& where);
// config.json as diffusers writes it.
Json dit_config(const DiTSpec& spec);
// In the order of the network; the table of positions is computed, not stored.
std::vector<ParameterInfo> dit_parameters(const DiTSpec& spec);

// Error unless the sizes fit together; `where` leads it.
void check_dit(const DiTSpec& spec, const std::string& where);

}  // namespace lathe
