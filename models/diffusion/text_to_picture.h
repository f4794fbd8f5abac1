#pragma once
// A text-to-picture model that draws: the MM-DiT, its CLIP text encoder, tokenizer and noise process, run as
// diffusers' StableDiffusion3Pipeline runs the folder (checkpoints/diffusion/pipeline.h) with
// max_sequence_length=0 and output_type="latent". Drawing is single-threaded from the caller's side.
// Letters: B pictures, c their channels, L text tokens, C the text encoder's channels.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "data/images/picture.h"
#include "models/diffusion/joint_transformer.h"
#include "models/diffusion/noise_schedule.h"
#include "models/diffusion/sampler.h"
#include "models/text_encoders/clip_text.h"

namespace lathe {

struct TextToPicture {
  std::shared_ptr<JointTransformer> transformer;
  std::shared_ptr<ClipText> text_encoder;
  std::shared_ptr<const Tokenizer> tokenizer;
  NoiseSchedule schedule{NoiseScheduleSpec{}};
  Prediction prediction = Prediction::Flow;
};

TextToPicture build_picture_model(const PictureModel& model, at::ScalarType dtype);

// (B, L) int64, L = max_positions: begin, the text cut to L - 2 tokens, end, padding, as transformers'
// CLIPTokenizer does with padding="max_length", truncation=True (prompt_ids of data/tokenizers/clip.h).
at::Tensor token_rows(const Tokenizer& tokenizer, const ClipTextSpec& spec,
                      const std::vector<std::string>& texts);

// What the pipeline makes of one encoder in both of its CLIP places: the states before the last layer side by
// side with themselves, zeros to joint_attention_dim (or cut to it: with joint_attention_dim = C they stand
// alone); the projected text twice. Training and drawing both go through here. Differentiable.
TextCondition text_condition(const ClipTextOutput& output, const JointTransformerSpec& spec);

struct DrawOptions {
  std::int64_t height = 0, width = 0;  // 0: the transformer's sample_size
  std::int64_t steps = 20;
  // Classifier-free guidance (arXiv 2207.12598): empty + guidance * (prompt - empty); 1: without. Only in
  // this stretch of the way from noise (0) to picture (1) (arXiv 2404.07724).
  double guidance = 1;
  double guidance_from = 0, guidance_until = 1;
  std::uint64_t seed = 0;
  SamplerKind sampler = SamplerKind::FlowEuler;
};

// (B, c, H, W) fp32, about -1 .. 1: picture k by prompts[k] from noise that is a function of (seed,
// numbers[k]), whatever is drawn beside it. In batches of at most 64. Usage errors: a sampler that does not
// go with the schedule, sides that are no multiple of the patch size or larger than the table of positions.
at::Tensor draw_pictures(const TextToPicture& model, const std::vector<std::string>& prompts,
                         const std::vector<std::uint64_t>& numbers, const DrawOptions& options);
// The noise it starts from, (c, H, W) fp32: standard normal.
at::Tensor starting_noise(std::uint64_t seed, std::uint64_t number, at::IntArrayRef shape);

// (c, H, W), -1 .. 1 clipped, c 1 to 4.
Picture to_picture(const at::Tensor& one);

}  // namespace lathe
