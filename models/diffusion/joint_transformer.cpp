#include "models/diffusion/joint_transformer.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "models/diffusion/initialise.h"
#include "models/diffusion/patches.h"
#include "models/diffusion/timestep.h"
#include "models/layers/module.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kTimeChannels = 256;

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

JointTransformer::JointTransformer(const JointTransformerSpec& spec, at::ScalarType dtype) : spec_(spec) {
  const std::int64_t channels = spec.hidden_size();
  const auto linear = [&](const std::string& path, std::int64_t in, std::int64_t out) {
    return register_at(*this, path, std::make_shared<Linear>(in, out, true, dtype));
  };
  const auto patch = register_at(*this, "pos_embed.proj", std::make_shared<Module>());
  patch_weight_ = patch->register_parameter(
      "weight", at::zeros({channels, spec.in_channels, spec.patch_size, spec.patch_size}, dtype));
  patch_bias_ = patch->register_parameter("bias", at::zeros({channels}, dtype));
  std::vector<float> table = sincos_positions(spec);
  positions_ =
      at::from_blob(table.data(), {spec.pos_embed_max_size, spec.pos_embed_max_size, channels}, at::kFloat)
          .to(dtype, false, true);
  time_first_ = linear("time_text_embed.timestep_embedder.linear_1", kTimeChannels, channels);
  time_second_ = linear("time_text_embed.timestep_embedder.linear_2", channels, channels);
  text_first_ = linear("time_text_embed.text_embedder.linear_1", spec.pooled_projection_dim, channels);
  text_second_ = linear("time_text_embed.text_embedder.linear_2", channels, channels);
  context_ = linear("context_embedder", spec.joint_attention_dim, channels);
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer)
    blocks_.push_back(register_at(*this, cat("transformer_blocks.", layer),
                                  std::make_shared<JointBlock>(spec, layer, dtype)));
  modulation_ = linear("norm_out.linear", channels, 2 * channels);
  output_ = linear("proj_out", channels, spec.patch_size * spec.patch_size * spec.out_channels);
}

// Positions are the middle of the table: a picture smaller than the largest keeps its centre.
at::Tensor JointTransformer::patches(const at::Tensor& pictures) const {
  const std::int64_t side = spec_.pos_embed_max_size;
  const PatchGrid grid = patch_grid(pictures, spec_.patch_size);
  require(grid.high <= side && grid.wide <= side, "a picture of ", grid.high, " x ", grid.wide,
          " patches does not fit the table of ", side, " x ", side, " positions");
  const at::Tensor places =
      positions_.narrow(0, (side - grid.high) / 2, grid.high).narrow(1, (side - grid.wide) / 2, grid.wide);
  const at::Tensor x = at::addmm(patch_bias_, cut_patches(pictures, grid), patch_weight_.flatten(1).t());
  return x.view({pictures.size(0), grid.high * grid.wide, -1}) +
         places.reshape({1, grid.high * grid.wide, -1});
}

at::Tensor JointTransformer::forward(const at::Tensor& pictures, const at::Tensor& times,
                                     const TextCondition& text) const {
  const auto dtype = patch_weight_.scalar_type();
  const at::Tensor clock = time_second_->forward(
      at::silu(time_first_->forward(timestep_embedding(times, kTimeChannels).to(dtype))));
  const at::Tensor whole = text_second_->forward(at::silu(text_first_->forward(text.pooled.to(dtype))));
  const at::Tensor condition = at::silu(clock + whole);
  JointStreams streams{{patches(pictures.to(dtype)), {}, {}},
                       {on_channels(*context_, text.tokens.to(dtype)), {}, {}}};
  for (const auto& block : blocks_) streams = block->forward(streams, condition);
  const auto last = modulation_->forward(condition).chunk(2, 1);  // scale, shift
  const at::Tensor values = output_->forward(streams.picture.modulated({last[1], last[0]}));
  return join_patches(values, patch_grid(pictures, spec_.patch_size), spec_.out_channels);
}

void JointTransformer::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto parameters = named_parameters();
  std::uint32_t site = 0;
  for (const ParameterInfo& info : joint_transformer_parameters(spec_)) {
    at::Tensor& parameter = parameters[info.name];
    const RandomStream stream({seed, Purpose::Initialise, site++, 0, 0});
    const std::string& name = info.name;
    const bool zero = contains(name, "norm1.linear") || contains(name, "norm1_context.linear") ||
                      contains(name, "norm_out.linear") || contains(name, "proj_out.") ||
                      name.ends_with(".bias");
    if (zero) {
      parameter.zero_();
    } else if (info.shape.size() == 1) {
      parameter.fill_(1);  // norms of queries and keys
    } else {
      const double in = static_cast<double>(parameter[0].numel()), out = static_cast<double>(info.shape[0]);
      fill_uniform(parameter, stream, std::sqrt(6 / (in + out)));
    }
  }
}

}  // namespace lathe
