#include "models/diffusion/text_to_picture.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "data/tokenizers/clip.h"
#include "models/decoder/weights.h"
#include "models/diffusion/fill_in.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kDecoded = 4;  // latents at a time: pictures of a VAE take much memory

void load(Module& module, const std::vector<BundleTensor>& tensors) {
  const at::NoGradGuard no_grad;
  auto parameters = module.named_parameters();
  require(parameters.size() == tensors.size(), "a network of ", parameters.size(), " parameters was given ",
          tensors.size(), " tensors");
  for (const BundleTensor& tensor : tensors) {
    at::Tensor* parameter = parameters.find(tensor.name);
    require(parameter != nullptr, "tensor '", tensor.name, "' is not a parameter of this network");
    require(parameter->sizes() == at::IntArrayRef(tensor.shape), "tensor '", tensor.name, "' has shape ",
            shape_text(tensor.shape), ", wanted ", shape_text(parameter->sizes().vec()));
    parameter->copy_(to_tensor(tensor));
  }
}

void freeze(Module& module) {
  for (auto& parameter : module.parameters()) parameter.set_requires_grad(false);
}

// The row of a class by name; "" is the row behind the named ones.
std::int64_t class_row(const TextToPicture& model, const std::string& text) {
  const std::int64_t rows = model.class_rows();
  const auto names = static_cast<std::int64_t>(model.classes.size());
  if (text.empty()) {
    if (rows <= names)
      fail_usage("this network has no row for pictures of no class: draw by class, with --guidance 1");
    return names;
  }
  const auto found = std::find(model.classes.begin(), model.classes.end(), text);
  if (found != model.classes.end()) return found - model.classes.begin();
  std::string known;
  for (std::size_t i = 0; i < std::min<std::size_t>(model.classes.size(), 12); ++i)
    known += (i ? ", " : "") + model.classes[i];
  fail_usage("'", text, "' is none of the ", names, " classes: ", known, names > 12 ? " ..." : "");
}

}  // namespace

std::int64_t TextToPicture::class_rows() const {
  return unet ? unet->spec().num_class_embeds : dit ? dit->spec().class_rows() : 0;
}
bool TextToPicture::fills_in() const {
  return unet && vae && unet->spec().in_channels != vae->spec().latent_channels;
}
std::int64_t TextToPicture::channels() const {
  if (vae) return vae->spec().latent_channels;
  return unet ? unet->spec().in_channels : dit ? dit->spec().in_channels : transformer->spec().in_channels;
}
std::int64_t TextToPicture::sample_size() const {
  const std::int64_t side = unet  ? unet->spec().sample_size
                            : dit ? dit->spec().sample_size
                                  : transformer->spec().sample_size;
  return points_a_place() * side;
}
std::int64_t TextToPicture::side_step() const {
  const std::int64_t step = unet  ? unet->spec().smallest_side()
                            : dit ? dit->spec().patch_size
                                  : transformer->spec().patch_size;
  return points_a_place() * step;
}

std::vector<std::int64_t> TextToPicture::latent_shape(std::int64_t height, std::int64_t width) const {
  std::vector<std::int64_t> shape{channels(), height > 0 ? height : sample_size(),
                                  width > 0 ? width : sample_size()};
  for (std::size_t i = 1; i < 3; ++i) {
    if (shape[i] % side_step() != 0)
      fail_usage("a picture with a side of ", shape[i], " points: sides are multiples of ", side_step());
    shape[i] /= points_a_place();
  }
  return shape;
}

at::Tensor TextToPicture::to_pictures(const at::Tensor& latents) const {
  if (!vae) return latents;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> pictures;
  for (const at::Tensor& some : latents.split(kDecoded))
    pictures.push_back(vae->decode(vae->unscaled(some)).to(at::kFloat));
  return at::cat(pictures);
}

bool TextToPicture::guidable() const {
  return by_text() || class_rows() > static_cast<std::int64_t>(classes.size());
}

std::vector<std::pair<std::string, Module*>> TextToPicture::modules() const {
  if (dit) return {{"transformer.", dit.get()}};
  std::vector<std::pair<std::string, Module*>> all;
  if (unet)
    all.emplace_back("unet.", unet.get());
  else
    all.emplace_back("transformer.", transformer.get());
  if (text_encoder) all.emplace_back("text_encoder.", text_encoder.get());
  return all;
}

PictureCondition TextToPicture::condition(const std::vector<std::string>& texts) const {
  PictureCondition by;
  if (by_text()) {
    by.text = text(token_rows(*tokenizer, text_encoder->spec(), texts));
  } else if (class_rows() > 0) {
    std::vector<std::int64_t> rows;
    for (const std::string& text : texts) rows.push_back(class_row(*this, text));
    by.classes = at::tensor(rows);
  }
  return by;
}

TextCondition TextToPicture::text(const at::Tensor& ids) const {
  return read_texts(*text_encoder, ids, unet ? nullptr : &transformer->spec());
}

