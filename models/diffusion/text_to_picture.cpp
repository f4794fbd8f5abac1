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

TextCondition condition_of(const TextToPicture& model, const std::vector<std::string>& texts) {
  const at::Tensor ids = token_rows(*model.tokenizer, model.text_encoder->spec(), texts);
  return text_condition(model.text_encoder->forward(ids), model.transformer->spec());
}

// What a batch is drawn by: its texts, and no text for the guided stretch.
class GuidedNetwork {
 public:
  GuidedNetwork(const TextToPicture& model, const std::vector<std::string>& prompts,
                const DrawOptions& options)
      : model_(model), options_(options), text_(condition_of(model, prompts)) {
    if (options.guidance == 1) return;
    const TextCondition empty = condition_of(model, {""});
    const auto count = static_cast<std::int64_t>(prompts.size());
    both_.tokens = at::cat({empty.tokens.expand({count, -1, -1}), text_.tokens});
    both_.pooled = at::cat({empty.pooled.expand({count, -1}), text_.pooled});
  }

  // What the network says of x (B, c, H, W) at `time`, `share` of the way to the picture; fp32.
  at::Tensor predict(const at::Tensor& x, double time, double share) const {
    const bool guided =
        both_.tokens.defined() && share >= options_.guidance_from && share < options_.guidance_until;
    const at::Tensor input = guided ? at::cat({x, x}) : x;
    const at::Tensor times = at::full({input.size(0)}, time, at::kFloat);
    const at::Tensor output =
        model_.transformer->forward(input, times, guided ? both_ : text_).to(at::kFloat);
    if (!guided) return output;
    const auto halves = output.chunk(2);  // without the text, with it
    return halves[0] + options_.guidance * (halves[1] - halves[0]);
  }

 private:
  const TextToPicture& model_;
  const DrawOptions& options_;
  TextCondition text_, both_;
};

at::Tensor draw_batch(const TextToPicture& model, const std::vector<std::string>& prompts,
                      std::span<const std::uint64_t> numbers, const DrawOptions& options) {
  const JointTransformerSpec& spec = model.transformer->spec();
  const std::vector<std::int64_t> shape{spec.in_channels,
                                        options.height > 0 ? options.height : spec.sample_size,
                                        options.width > 0 ? options.width : spec.sample_size};
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

TextToPicture build_picture_model(const PictureModel& model, at::ScalarType dtype) {
  TextToPicture result{std::make_shared<JointTransformer>(model.transformer, dtype),
                       std::make_shared<ClipText>(model.text_encoder, dtype), model.tokenizer,
                       NoiseSchedule(model.schedule), model.prediction};
  load(*result.transformer, model.transformer_tensors);
  load(*result.text_encoder, model.text_tensors);
  return result;
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
