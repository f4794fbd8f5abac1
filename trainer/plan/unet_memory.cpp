#include <utility>

#include "recipes/schema/error.h"
#include "trainer/plan/network_memory.h"

namespace lathe {

namespace {

using Value = LayerTape::Value;

// models/diffusion/unet_blocks.cpp; time: without storage where the block is not told it.
Value resnet(LayerTape& tape, Value x, const Value& time, const std::string& block) {
  Value y = tape.convolution(tape.norm(x, block + "norm1"), block + "conv1");
  if (time.storage) y = tape.add(y, tape.linear(time, block + "time_emb_proj"));
  y = tape.convolution(tape.norm(std::exchange(y, {}), block + "norm2"), block + "conv2");
  if (tape.layers().has(block + "conv_shortcut"))
    x = tape.convolution(std::exchange(x, {}), block + "conv_shortcut");
  return tape.add(x, y);
}

// head: channels of one; 0: one of all.
Value place_attention(LayerTape& tape, const Value& x, const PlannedBatch& batch, std::int64_t head,
                      const std::string& block) {
  const std::int64_t places = batch.height * batch.width,
                     channels = x.bytes / (batch.places() * tape.element());
  const std::int64_t heads = head > 0 ? channels / head : 1;
  std::vector<Value> parts =
      tape.projections(tape.norm(x, block + "group_norm"), {block + "to_q", block + "to_k", block + "to_v"});
  const Value mixed =
      tape.attention(std::exchange(parts, {}), {batch.pictures, places, places, heads, channels});
  return tape.add(x, tape.linear(mixed, block + "to_out.0"));
}

// What attends to a text as well (models/diffusion/cross_transformer.cpp).
struct Context {
  Value rows;  // (B, S, D)
  std::int64_t tokens = 0, heads = 1;
};

Value cross_block(LayerTape& tape, Value x, const PlannedBatch& batch, const Context& context,
                  const std::string& block) {
  const std::int64_t places = batch.height * batch.width,
                     channels = x.bytes / (batch.places() * tape.element());
  const auto out_of = [&](std::vector<Value> parts, const std::string& name, std::int64_t keys) {
    const Value mixed = tape.attention(parts, {batch.pictures, places, keys, context.heads, channels});
    parts.clear();
    return tape.linear(mixed, name + "to_out.0");
  };
  const std::string own = block + "attn1.", text = block + "attn2.";
  x = tape.add(
      x, out_of(tape.projections(tape.norm(x, block + "norm1"), {own + "to_q", own + "to_k", own + "to_v"}),
                own, places));
  std::vector<Value> parts{tape.linear(tape.norm(x, block + "norm2"), text + "to_q")};
  for (Value& part : tape.projections(context.rows, {text + "to_k", text + "to_v"}))
    parts.push_back(std::move(part));
  x = tape.add(x, out_of(std::exchange(parts, {}), text, context.tokens));
  const Value wide = tape.linear(tape.norm(x, block + "norm3"), block + "ff.net.0.proj");
  return tape.add(x, tape.linear(tape.gated_gelu(wide), block + "ff.net.2"));
}

Value cross_transformer(LayerTape& tape, const Value& x, const PlannedBatch& batch, const Context& context,
                        const CrossAttentionSpec& spec, const std::string& name) {
  const auto project = [&](const Value& y, const char* part) {
    return spec.linear_projection ? tape.linear(y, name + part) : tape.convolution(y, name + part);
  };
  Value y = project(tape.norm(x, name + "norm"), "proj_in");
  for (std::int64_t i = 0; i < spec.layers; ++i)
    y = cross_block(tape, std::exchange(y, {}), batch, context, cat(name, "transformer_blocks.", i, "."));
  return tape.add(project(std::exchange(y, {}), "proj_out"), x);
}

// models/diffusion/unet_2d.cpp, unet_blocks.cpp
class UNetMemory {
 public:
  UNetMemory(LayerTape& tape, const UNet2DSpec& spec, const PlannedBatch& batch, std::int64_t text_tokens)
      : tape_(tape), spec_(spec), batch_(batch) {
    context_.tokens = text_tokens;
    if (spec.cross) context_.rows = tape.input(batch.pictures * text_tokens * spec.cross->context_channels);
  }