at::Tensor TextToPicture::predict(const at::Tensor& pictures, const at::Tensor& times,
                                  const PictureCondition& by) const {
  if (fills_in()) {
    const at::Tensor beside =
        by.beside.defined() ? by.beside : all_hidden(*vae, pictures.size(2), pictures.size(3));
    const at::Tensor all = beside.expand({pictures.size(0), -1, -1, -1}).to(pictures.scalar_type());
    return unet->forward(at::cat({pictures, all}, 1), times, by.classes, by.text.tokens);
  }
  if (unet) return unet->forward(pictures, times, by.classes, by.text.tokens);
  if (dit) return dit->forward(pictures, times, by.classes);
  return transformer->forward(pictures, times, by.text);
}

TextToPicture empty_picture_model(const PictureModel& model, at::ScalarType dtype) {
  TextToPicture result;
  result.schedule = NoiseSchedule(model.schedule);
  result.prediction = model.prediction;
  result.classes = model.classes;
  if (model.unet)
    result.unet = std::make_shared<UNet2D>(*model.unet, dtype);
  else if (model.dit)
    result.dit = std::make_shared<DiT>(*model.dit, dtype);
  else
    result.transformer = std::make_shared<JointTransformer>(model.transformer, dtype);
  if (model.vae) result.vae = std::make_shared<AutoencoderKL>(*model.vae, at::kFloat);
  if (!model.by_text()) return result;
  result.text_encoder = std::make_shared<ClipText>(model.text_encoder, dtype);
  result.tokenizer = model.tokenizer;
  return result;
}

void initialise(TextToPicture& model, std::uint64_t seed) {
  if (model.unet)
    model.unet->initialise(seed);
  else if (model.dit)
    model.dit->initialise(seed);
  else
    model.transformer->initialise(seed);
  if (model.text_encoder) model.text_encoder->initialise(seed);
}

TextToPicture build_picture_model(const PictureModel& model, at::ScalarType dtype) {
  TextToPicture result = empty_picture_model(model, dtype);
  if (model.unet)
    load(*result.unet, model.unet_tensors);
  else if (model.dit)
    load(*result.dit, model.transformer_tensors);
  else
    load(*result.transformer, model.transformer_tensors);
  if (model.by_text()) load(*result.text_encoder, model.text_tensors);
  if (!model.vae) return result;
  load(*result.vae, model.vae_tensors);
  freeze(*result.vae);
  return result;
}

std::shared_ptr<AutoencoderKL> build_vae(const PictureModel& model) {
  auto vae = std::make_shared<AutoencoderKL>(*model.vae, at::kFloat);
  load(*vae, model.vae_tensors);
  freeze(*vae);
  return vae;
}

std::shared_ptr<ClipText> build_text_encoder(const PictureModel& model, at::ScalarType dtype) {
  auto encoder = std::make_shared<ClipText>(model.text_encoder, dtype);
  load(*encoder, model.text_tensors);
  freeze(*encoder);
  return encoder;
}

std::vector<std::int64_t> condition_ids(const TextToPicture& model, const std::string& text) {
  if (!model.by_text() && model.class_rows() == 0) return {};
  if (!model.by_text()) return {class_row(model, text)};
  const at::Tensor row = token_rows(*model.tokenizer, model.text_encoder->spec(), {text});
  return {row.const_data_ptr<std::int64_t>(), row.const_data_ptr<std::int64_t>() + row.numel()};
}

at::Tensor token_rows(const Tokenizer& tokenizer, const ClipTextSpec& spec,
                      const std::vector<std::string>& texts) {
  const std::int64_t length = spec.max_positions;
  at::Tensor rows = at::empty({static_cast<std::int64_t>(texts.size()), length}, at::kLong);
  std::int64_t* row = rows.data_ptr<std::int64_t>();
  for (const std::string& text : texts) {
    const PromptIds prompt = prompt_ids(tokenizer, text, static_cast<std::size_t>(length));
    row = std::copy(prompt.ids.begin(), prompt.ids.end(), row);
  }
  return rows;
}

TextCondition text_condition(const ClipTextOutput& output, const JointTransformerSpec& spec) {
  const at::Tensor twice = at::cat({output.penultimate, output.penultimate}, 2);
  return {at::constant_pad_nd(twice, {0, spec.joint_attention_dim - twice.size(2)}),
          at::cat({output.pooled, output.pooled}, 1)};
}

TextCondition read_texts(const ClipText& encoder, const at::Tensor& ids, const JointTransformerSpec* mm_dit) {
  const ClipTextOutput output = encoder.forward(ids);
  return mm_dit ? text_condition(output, *mm_dit) : TextCondition{output.last, {}};
}

Picture to_picture(const at::Tensor& one) {
  require(one.dim() == 3 && one.size(0) >= 1 && one.size(0) <= 4, "a picture has 1 to 4 channels");
  const at::Tensor values = one.to(at::kFloat).permute({1, 2, 0}).contiguous();  // (H, W, c)
  Picture picture;
  picture.height = values.size(0);
  picture.width = values.size(1);
  picture.channels = values.size(2);
  picture.values.reserve(static_cast<std::size_t>(values.numel()));
  for (const float value : std::span(values.data_ptr<float>(), static_cast<std::size_t>(values.numel()))) {
    const float bounded = std::isnan(value) ? -1 : std::clamp(value, -1.0F, 1.0F);
    picture.values.push_back(static_cast<std::uint16_t>(std::lround((bounded + 1) * 32767.5F)));
  }
  return picture;
}

}  // namespace lathe
