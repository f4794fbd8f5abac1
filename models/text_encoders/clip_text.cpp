#include "models/text_encoders/clip_text.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>

#include <cmath>
#include <span>

#include "data/random/philox.h"
#include "models/layers/module.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {

class ClipTextLayer : public Module {
 public:
  ClipTextLayer(const ClipTextSpec& spec, at::ScalarType dtype)
      : heads_(spec.num_heads), activation_(spec.activation) {
    const std::int64_t channels = spec.hidden_size, wide = spec.intermediate_size;
    const auto linear = [&](const std::string& path, std::int64_t in, std::int64_t out) {
      return register_at(*this, path, std::make_shared<Linear>(in, out, true, dtype));
    };
    const auto key = linear("self_attn.k_proj", channels, channels);
    const auto value = linear("self_attn.v_proj", channels, channels);
    projections_ = LinearGroup({linear("self_attn.q_proj", channels, channels), key, value});
    output_ = linear("self_attn.out_proj", channels, channels);
    first_norm_ = register_module("layer_norm1", std::make_shared<LayerNorm>(channels, spec.norm_eps, dtype));
    wide_ = linear("mlp.fc1", channels, wide);
    narrow_ = linear("mlp.fc2", wide, channels);
    second_norm_ =
        register_module("layer_norm2", std::make_shared<LayerNorm>(channels, spec.norm_eps, dtype));
  }

  // x (B * L, C); a stretch for each text.
  at::Tensor forward(const at::Tensor& x, const std::vector<Stretch>& texts) const {
    const auto parts = projections_.forward(first_norm_->forward(x));
    const auto heads = [&](std::size_t i) { return parts[i].unflatten(1, {heads_, -1}); };  // (B * L, H, D)
    const AttentionRule rule{1 / std::sqrt(static_cast<double>(x.size(1) / heads_))};
    const auto rows = static_cast<std::int64_t>(texts.size());
    const at::Tensor mixed =
        document_attention(heads(0), heads(1), heads(2), texts, rows, x.size(0) / rows, rule);
    const at::Tensor middle = x + output_->forward(mixed.flatten(1));
    const at::Tensor wide = wide_->forward(second_norm_->forward(middle));
    return middle + narrow_->forward(activation_ == ClipActivation::Gelu ? at::gelu(wide) : gelu_quick(wide));
  }

 private:
  std::int64_t heads_;
  ClipActivation activation_;
  LinearGroup projections_;
  std::shared_ptr<Linear> output_, wide_, narrow_;
  std::shared_ptr<LayerNorm> first_norm_, second_norm_;
};

ClipText::ClipText(const ClipTextSpec& spec, at::ScalarType dtype) : spec_(spec) {
  const std::int64_t channels = spec.hidden_size;
  tokens_ = register_at(*this, "text_model.embeddings.token_embedding",
                        std::make_shared<Embedding>(spec.vocab_size, channels, dtype));
  positions_ = register_at(*this, "text_model.embeddings.position_embedding",
                           std::make_shared<Embedding>(spec.max_positions, channels, dtype));
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer)
    layers_.push_back(register_at(*this, cat("text_model.encoder.layers.", layer),
                                  std::make_shared<ClipTextLayer>(spec, dtype)));
  norm_ = register_at(*this, "text_model.final_layer_norm",
                      std::make_shared<LayerNorm>(channels, spec.norm_eps, dtype));
  if (spec.projection_dim > 0)
    projection_ = register_at(*this, "text_projection",
                              std::make_shared<Linear>(channels, spec.projection_dim, false, dtype));
}

ClipTextOutput ClipText::forward(const at::Tensor& ids) const {
  const std::int64_t batch = ids.size(0), length = ids.size(1);
  require(length <= spec_.max_positions, "a text of ", length, " tokens does not fit the encoder's ",
          spec_.max_positions, " positions");
  const at::Tensor places = positions_->forward(at::arange(length, at::kLong));
  std::vector<Stretch> texts;
  for (std::int64_t i = 0; i < batch; ++i)
    texts.push_back({static_cast<std::int32_t>(i * length), static_cast<std::int32_t>(length),
                     static_cast<std::uint64_t>(i), 0});
  at::Tensor x =
      (tokens_->forward(ids.reshape({-1})).view({batch, length, -1}) + places.unsqueeze(0)).flatten(0, 1);
  ClipTextOutput result;
  for (const auto& layer : layers_) {
    result.penultimate = x.view({batch, length, -1});
    x = layer->forward(x, texts);
  }
  x = x.view({batch, length, -1});
  result.last = norm_->forward(x);
  const at::Tensor ends =
      spec_.eos_token_id == 2 ? ids.argmax(1) : ids.eq(spec_.eos_token_id).to(at::kInt).argmax(1);  // (B)
  result.pooled = result.last.flatten(0, 1).index_select(0, ends + at::arange(batch, at::kLong) * length);
  if (projection_) result.pooled = projection_->forward(result.pooled);
  return result;
}

void ClipText::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto parameters = named_parameters();
  std::uint32_t site = 1 << 16;  // apart from the network's that is trained beside it
  for (const ParameterInfo& info : clip_text_parameters(spec_)) {
    at::Tensor& parameter = parameters[info.name];
    const RandomStream stream({seed, Purpose::Initialise, site++, 0, 0});
    if (info.shape.size() == 1) {
      parameter.fill_(info.name.ends_with(".weight") ? 1 : 0);
      continue;
    }
    const bool table = info.name.find("embedding") != std::string::npos;
    const double deviation = table ? 1 : 1 / std::sqrt(static_cast<double>(info.shape[1]));
    at::Tensor values = at::empty({parameter.numel()}, at::kFloat);
    stream.fill_normal(0, std::span(values.data_ptr<float>(), static_cast<std::size_t>(values.numel())));
    parameter.copy_(values.mul_(deviation).view(parameter.sizes()));
  }
}

}  // namespace lathe
