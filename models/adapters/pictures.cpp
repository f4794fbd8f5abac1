#include "models/adapters/pictures.h"

#include "models/adapters/attach.h"

namespace lathe {

std::vector<std::string> attach_adapters(TextToPicture& model, const AdapterSpec& spec, bool text_encoder,
                                         std::uint64_t seed) {
  if (!model.by_text())
    fail_usage(
        "adapter: a network of classes is tuned whole, or in part with model.freeze; adapters are for models "
        "that read texts");
  std::vector<AdapterPlace> places;
  if (model.unet)
    places.push_back({*model.unet, kUNetPart, "_block"});
  else
    places.push_back({*model.transformer, kTransformerPart, "transformer_blocks."});
  if (text_encoder) places.push_back({*model.text_encoder, kTextEncoderPart, "layers."});
  for (auto& item : model.text_encoder->named_parameters()) item.tensor.set_requires_grad(false);
  return attach_adapters(places, spec, seed, nullptr);
}

PictureModel merge_adapter(PictureModel base, const PeftAdapter& adapter) {
  require(base.by_text(), "the adapter's base is a network of classes, which takes none");
  const bool changes =
      merge_matrices({{base.unet ? base.unet_tensors : base.transformer_tensors, network_part(base)},
                      {base.text_tensors, kTextEncoderPart}},
                     std::make_shared<const PeftAdapter>(adapter));
  require(changes, "the adapter changes nothing: merged weights equal the base's; was it trained?");
  return base;
}

}  // namespace lathe
