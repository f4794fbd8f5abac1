#include "models/diffusion/dit.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "checkpoints/diffusion/positions.h"
#include "models/diffusion/initialise.h"
#include "models/diffusion/patches.h"
#include "models/diffusion/timestep.h"
#include "models/layers/module.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kTimeChannels = 256;
constexpr TimestepOrder kTimes{.cosines_first = true, .freq_shift = 1};

}  // namespace

DiTBlock::DiTBlock(const DiTSpec& spec, at::ScalarType dtype)
    : heads_(spec.num_heads), norm_eps_(spec.norm_eps) {
  const std::int64_t channels = spec.hidden_size();
  const auto linear = [&](const std::string& path, std::int64_t in, std::int64_t out, bool bias = true) {
    return register_at(*this, path, std::make_shared<Linear>(in, out, bias, dtype));
  };
  time_first_ = linear("norm1.emb.timestep_embedder.linear_1", kTimeChannels, channels);
  time_second_ = linear("norm1.emb.timestep_embedder.linear_2", channels, channels);
  classes_ = register_at(*this, "norm1.emb.class_embedder.embedding_table",
                         std::make_shared<Embedding>(spec.class_rows(), channels, dtype));
  modulation_ = linear("norm1.linear", channels, 6 * channels);
  const auto side = [&](const char* path) { return linear(path, channels, channels, spec.attention_bias); };
  projections_ = LinearGroup({side("attn1.to_q"), side("attn1.to_k"), side("attn1.to_v")});
  output_ = linear("attn1.to_out.0", channels, channels);
  wide_ = linear("ff.net.0.proj", channels, 4 * channels);
  narrow_ = linear("ff.net.2", 4 * channels, channels);
}

at::Tensor DiTBlock::condition(const at::Tensor& waves, const at::Tensor& classes) const {
  const at::Tensor time = time_second_->forward(at::silu(time_first_->forward(waves)));
  return at::silu(time + classes_->forward(classes));
}

JointStream DiTBlock::forward(JointStream stream, const at::Tensor& condition) const {
  const auto by = modulation_->forward(condition).chunk(6, 1);  // shift, scale, gate; of the MLP too
  std::vector<at::Tensor> parts = projections_.forward(stream.modulated({by[0], by[1]}));
  const std::int64_t batch = stream.rows.size(0), tokens = stream.rows.size(1);
  for (at::Tensor& part : parts)
    part = part.unflatten(0, {batch, tokens}).unflatten(2, {heads_, -1});  // (B, T, H, D)
  const at::Tensor attended = full_attention(parts[0], parts[1], parts[2]).flatten(2);
  stream.branch = on_channels(*output_, attended);
  stream.gate = by[2];
  const at::Tensor wide = wide_->forward(stream.modulated({by[3], by[4], norm_eps_}));
  stream.branch = narrow_->forward(gelu_tanh(wide)).view(stream.rows.sizes());
  stream.gate = by[5];
  return stream;
}

DiT::DiT(const DiTSpec& spec, at::ScalarType dtype) : spec_(spec) {
  const std::int64_t channels = spec.hidden_size();
  const auto patch = register_at(*this, "pos_embed.proj", std::make_shared<Module>());
  patch_weight_ = patch->register_parameter(
      "weight", at::zeros({channels, spec.in_channels, spec.patch_size, spec.patch_size}, dtype));
  patch_bias_ = patch->register_parameter("bias", at::zeros({channels}, dtype));
  positions_ = positions(spec.sample_size / spec.patch_size).to(dtype);
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer)
    blocks_.push_back(
        register_at(*this, cat("transformer_blocks.", layer), std::make_shared<DiTBlock>(spec, dtype)));
  const auto linear = [&](const char* name, std::int64_t out) {
    return register_module(name, std::make_shared<Linear>(channels, out, true, dtype));
  };
  modulation_ = linear("proj_out_1", 2 * channels);
  output_ = linear("proj_out_2", spec.patch_size * spec.patch_size * spec.out_channels);
}

at::Tensor DiT::positions(std::int64_t side) const {
  std::vector<float> table =
      sincos_positions(PositionGrid{side, spec_.hidden_size(), spec_.sample_size / spec_.patch_size});
  return at::from_blob(table.data(), {side * side, spec_.hidden_size()}, at::kFloat).clone();
}

at::Tensor DiT::patches(const at::Tensor& pictures) const {
  const PatchGrid grid = patch_grid(pictures, spec_.patch_size);
  require(grid.high == grid.wide, "a picture of ", pictures.size(2), " x ", pictures.size(3),
          " is not square, and this network draws squares only");
  const bool usual = grid.high * grid.wide == positions_.size(0);
  const at::Tensor places = usual ? positions_ : positions(grid.high).to(positions_.scalar_type());
  const at::Tensor x = at::addmm(patch_bias_, cut_patches(pictures, grid), patch_weight_.flatten(1).t());
  return x.view({pictures.size(0), grid.high * grid.wide, -1}) + places.unsqueeze(0);
}

at::Tensor DiT::forward(const at::Tensor& pictures, const at::Tensor& times,
                        const at::Tensor& classes) const {
  require(classes.defined() && classes.size(0) == pictures.size(0), "a network of ", spec_.num_classes,
          " classes is told the class of every picture");
  const auto dtype = patch_weight_.scalar_type();
  const at::Tensor waves = timestep_embedding(times, kTimeChannels, kTimes).to(dtype);
  JointStream stream{patches(pictures.to(dtype)), {}, {}};
  at::Tensor first;  // the first block's condition is the output's too
  for (const auto& block : blocks_) {
    const at::Tensor condition = block->condition(waves, classes);
    if (!first.defined()) first = condition;
    stream = block->forward(std::move(stream), condition);
  }
  const auto last = modulation_->forward(first).chunk(2, 1);  // shift, scale
  const at::Tensor values = output_->forward(stream.modulated({last[0], last[1]}));
  return join_patches(values, patch_grid(pictures, spec_.patch_size), spec_.out_channels);
}

void DiT::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto parameters = named_parameters();
  std::uint32_t site = 0;
  for (const ParameterInfo& info : dit_parameters(spec_)) {
    at::Tensor& parameter = parameters[info.name];
    const RandomStream stream({seed, Purpose::Initialise, site++, 0, 0});
    const std::string& name = info.name;
    if (name.ends_with(".bias") || name.ends_with("norm1.linear.weight") || name.starts_with("proj_out_"))
      parameter.zero_();
    else if (name.ends_with("embedding_table.weight"))
      fill_uniform(parameter, stream, std::sqrt(3.0));
    else if (name == "pos_embed.proj.weight")  // as a matrix: the paper's own choice
      fill_uniform(parameter, stream,
                   std::sqrt(6 / static_cast<double>(parameter.size(0) + parameter[0].numel())));
    else
      fill_uniform(parameter, stream, xavier_bound(parameter));
  }
}

}  // namespace lathe
