#include "checkpoints/diffusion/open_clip.h"

#include <algorithm>
#include <utility>

#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr const char* kLayers = "text_model.encoder.layers.";

std::string renamed(const std::string& part, const std::string& whole) {
  static const std::pair<const char*, const char*> kParts[] = {{"layer_norm1.", "ln_1."},
                                                               {"layer_norm2.", "ln_2."},
                                                               {"mlp.fc1.", "mlp.c_fc."},
                                                               {"mlp.fc2.", "mlp.c_proj."},
                                                               {"self_attn.out_proj.", "attn.out_proj."}};
  for (const auto& [from, to] : kParts)
    if (part.starts_with(from)) return to + part.substr(std::string(from).size());
  fail("'", whole, "' has no name in an original single file of Stable Diffusion 2");
}

BundleTensor stacked(std::string name, const std::vector<BundleTensor>& parts) {
  BundleTensor whole = parts.front();
  whole.name = std::move(name);
  whole.shape[0] *= static_cast<std::int64_t>(parts.size());
  for (const BundleTensor& part : parts)
    require(part.dtype == whole.dtype, "'", part.name, "' is ", dtype_name(part.dtype), ", beside ",
            dtype_name(whole.dtype), "; queries, keys and values are stacked in one type");
  whole.bytes = [parts] {
    const auto bytes = std::make_shared<std::vector<std::byte>>();
    for (const BundleTensor& part : parts) {
      const ByteBlock block = part.bytes();
      bytes->insert(bytes->end(), block.bytes.begin(), block.bytes.end());
    }
    return ByteBlock{*bytes, bytes};
  };
  return whole;
}

}  // namespace

OpenClipPlace open_clip_place(const std::string& name) {
  if (name == "text_model.embeddings.token_embedding.weight") return {"token_embedding.weight"};
  if (name == "text_model.embeddings.position_embedding.weight") return {"positional_embedding"};
  const std::string norm = "text_model.final_layer_norm.";
  if (name.starts_with(norm)) return {"ln_final." + name.substr(norm.size())};
  require(name.starts_with(kLayers), "'", name,
          "' has no name in an original single file of Stable Diffusion 2");
  const std::string rest = name.substr(std::string(kLayers).size());
  const auto dot = std::min(rest.find('.'), rest.size() - 1) + 1;
  const std::string block = "transformer.resblocks." + rest.substr(0, dot), part = rest.substr(dot);
  const char* const projections[] = {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."};
  for (int third = 0; third < 3; ++third)
    if (const std::string front = projections[third]; part.starts_with(front))
      return {cat(block, "attn.in_proj_", part.substr(front.size())), third};
  return {block + renamed(part, name)};
}

std::vector<BundleTensor> open_clip_tensors(const std::vector<BundleTensor>& text) {
  std::vector<BundleTensor> all;
  for (const BundleTensor& tensor : text) {
    const OpenClipPlace place = open_clip_place(tensor.name);
    if (place.third < 0) {
      all.push_back(tensor);
      all.back().name = kOriginalOpenClip + place.name;
    }
    if (place.third != 0) continue;  // with the queries come their keys and values
    std::vector<BundleTensor> parts(3);
    for (const BundleTensor& other : text)
      if (const OpenClipPlace its = open_clip_place(other.name); its.name == place.name)
        parts[static_cast<std::size_t>(its.third)] = other;
    for (const BundleTensor& part : parts)
      require(part.shape == tensor.shape, "'", tensor.name, "' has no keys or values of its shape beside it");
    all.push_back(stacked(kOriginalOpenClip + place.name, parts));
  }
  return all;
}

BundleTensor third_of(const BundleTensor& stacked, int third) {
  require(!stacked.shape.empty() && stacked.shape[0] % 3 == 0, "tensor '", stacked.name, "' has shape ",
          shape_text(stacked.shape), ", wanted queries, keys and values below each other");
  BundleTensor part = stacked;
  part.shape[0] /= 3;
  part.bytes = [stacked, third, size = part.byte_size()] {
    const ByteBlock block = stacked.bytes();
    return ByteBlock{block.bytes.subspan(static_cast<std::size_t>(third) * size, size), block.owner};
  };
  return part;
}

}  // namespace lathe