  Value run() {
    condition();
    Value x = tape_.convolution(tape_.input(batch_.places() * spec_.in_channels), name_ + "conv_in");
    std::vector<Value> kept{x};
    for (std::size_t i = 0; i < spec_.levels(); ++i) {
      const std::string level = cat(name_, "down_blocks.", i, ".");
      for (std::int64_t k = 0; k < spec_.layers_per_block; ++k) {
        x = resnet(std::exchange(x, {}), cat(level, "resnets.", k, "."));
        if (spec_.down_attention[i])
          x = attention(std::exchange(x, {}), i, cat(level, "attentions.", k, "."));
        kept.push_back(x);
      }
      if (i + 1 == spec_.levels()) continue;
      if (spec_.downsample_padding == 0) x = tape_.copy(x);
      x = tape_.convolution(std::exchange(x, {}), level + "downsamplers.0.conv", 2);
      batch_.height /= 2;
      batch_.width /= 2;
      kept.push_back(x);
    }
    if (spec_.middle) {
      x = resnet(std::exchange(x, {}), name_ + "mid_block.resnets.0.");
      if (spec_.mid_attention)
        x = attention(std::exchange(x, {}), spec_.levels() - 1, name_ + "mid_block.attentions.0.");
      x = resnet(std::exchange(x, {}), name_ + "mid_block.resnets.1.");
    }
    for (std::size_t i = 0; i < spec_.levels(); ++i) {
      const std::string level = cat(name_, "up_blocks.", i, ".");
      for (std::int64_t k = 0; k <= spec_.layers_per_block; ++k) {
        Value both = tape_.joined(x, kept.back());
        x = {};
        kept.pop_back();
        x = resnet(std::move(both), cat(level, "resnets.", k, "."));
        if (spec_.up_attention[i])
          x = attention(std::exchange(x, {}), spec_.levels() - 1 - i, cat(level, "attentions.", k, "."));
      }
      if (i + 1 == spec_.levels()) continue;
      x = tape_.doubled_sides(x);
      batch_.height *= 2;
      batch_.width *= 2;
      x = tape_.convolution(std::exchange(x, {}), level + "upsamplers.0.conv");
    }
    x = tape_.norm(x, name_ + "conv_norm_out");
    return tape_.convolution(std::exchange(x, {}), name_ + "conv_out");
  }

 private:
  void condition() {
    Value x = tape_.linear(tape_.input(batch_.pictures * spec_.block_out_channels.front()),
                           name_ + "time_embedding.linear_1");
    x = tape_.linear(tape_.pointwise(x), name_ + "time_embedding.linear_2");
    if (spec_.num_class_embeds > 0) x = tape_.add(x, tape_.table(batch_.pictures, name_ + "class_embedding"));
    time_ = tape_.pointwise(x);
  }

  Value resnet(Value x, const std::string& block) { return lathe::resnet(tape_, std::move(x), time_, block); }

  Value attention(const Value& x, std::size_t level, const std::string& block) {
    if (!spec_.cross) return place_attention(tape_, x, batch_, spec_.attention_head_dim, block);
    context_.heads = spec_.cross->heads[level];
    return cross_transformer(tape_, x, batch_, context_, *spec_.cross, block);
  }

  LayerTape& tape_;
  const UNet2DSpec& spec_;
  PlannedBatch batch_;
  const std::string name_ = "unet.";
  Value time_;  // through SiLU
  Context context_;
};

}  // namespace

Value plan_unet(LayerTape& tape, const UNet2DSpec& spec, const PlannedBatch& batch,
                std::int64_t text_tokens) {
  return UNetMemory(tape, spec, batch, text_tokens).run();
}

// models/diffusion/autoencoder_kl.cpp, decode()
Value plan_decoding(LayerTape& tape, const AutoencoderSpec& spec, PlannedBatch batch) {
  const std::string name = "vae.decoder.";
  Value x = tape.input(batch.places() * spec.latent_channels);
  if (spec.post_quant_conv) x = tape.convolution(x, "vae.post_quant_conv");
  x = tape.convolution(x, name + "conv_in");
  x = resnet(tape, std::exchange(x, {}), {}, name + "mid_block.resnets.0.");
  if (spec.mid_attention) x = place_attention(tape, x, batch, 0, name + "mid_block.attentions.0.");
  x = resnet(tape, std::exchange(x, {}), {}, name + "mid_block.resnets.1.");
  for (std::size_t i = 0; i < spec.levels(); ++i) {
    const std::string level = cat(name, "up_blocks.", i, ".");
    for (std::int64_t k = 0; k <= spec.layers_per_block; ++k)
      x = resnet(tape, std::exchange(x, {}), {}, cat(level, "resnets.", k, "."));
    if (i + 1 == spec.levels()) continue;
    x = tape.doubled_sides(x);
    x = tape.convolution(x, level + "upsamplers.0.conv");
  }
  x = tape.norm(x, name + "conv_norm_out");
  return tape.convolution(x, name + "conv_out");
}

}  // namespace lathe
