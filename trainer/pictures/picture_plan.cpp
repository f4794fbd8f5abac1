#include "trainer/pictures/picture_plan.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "data/images/buckets.h"
#include "models/diffusion/names.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/reader.h"
#include "trainer/pictures/dit_plan.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/pictures/unet_plan.h"

namespace lathe {

namespace {

void check_network(const PictureNetworkSection& network, const Recipe& recipe, const Place& place,
                   std::vector<RecipeProblem>& problems) {
  for (const std::int64_t side : recipe.data.resolution)
    if (side % network.patch_size != 0)
      problems.push_back(
          {place, cat("'model.patch_size' ", network.patch_size, " does not divide data.resolution ", side)});
  if (recipe.data.bucket_step % network.patch_size != 0)
    problems.push_back({place, cat("'model.patch_size' ", network.patch_size,
                                   " does not divide data.bucket_step ", recipe.data.bucket_step)});
  if (network.attention_head_dim * network.num_attention_heads % 4 != 0)
    problems.push_back(
        {place, "'model.num_attention_heads' x attention_head_dim wants to be a multiple of 4 (positions)"});
  const TextEncoderSection& text = recipe.diffusion.text_encoder;
  if (text.hidden_size % text.num_attention_heads != 0)
    problems.push_back({place, cat("'diffusion.text_encoder.hidden_size' ", text.hidden_size,
                                   " is not a multiple of its ", text.num_attention_heads, " heads")});
}

std::int64_t count_of(const std::vector<ParameterInfo>& infos) {
  std::int64_t count = 0;
  for (const ParameterInfo& info : infos)
    count += std::accumulate(info.shape.begin(), info.shape.end(), std::int64_t{1}, std::multiplies<>());
  return count;
}

void set_noise(PictureModel& model, const DiffusionSection& d) {
  model.schedule.kind = from_name<NoiseKind>(d.schedule, "diffusion.schedule");
  model.schedule.shift = d.shift;
  model.schedule.zero_terminal_snr = d.zero_terminal_snr;
  model.prediction = from_name<Prediction>(d.prediction, "diffusion.prediction");
}

}  // namespace

PictureModel plan_picture_model(const Recipe& recipe, std::vector<RecipeProblem>& problems) {
  if (!recipe.model.path.empty()) {
    PictureModel base = load_picture_model(resolve_model(recipe.model.path));
    base.schedule.shift = recipe.diffusion.shift;  // the base's own, or asked for: check_picture_base
    base.schedule.zero_terminal_snr = recipe.diffusion.zero_terminal_snr;
    return base;
  }
  const std::int64_t side = *std::max_element(recipe.data.resolution.begin(), recipe.data.resolution.end());
  if (recipe.model.family == "unet2d" || recipe.model.family == "dit") {
    PictureModel model =
        recipe.model.family == "dit" ? plan_dit(recipe, side, problems) : plan_unet(recipe, side, problems);
    set_noise(model, recipe.diffusion);
    return model;
  }
  PictureNetworkSection network;
  decode_section(recipe.model.config, network, problems);
  const Place place =
      recipe.model.config.entries.empty() ? Place{} : recipe.model.config.entries.front().key_place;
  check_network(network, recipe, place, problems);
  const TextEncoderSection& text = recipe.diffusion.text_encoder;
  std::int64_t largest = side;  // of all buckets
  if (recipe.data.bucket_step == 0 || recipe.data.bucket_step % network.patch_size == 0)
    for (const PictureSize& size : bucket_sizes(nominal_size(recipe.data), recipe.data.bucket_step))
      largest = std::max({largest, size.width, size.height});
  PictureModel model;
  model.transformer.sample_size = side;
  model.transformer.patch_size = network.patch_size;
  model.transformer.in_channels = model.transformer.out_channels = recipe.data.channels;
  model.transformer.num_layers = network.num_layers;
  model.transformer.num_heads = network.num_attention_heads;
  model.transformer.head_size = network.attention_head_dim;
  model.transformer.qk_norm = network.qk_norm;
  model.transformer.pos_embed_max_size = std::max<std::int64_t>(1, largest / network.patch_size);
  model.transformer.joint_attention_dim = text.hidden_size;
  model.transformer.pooled_projection_dim =
      2 * text.hidden_size;  // the encoder stands in both of the pipeline's places
  model.text_encoder.hidden_size = model.text_encoder.projection_dim = text.hidden_size;
  model.text_encoder.intermediate_size = 4 * text.hidden_size;
  model.text_encoder.num_layers = text.num_hidden_layers;
  model.text_encoder.num_heads = text.num_attention_heads;
  model.text_encoder.max_positions = text.max_length;
  set_noise(model, recipe.diffusion);
  return model;
}

void fit_tokenizer(PictureModel& model, std::shared_ptr<const Tokenizer> tokenizer) {
  require(tokenizer->special().eos.has_value(),
          "the tokenizer names no end of text, which the text encoder reads");
  model.text_encoder.vocab_size = static_cast<std::int64_t>(tokenizer->vocab_size());
  model.text_encoder.eos_token_id = static_cast<std::int64_t>(*tokenizer->special().eos);
  model.tokenizer = std::move(tokenizer);
}

PictureParameters count_parameters(const PictureModel& model) {
  return {count_of(model.unet  ? unet_2d_parameters(*model.unet)
                   : model.dit ? dit_parameters(*model.dit)
                               : joint_transformer_parameters(model.transformer)),
          model.by_text() ? count_of(clip_text_parameters(model.text_encoder)) : 0};
}

DenoisingOptions denoising_options(const Recipe& recipe, const PictureModel& model) {
  const DiffusionSection& d = recipe.diffusion;
  DenoisingOptions options;
  options.schedule = NoiseSchedule(model.schedule);
  options.prediction = model.prediction;
  options.timesteps = d.timesteps == "uniform" ? TimestepKind::Uniform : TimestepKind::LogitNormal;
  options.logit_mean = d.logit_mean;
  options.logit_std = d.logit_std;
  options.min_snr_gamma = d.min_snr_gamma;
  options.offset_noise = d.offset_noise;
  options.condition_dropout = d.condition_dropout;
  options.seed = static_cast<std::uint64_t>(recipe.train.seed);
  return options;
}

DrawOptions draw_options(const Recipe& recipe, const PictureModel& model, const PreparedPictures& data) {
  const SamplingSection& sampling = recipe.diffusion.sampling;
  DrawOptions options;
  options.height = data.height;
  options.width = data.width;
  options.steps = sampling.steps;
  options.guidance = sampling.guidance;
  options.guidance_from = sampling.guidance_from;
  options.guidance_until = sampling.guidance_until;
  options.seed = static_cast<std::uint64_t>(recipe.train.seed);
  options.sampler = usual_sampler(model.schedule.kind == NoiseKind::Flow);
  if (!sampling.sampler.empty())
    options.sampler = from_name<SamplerKind>(sampling.sampler, "diffusion.sampling.sampler");
  return options;
}

std::vector<Field> picture_network_keys() { return describe_fields(PictureNetworkSection{}); }

}  // namespace lathe
