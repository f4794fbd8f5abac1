#include "models/diffusion/joint_block.h"

#include <ATen/ATen.h>

#include "models/layers/module_path.h"

namespace lathe {

namespace {

constexpr double kEps = 1e-6;

// RMSNorm of a head's channels. x (B, H, T, D), weight (D).
at::Tensor head_norm(const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor wide = x.to(at::kFloat);
  return (wide * (wide.pow(2).mean(-1, true) + kEps).rsqrt()).to(x.scalar_type()) * weight;
}

}  // namespace

at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift) {
  return at::addcmul(shift.unsqueeze(1), at::layer_norm(x, {x.size(-1)}, {}, {}, kEps),
                     scale.unsqueeze(1) + 1);
}

at::Tensor on_channels(const Linear& linear, const at::Tensor& x) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = linear.weight.size(0);
  return linear.forward(x.reshape({-1, x.size(-1)})).view(sizes);
}

JointBlock::JointBlock(const JointTransformerSpec& spec, std::int64_t layer, at::ScalarType dtype)
    : heads_(spec.num_heads), head_size_(spec.head_size), last_(layer + 1 == spec.num_layers) {
  const std::int64_t channels = spec.hidden_size();
  const auto linear = [&](const std::string& path, std::int64_t in, std::int64_t out) {
    return register_at(*this, path, std::make_shared<Linear>(in, out, true, dtype));
  };
  const auto square = [&](const std::string& path) { return linear(path, channels, channels); };
  const auto norm = [&](const std::string& name) {
    if (!spec.qk_norm) return at::Tensor();
    return register_at(*this, "attn." + name, std::make_shared<torch::nn::Module>())
        ->register_parameter("weight", at::ones({spec.head_size}, dtype));
  };
  const auto mlp = [&](Side& side, const std::string& name) {
    side.wide = linear(name + ".net.0.proj", channels, 4 * channels);
    side.narrow = linear(name + ".net.2", 4 * channels, channels);
  };
  picture_.modulation = linear("norm1.linear", channels, 6 * channels);
  text_.modulation = linear("norm1_context.linear", channels, (last_ ? 2 : 6) * channels);
  picture_.query = square("attn.to_q");
  picture_.key = square("attn.to_k");
  picture_.value = square("attn.to_v");
  text_.key = square("attn.add_k_proj");
  text_.value = square("attn.add_v_proj");
  text_.query = square("attn.add_q_proj");
  picture_.output = square("attn.to_out.0");
  if (!last_) text_.output = square("attn.to_add_out");
  picture_.query_norm = norm("norm_q");
  picture_.key_norm = norm("norm_k");
  text_.query_norm = norm("norm_added_q");
  text_.key_norm = norm("norm_added_k");
  mlp(picture_, "ff");
  if (!last_) mlp(text_, "ff_context");
}

std::array<at::Tensor, 3> JointBlock::project(const Side& side, const at::Tensor& x) const {
  const auto heads = [&](const Linear& linear) {
    return on_channels(linear, x).unflatten(-1, {heads_, head_size_}).transpose(1, 2);  // (B, H, T, D)
  };
  std::array<at::Tensor, 3> parts{heads(*side.query), heads(*side.key), heads(*side.value)};
  if (side.query_norm.defined()) {
    parts[0] = head_norm(parts[0], side.query_norm);
    parts[1] = head_norm(parts[1], side.key_norm);
  }
  return parts;
}

// modulation: shift, scale, gate of attention, shift, scale, gate of the MLP, (B, C) each.
at::Tensor JointBlock::finish(const Side& side, const at::Tensor& x, const at::Tensor& attended,
                              const std::vector<at::Tensor>& modulation) const {
  const at::Tensor middle = at::addcmul(x, on_channels(*side.output, attended), modulation[2].unsqueeze(1));
  const at::Tensor wide = on_channels(*side.wide, modulated_norm(middle, modulation[4], modulation[3]));
  return at::addcmul(middle, on_channels(*side.narrow, at::gelu(wide, "tanh")), modulation[5].unsqueeze(1));
}

JointStreams JointBlock::forward(const JointStreams& streams, const at::Tensor& condition) const {
  const auto picture = picture_.modulation->forward(condition).chunk(6, 1);
  const auto text = text_.modulation->forward(condition).chunk(last_ ? 2 : 6, 1);
  const auto ours = project(picture_, modulated_norm(streams.picture, picture[1], picture[0]));
  // The last block's text is only listened to: diffusers names its two scale first, then shift.
  const auto theirs = project(text_, last_ ? modulated_norm(streams.text, text[0], text[1])
                                           : modulated_norm(streams.text, text[1], text[0]));
  const auto both = [&](std::size_t i) { return at::cat({ours[i], theirs[i]}, 2); };  // (B, H, T + L, D)
  const at::Tensor attended = at::scaled_dot_product_attention(both(0), both(1), both(2))
                                  .transpose(1, 2)
                                  .flatten(2);  // (B, T + L, C)
  const std::int64_t patches = streams.picture.size(1);
  JointStreams result;
  result.picture = finish(picture_, streams.picture, attended.narrow(1, 0, patches), picture);
  if (!last_)
    result.text = finish(text_, streams.text, attended.narrow(1, patches, streams.text.size(1)), text);
  return result;
}

}  // namespace lathe
