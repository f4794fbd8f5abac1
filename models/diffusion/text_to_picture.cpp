#include "models/diffusion/text_to_picture.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "data/random/philox.h"
#include "data/tokenizers/clip.h"
#include "models/decoder/weights.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::size_t kBatch = 64;
// Sites of Purpose::Sampling.
constexpr std::uint32_t kStart = 0, kAdded = 1;

void load(torch::nn::Module& module, const std::vector<BundleTensor>& tensors) {
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

at::Tensor normal(const RandomKey& key, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kFloat);
  RandomStream(key).fill_normal(
      0, std::span(values.data_ptr<float>(), static_cast<std::size_t>(values.numel())));
  return values;
}

// The first of `one` for every row of `many`, then `many`.
at::Tensor before_each(const at::Tensor& one, const at::Tensor& many) {
  if (!many.defined()) return {};
  return at::cat({one.expand_as(many), many});
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

// What a batch is drawn by: its texts, and no text for the guided stretch.
class GuidedNetwork {
 public:
  GuidedNetwork(const TextToPicture& model, const std::vector<std::string>& prompts,
                const DrawOptions& options)
      : model_(model), options_(options), asked_(model.condition(prompts)) {
    guided_ = options.guidance != 1 && (model.by_text() || asked_.classes.defined());
    if (!guided_) return;
    const PictureCondition empty = model.condition({""});
    both_.text.tokens = before_each(empty.text.tokens, asked_.text.tokens);
    both_.text.pooled = before_each(empty.text.pooled, asked_.text.pooled);
    both_.classes = before_each(empty.classes, asked_.classes);
  }

  // What the network says of x (B, c, H, W) at `time`, `share` of the way to the picture; fp32.
  at::Tensor predict(const at::Tensor& x, double time, double share) const {
    const bool guided = guided_ && share >= options_.guidance_from && share < options_.guidance_until;
    const at::Tensor input = guided ? at::cat({x, x}) : x;
    const at::Tensor times = at::full({input.size(0)}, time, at::kFloat);
    const at::Tensor output = model_.predict(input, times, guided ? both_ : asked_).to(at::kFloat);
    if (!guided) return output;
    const auto halves = output.chunk(2);  // without the text, with it
    return halves[0] + options_.guidance * (halves[1] - halves[0]);
  }

 private:
  const TextToPicture& model_;
  const DrawOptions& options_;
  PictureCondition asked_, both_;
  bool guided_ = false;
};

at::Tensor draw_batch(const TextToPicture& model, const std::vector<std::string>& prompts,
                      std::span<const std::uint64_t> numbers, const DrawOptions& options) {
  const std::vector<std::int64_t> shape{model.channels(),
                                        options.height > 0 ? options.height : model.sample_size(),
                                        options.width > 0 ? options.width : model.sample_size()};
  Sampler sampler(model.schedule, model.prediction, {.kind = options.sampler, .steps = options.steps});
  const auto noise = [&](std::uint32_t site, std::uint64_t visit) {
    std::vector<at::Tensor> rows;
    for (const std::uint64_t number : numbers)
      rows.push_back(normal({options.seed, Purpose::Sampling, site, visit, number}, shape));
    return at::stack(rows);
  };
  const GuidedNetwork network(model, prompts, options);
  const auto evaluations = static_cast<double>(sampler.times().size());
  at::Tensor x = noise(kStart, 0) * sampler.initial_scale();
  for (std::int64_t index = 0; !sampler.done(); ++index) {
    const double share = static_cast<double>(index) / evaluations;
    const at::Tensor output = network.predict(sampler.model_input(x), sampler.time(), share);
    x = sampler.step(output, x, [&](std::size_t step) { return noise(kAdded, step); });
  }
  return x;
}

}  // namespace

