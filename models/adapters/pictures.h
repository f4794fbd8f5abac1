#pragma once
// Adapters of a text-to-picture model. Names are diffusers' and transformers', with the part in front, as
// load_lora_weights reads them: transformer.transformer_blocks.0.attn.to_q, unet.mid_block.resnets.0.conv1,
// text_encoder.text_model.encoder.layers.0...
#include <string>
#include <vector>

#include "checkpoints/diffusion/adapter_folder.h"
#include "models/adapters/adapter.h"
#include "models/diffusion/text_to_picture.h"

namespace lathe {

// Freezes every parameter and puts an adapter on each Linear of the blocks that `spec.targets` names, and on
// each Convolution of them that it names itself; of the text encoder too when asked. Returns the modules'
// names. A target that matches nothing is a usage Error.
std::vector<std::string> attach_adapters(TextToPicture& model, const AdapterSpec& spec, bool text_encoder,
                                         std::uint64_t seed);

// The base with the adapter merged in fp32, lazily. Error when the adapter changes nothing.
PictureModel merge_adapter(PictureModel base, const PeftAdapter& adapter);

}  // namespace lathe
