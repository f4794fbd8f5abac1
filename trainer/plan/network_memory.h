#pragma once
// The networks that draw as the plan sees them: the operations of models/diffusion/ in their order, on a
// tape.
#include "trainer/plan/layer_tape.h"

namespace lathe {

// What is noised: pictures, or latents.
struct PlannedBatch {
  std::int64_t pictures = 1, height = 0, width = 0;
  std::int64_t places() const { return pictures * height * width; }
};

// What the model says of a batch, its text encoder included (models/diffusion/text_to_picture.cpp,
// predict()).
LayerTape::Value plan_prediction(LayerTape& tape, const PictureModel& model, const PlannedBatch& batch);

LayerTape::Value plan_joint_transformer(LayerTape& tape, const PictureModel& model,
                                        const PlannedBatch& batch);
LayerTape::Value plan_dit(LayerTape& tape, const DiTSpec& spec, const PlannedBatch& batch);
// text_tokens: of what a UNet reads that draws by text.
LayerTape::Value plan_unet(LayerTape& tape, const UNet2DSpec& spec, const PlannedBatch& batch,
                           std::int64_t text_tokens);
// What the VAE makes of latents.
LayerTape::Value plan_decoding(LayerTape& tape, const AutoencoderSpec& spec, PlannedBatch batch);

}  // namespace lathe