std::int64_t TextToPicture::class_rows() const {
  return unet ? unet->spec().num_class_embeds : dit ? dit->spec().class_rows() : 0;
}
std::int64_t TextToPicture::channels() const {
  return unet ? unet->spec().in_channels : dit ? dit->spec().in_channels : transformer->spec().in_channels;
}
std::int64_t TextToPicture::sample_size() const {
  return unet ? unet->spec().sample_size : dit ? dit->spec().sample_size : transformer->spec().sample_size;
}
std::int64_t TextToPicture::side_step() const {
  return unet ? unet->spec().smallest_side() : dit ? dit->spec().patch_size : transformer->spec().patch_size;
}

bool TextToPicture::guidable() const {
  return by_text() || class_rows() > static_cast<std::int64_t>(classes.size());
}

std::vector<std::pair<std::string, torch::nn::Module*>> TextToPicture::modules() const {
  if (unet) return {{"unet.", unet.get()}};
  if (dit) return {{"transformer.", dit.get()}};
  return {{"transformer.", transformer.get()}, {"text_encoder.", text_encoder.get()}};
}

PictureCondition TextToPicture::condition(const std::vector<std::string>& texts) const {
  PictureCondition by;
  if (by_text()) {
    const at::Tensor ids = token_rows(*tokenizer, text_encoder->spec(), texts);
    by.text = text_condition(text_encoder->forward(ids), transformer->spec());
  } else if (class_rows() > 0) {
    std::vector<std::int64_t> rows;
    for (const std::string& text : texts) rows.push_back(class_row(*this, text));
    by.classes = at::tensor(rows);
  }
  return by;
}

at::Tensor TextToPicture::predict(const at::Tensor& pictures, const at::Tensor& times,
                                  const PictureCondition& by) const {
  if (unet) return unet->forward(pictures, times, by.classes);
  if (dit) return dit->forward(pictures, times, by.classes);
  return transformer->forward(pictures, times, by.text);
}

TextToPicture empty_picture_model(const PictureModel& model, at::ScalarType dtype) {
  TextToPicture result;
  result.schedule = NoiseSchedule(model.schedule);
  result.prediction = model.prediction;
  result.classes = model.classes;
  if (model.unet) result.unet = std::make_shared<UNet2D>(*model.unet, dtype);
  if (model.dit) result.dit = std::make_shared<DiT>(*model.dit, dtype);
  if (!model.by_text()) return result;
  result.transformer = std::make_shared<JointTransformer>(model.transformer, dtype);
  result.text_encoder = std::make_shared<ClipText>(model.text_encoder, dtype);
  result.tokenizer = model.tokenizer;
  return result;
}

void initialise(TextToPicture& model, std::uint64_t seed) {
  if (model.unet) return model.unet->initialise(seed);
  if (model.dit) return model.dit->initialise(seed);
  model.transformer->initialise(seed);
  model.text_encoder->initialise(seed);
}

TextToPicture build_picture_model(const PictureModel& model, at::ScalarType dtype) {
  TextToPicture result = empty_picture_model(model, dtype);
  if (model.unet) {
    load(*result.unet, model.unet_tensors);
    return result;
  }
  if (model.dit) {
    load(*result.dit, model.transformer_tensors);
    return result;
  }
  load(*result.transformer, model.transformer_tensors);
  load(*result.text_encoder, model.text_tensors);
  return result;
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

at::Tensor starting_noise(std::uint64_t seed, std::uint64_t number, at::IntArrayRef shape) {
  return normal({seed, Purpose::Sampling, kStart, 0, number}, shape);
}

at::Tensor draw_pictures(const TextToPicture& model, const std::vector<std::string>& prompts,
                         const std::vector<std::uint64_t>& numbers, const DrawOptions& options) {
  require(!prompts.empty() && prompts.size() == numbers.size(), prompts.size(), " prompts and ",
          numbers.size(), " numbers of pictures: as many of one as of the other are wanted");
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> drawn;
  for (std::size_t first = 0; first < prompts.size(); first += kBatch) {
    const std::size_t count = std::min(kBatch, prompts.size() - first);
    const auto begin = prompts.begin() + static_cast<std::ptrdiff_t>(first);
    drawn.push_back(draw_batch(model, {begin, begin + static_cast<std::ptrdiff_t>(count)},
                               std::span(numbers).subspan(first, count), options));
  }
  return at::cat(drawn);
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
