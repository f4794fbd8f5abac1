#include "checkpoints/diffusion/original_names.h"

#include <charconv>
#include <utility>

#include "recipes/schema/error.h"

namespace lathe {

namespace {

using Renaming = std::pair<const char*, const char*>;

// Takes parts of a dotted name from its front.
class NameReader {
 public:
  explicit NameReader(const std::string& name) : whole_(name), rest_(name) {}
  bool skip(const std::string& front) {
    if (!rest_.starts_with(front)) return false;
    rest_ = rest_.substr(front.size());
    return true;
  }
  std::int64_t number() {  // and the dot behind it
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    const auto length = static_cast<std::size_t>(end - rest_.data());
    if (error != std::errc() || length >= rest_.size() || rest_[length] != '.') unknown();
    rest_ = rest_.substr(length + 1);
    return value;
  }
  const std::string& rest() const { return rest_; }
  // The rest, its front renamed where one of `names` has it.
  std::string renamed(std::initializer_list<Renaming> names) const {
    for (const auto& [from, to] : names)
      if (rest_.starts_with(from)) return to + rest_.substr(std::string(from).size());
    return rest_;
  }
  [[noreturn]] void unknown() const { fail("'", whole_, "' has no name in an original single file"); }

 private:
  std::string whole_, rest_;
};

std::string resnet_part(const NameReader& name) {
  return name.renamed({{"norm1.", "in_layers.0."},
                       {"conv1.", "in_layers.2."},
                       {"time_emb_proj.", "emb_layers.1."},
                       {"norm2.", "out_layers.0."},
                       {"conv2.", "out_layers.3."},
                       {"conv_shortcut.", "skip_connection."}});
}

std::string vae_resnet_part(const NameReader& name) {
  return name.renamed({{"conv_shortcut.", "nin_shortcut."}});
}

std::string vae_middle(NameReader name, const std::string& side) {
  if (name.skip("resnets.")) {
    const std::int64_t place = name.number() + 1;
    return cat(side, "mid.block_", place, ".", vae_resnet_part(name));
  }
  if (!name.skip("attentions.0.")) name.unknown();
  return cat(side, "mid.attn_1.",
             name.renamed({{"group_norm.", "norm."},
                           {"to_q.", "q."},
                           {"to_k.", "k."},
                           {"to_v.", "v."},
                           {"to_out.0.", "proj_out."}}));
}

}  // namespace

std::string original_unet_name(const std::string& name, const UNet2DSpec& spec) {
  NameReader reader(name);
  const std::int64_t each = spec.layers_per_block + 1;  // blocks a level, the one that halves or doubles too
  if (reader.skip("conv_in.")) return "input_blocks.0.0." + reader.rest();
  if (reader.skip("time_embedding.linear_1.")) return "time_embed.0." + reader.rest();
  if (reader.skip("time_embedding.linear_2.")) return "time_embed.2." + reader.rest();
  if (reader.skip("conv_norm_out.")) return "out.0." + reader.rest();
  if (reader.skip("conv_out.")) return "out.2." + reader.rest();
  if (reader.skip("mid_block.attentions.0.")) return "middle_block.1." + reader.rest();
  if (reader.skip("mid_block.resnets.")) {
    const std::int64_t place = 2 * reader.number();
    return cat("middle_block.", place, ".", resnet_part(reader));
  }
  const bool down = reader.skip("down_blocks.");
  if (!down && !reader.skip("up_blocks.")) reader.unknown();
  const std::int64_t level = reader.number();
  const auto block = [&](std::int64_t layer) {
    return down ? cat("input_blocks.", level * each + layer + 1, ".")
                : cat("output_blocks.", level * each + layer, ".");
  };
  if (reader.skip("resnets.")) {
    const std::string at = block(reader.number());
    return at + "0." + resnet_part(reader);
  }
  if (reader.skip("attentions.")) {
    const std::string at = block(reader.number());
    return at + "1." + reader.rest();
  }
  if (down && reader.skip("downsamplers.0.conv.")) return block(each - 1) + "0.op." + reader.rest();
  if (down || !reader.skip("upsamplers.0.conv.")) reader.unknown();
  const bool attends = spec.up_attention.at(static_cast<std::size_t>(level));
  return block(each - 1) + (attends ? "2" : "1") + ".conv." + reader.rest();
}

std::string original_vae_name(const std::string& name, const AutoencoderSpec& spec) {
  NameReader reader(name);
  if (name.starts_with("quant_conv.") || name.starts_with("post_quant_conv.")) return name;
  const bool encoder = reader.skip("encoder.");
  if (!encoder && !reader.skip("decoder.")) reader.unknown();
  const std::string side = encoder ? "encoder." : "decoder.";
  if (reader.skip("mid_block.")) return vae_middle(reader, side);
  if (!reader.skip(encoder ? "down_blocks." : "up_blocks."))
    return side + reader.renamed({{"conv_norm_out.", "norm_out."}});
  const std::int64_t found = reader.number();
  // The way up is counted from the largest level there.
  const std::int64_t level = encoder ? found : static_cast<std::int64_t>(spec.levels()) - 1 - found;
  const std::string at = cat(side, encoder ? "down." : "up.", level, ".");
  if (reader.skip("resnets.")) {
    const std::int64_t layer = reader.number();
    return cat(at, "block.", layer, ".", vae_resnet_part(reader));
  }
  return at + reader.renamed({{"downsamplers.0.", "downsample."}, {"upsamplers.0.", "upsample."}});
}

bool is_point_convolution(const std::string& vae_name) {
  return vae_name.find(".attentions.0.to_") != std::string::npos && vae_name.ends_with(".weight");
}

}  // namespace lathe
