#include <utility>

#include "recipes/schema/error.h"
#include "trainer/plan/network_memory.h"

namespace lathe {

namespace {

using Value = LayerTape::Value;

// models/diffusion/unet_2d.cpp, unet_blocks.cpp
class UNetMemory {
 public:
  UNetMemory(LayerTape& tape, const UNet2DSpec& spec, const PlannedBatch& batch)
      : tape_(tape), spec_(spec), batch_(batch) {}

  Value run() {
    condition();
    Value x = tape_.convolution(tape_.input(batch_.places() * spec_.in_channels), name_ + "conv_in");
    std::vector<Value> kept{x};
    for (std::size_t i = 0; i < spec_.levels(); ++i) {
      const std::string level = cat(name_, "down_blocks.", i, ".");
      for (std::int64_t k = 0; k < spec_.layers_per_block; ++k) {
        x = resnet(std::exchange(x, {}), cat(level, "resnets.", k, "."));
        if (spec_.down_attention[i]) x = attention(std::exchange(x, {}), cat(level, "attentions.", k, "."));
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
      if (spec_.mid_attention) x = attention(std::exchange(x, {}), name_ + "mid_block.attentions.0.");
      x = resnet(std::exchange(x, {}), name_ + "mid_block.resnets.1.");
    }
    for (std::size_t i = 0; i < spec_.levels(); ++i) {
      const std::string level = cat(name_, "up_blocks.", i, ".");
      for (std::int64_t k = 0; k <= spec_.layers_per_block; ++k) {
        Value both = tape_.joined(x, kept.back());
        x = {};
        kept.pop_back();
        x = resnet(std::move(both), cat(level, "resnets.", k, "."));
        if (spec_.up_attention[i]) x = attention(std::exchange(x, {}), cat(level, "attentions.", k, "."));
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

  Value resnet(Value x, const std::string& block) {
    Value y = tape_.convolution(tape_.norm(x, block + "norm1"), block + "conv1");
    y = tape_.add(y, tape_.linear(time_, block + "time_emb_proj"));
    y = tape_.convolution(tape_.norm(std::exchange(y, {}), block + "norm2"), block + "conv2");
    if (tape_.layers().has(block + "conv_shortcut"))
      x = tape_.convolution(std::exchange(x, {}), block + "conv_shortcut");
    return tape_.add(x, y);
  }

  Value attention(Value x, const std::string& block) {
    const std::int64_t places = batch_.height * batch_.width,
                       channels = x.bytes / (batch_.places() * tape_.element());
    const std::int64_t heads = spec_.attention_head_dim > 0 ? channels / spec_.attention_head_dim : 1;
    Value y = tape_.group(tape_.norm(x, block + "group_norm"),
                          {block + "to_q", block + "to_k", block + "to_v"}, tape_.attention_apart());
    y = tape_.attention(y, {batch_.pictures, places, places, heads, channels});
    return tape_.add(x, tape_.linear(std::exchange(y, {}), block + "to_out.0"));
  }

  LayerTape& tape_;
  const UNet2DSpec& spec_;
  PlannedBatch batch_;
  const std::string name_ = "unet.";
  Value time_;  // through SiLU
};

}  // namespace

Value plan_unet(LayerTape& tape, const UNet2DSpec& spec, const PlannedBatch& batch) {
  return UNetMemory(tape, spec, batch).run();
}

}  // namespace lathe
