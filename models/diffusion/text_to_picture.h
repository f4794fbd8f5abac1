#pragma once
// A model that draws, by text or by class. The MM-DiT with its CLIP text encoder, tokenizer and noise process
// is run as diffusers' StableDiffusion3Pipeline runs the folder (checkpoints/diffusion/pipeline.h) with
// max_sequence_length=0 and output_type="latent"; a UNet as its DDPMPipeline does, a DiT as its DiTPipeline
// does without a VAE, the row behind its classes standing for none; a UNet that reads texts, with its VAE, as
// its StableDiffusionPipeline does: what is noised and denoised are latents then. What is asked for is a
// text everywhere: a caption, or the name of a class; "" is no condition. Drawing is single-threaded from the
// caller's side.
// Letters: B pictures, c their channels, L text tokens, C the text encoder's channels.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "data/images/picture.h"
#include "models/diffusion/autoencoder_kl.h"
#include "models/diffusion/dit.h"
#include "models/diffusion/joint_transformer.h"
#include "models/diffusion/noise_schedule.h"
#include "models/diffusion/sampler.h"
#include "models/diffusion/unet_2d.h"
#include "models/text_encoders/clip_text.h"

namespace lathe {

// What a batch is drawn by: texts (`pooled` is the MM-DiT's alone), or rows of a table of classes; what is
// not read is undefined.
struct PictureCondition {
  TextCondition text;
  at::Tensor classes;  // (B) int64
  at::Tensor beside;   // (B, 1 + L, h, w) of fill_in.h; undefined: everything is hidden
};

struct TextToPicture {
  std::shared_ptr<JointTransformer> transformer;
  std::shared_ptr<ClipText> text_encoder;
  std::shared_ptr<const Tokenizer> tokenizer;
  NoiseSchedule schedule{NoiseScheduleSpec{}};
  Prediction prediction = Prediction::Flow;
  std::shared_ptr<UNet2D> unet;        // instead of the transformer, see PictureModel
  std::shared_ptr<DiT> dit;            // so too
  std::vector<std::string> classes;    // of UNet or DiT
  std::shared_ptr<AutoencoderKL> vae;  // fp32, frozen; null: latents are the pictures

  bool by_text() const { return text_encoder != nullptr; }
  std::int64_t class_rows() const;   // of the table of classes; 0: without
  std::int64_t channels() const;     // of latents, what is noised
  bool fills_in() const;             // it reads a mask and a masked picture (fill_in.h)
  std::int64_t sample_size() const;  // of pictures, as are the next
  bool guidable() const;             // it can be asked for nothing: "" is a condition of its own
  std::int64_t side_step() const;    // sides are multiples of it
  std::int64_t points_a_place() const { return vae ? vae->spec().halvings() : 1; }  // of a side of latents
  // (c, h, w) of the latents of a picture; a side of 0 is sample_size(). Usage Error for sides that have
  // none.
  std::vector<std::int64_t> latent_shape(std::int64_t height, std::int64_t width) const;
  // Pictures (B, C, H, W), -1 .. 1, of latents (B, c, h, w), fp32, a few at a time. No gradient.
  at::Tensor to_pictures(const at::Tensor& latents) const;
  // The networks that can be trained, by what stands before their parameters' names in records
  // (PictureModel::parts).
  std::vector<std::pair<std::string, Module*>> modules() const;
  // Differentiable. Usage Error for a text that is no class of a network with classes, or for "" where it has
  // no row for that.
  PictureCondition condition(const std::vector<std::string>& texts) const;
  TextCondition text(const at::Tensor& ids) const;  // of token_rows
  // pictures (B, c, H, W), times (B) -> (B, c, H, W) in the networks' type.
  at::Tensor predict(const at::Tensor& pictures, const at::Tensor& times, const PictureCondition& by) const;
};

// The networks of a model, their values not set yet.
TextToPicture empty_picture_model(const PictureModel& model, at::ScalarType dtype);
// First values (JointTransformer::initialise and so on).
void initialise(TextToPicture& model, std::uint64_t seed);
TextToPicture build_picture_model(const PictureModel& model, at::ScalarType dtype);
// One part of it, frozen: the VAE (fp32), the text encoder.
std::shared_ptr<AutoencoderKL> build_vae(const PictureModel& model);
std::shared_ptr<ClipText> build_text_encoder(const PictureModel& model, at::ScalarType dtype);

// What the words of one text are to the network: token ids (token_rows), or the row of the class; empty for a
// network without classes.
std::vector<std::int64_t> condition_ids(const TextToPicture& model, const std::string& text);

// (B, L) int64, L = max_positions: begin, the text cut to L - 2 tokens, end, padding, as transformers'
// CLIPTokenizer does with padding="max_length", truncation=True (prompt_ids of data/tokenizers/clip.h).
at::Tensor token_rows(const Tokenizer& tokenizer, const ClipTextSpec& spec,
                      const std::vector<std::string>& texts);

// What the pipeline makes of one encoder in both of its CLIP places: the states before the last layer side by
// side with themselves, zeros to joint_attention_dim (or cut to it: with joint_attention_dim = C they stand
// alone); the projected text twice. Training and drawing both go through here. Differentiable.
TextCondition text_condition(const ClipTextOutput& output, const JointTransformerSpec& spec);
// What is read of token_rows by the MM-DiT, or, without one, by a UNet: the last states.
TextCondition read_texts(const ClipText& encoder, const at::Tensor& ids, const JointTransformerSpec* mm_dit);

struct DrawOptions {
  std::int64_t height = 0, width = 0;  // of pictures; 0: the network's sample_size
  std::int64_t steps = 20;
  // Classifier-free guidance (arXiv 2207.12598): empty + guidance * (prompt - empty); 1: without. Only in
  // this stretch of the way from noise (0) to picture (1) (arXiv 2404.07724).
  double guidance = 1;
  double guidance_from = 0, guidance_until = 1;
  std::uint64_t seed = 0;
  SamplerKind sampler = SamplerKind::FlowEuler;
  std::function<void(std::size_t)> drawn = {};  // told how many are, after each batch; what it throws ends it
  at::Tensor beside = {};  // (1, 1 + L, h, w): the picture to fill in (fill_in.h); undefined: all is hidden
};

// (B, c, H, W) fp32, about -1 .. 1: picture k by prompts[k] from noise that is a function of (seed,
// numbers[k]), whatever is drawn beside it; drawn_at_once() (drawn_at_once.h) at a time. Usage errors: a
// sampler that does not go with the schedule, sides that are no multiple of the patch size or larger than the
// table of positions.
at::Tensor draw_pictures(const TextToPicture& model, const std::vector<std::string>& prompts,
                         const std::vector<std::uint64_t>& numbers, const DrawOptions& options);
// The noise it starts from, (c, H, W) fp32: standard normal.
at::Tensor starting_noise(std::uint64_t seed, std::uint64_t number, at::IntArrayRef shape);

// (c, H, W), -1 .. 1 clipped, c 1 to 4.
Picture to_picture(const at::Tensor& one);

}  // namespace lathe
