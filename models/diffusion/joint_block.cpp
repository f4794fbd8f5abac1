#include "models/diffusion/joint_block.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>

#include <tuple>

#include "models/layers/module.h"

namespace lathe {

at::Tensor JointStream::modulated(const Modulation& by) {
  at::Tensor y;
  if (branch.defined()) {
    std::tie(rows, y) = add_modulated_norm(rows, branch, gate, by);
    branch = gate = at::Tensor();
  } else {
    y = modulated_norm(rows, by);
  }
  return y.flatten(0, 1);
}

at::Tensor on_channels(const Linear& linear, const at::Tensor& x) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = linear.weight.size(0);
  return linear.forward(x.reshape({-1, x.size(-1)})).view(sizes);
}

JointBlock::JointBlock(const JointTransformerSpec& spec, std::int64_t layer, at::ScalarType dtype)
    : heads_(spec.num_heads), last_(layer + 1 == spec.num_layers) {
  const std::int64_t channels = spec.hidden_size();
  const auto linear = [&](const std::string& path, std::int64_t in, std::int64_t out) {
    return register_at(*this, path, std::make_shared<Linear>(in, out, true, dtype));
  };
  const auto square = [&](const std::string& path) { return linear(path, channels, channels); };
  const auto norm = [&](const std::string& name) {
    if (!spec.qk_norm) return at::Tensor();
    return register_at(*this, "attn." + name, std::make_shared<Module>())
        ->register_parameter("weight", at::ones({spec.head_size}, dtype));
  };
  const auto mlp = [&](Side& side, const std::string& name) {
    side.wide = linear(name + ".net.0.proj", channels, 4 * channels);
    side.narrow = linear(name + ".net.2", 4 * channels, channels);
  };
  picture_.modulation = linear("norm1.linear", channels, 6 * channels);
  text_.modulation = linear("norm1_context.linear", channels, (last_ ? 2 : 6) * channels);
  const auto group = [&](const char* query, const char* key, const char* value) {
    return LinearGroup({square(query), square(key), square(value)});
  };
  picture_.projections = group("attn.to_q", "attn.to_k", "attn.to_v");
  text_.projections = group("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj");
  picture_.output = square("attn.to_out.0");
  if (!last_) text_.output = square("attn.to_add_out");
  picture_.query_norm = norm("norm_q");
  picture_.key_norm = norm("norm_k");
  text_.query_norm = norm("norm_added_q");
  text_.key_norm = norm("norm_added_k");
  mlp(picture_, "ff");
  if (!last_) mlp(text_, "ff_context");
}

HeadParts JointBlock::project(const Side& side, const at::Tensor& x) const {
  const auto parts = side.projections.forward(x);
  return {parts[0], parts[1], parts[2], side.query_norm, side.key_norm};
}

// modulation: shift, scale, gate of attention, shift, scale, gate of the MLP, (B, C) each.
JointStream JointBlock::finish(const Side& side, const JointStream& stream, const at::Tensor& attended,
                               const std::vector<at::Tensor>& modulation) const {
  JointStream result{stream.rows, on_channels(*side.output, attended), modulation[2]};
  const at::Tensor wide = side.wide->forward(result.modulated({modulation[3], modulation[4]}));
  result.branch = side.narrow->forward(gelu_tanh(wide)).view(stream.rows.sizes());
  result.gate = modulation[5];
  return result;
}

JointStreams JointBlock::forward(JointStreams streams, const at::Tensor& condition) const {
  const auto picture = picture_.modulation->forward(condition).chunk(6, 1);
  const auto text = text_.modulation->forward(condition).chunk(last_ ? 2 : 6, 1);
  const HeadParts ours = project(picture_, streams.picture.modulated({picture[0], picture[1]}));
  // The last block's text is only listened to: diffusers names its two scale first, then shift.
  const HeadParts theirs = project(
      text_, last_ ? streams.text.modulated({text[1], text[0]}) : streams.text.modulated({text[0], text[1]}));
  const auto joined = join_heads({ours, theirs}, condition.size(0), heads_);
  const auto attended = full_attention(joined[0], joined[1], joined[2])
                            .flatten(2)  // (B, T + L, C)
                            .split_with_sizes({streams.picture.rows.size(1), streams.text.rows.size(1)}, 1);
  JointStreams result;
  result.picture = finish(picture_, streams.picture, attended[0], picture);
  if (!last_) result.text = finish(text_, streams.text, attended[1], text);
  return result;
}

}  // namespace lathe
