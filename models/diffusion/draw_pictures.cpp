// From noise to pictures, step by step.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <span>

#include "models/diffusion/drawn_at_once.h"
#include "models/diffusion/fill_in.h"
#include "models/diffusion/noise.h"
#include "models/diffusion/text_to_picture.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

// Sites of Purpose::Sampling.
constexpr std::uint32_t kStart = 0, kAdded = 1;

// The first of `one` for every row of `many`, then `many`.
at::Tensor before_each(const at::Tensor& one, const at::Tensor& many) {
  if (!many.defined()) return {};
  return at::cat({one.expand_as(many), many});
}

// What a batch is drawn by: its texts, and no text for the guided stretch.
class GuidedNetwork {
 public:
  GuidedNetwork(const TextToPicture& model, const std::vector<std::string>& prompts,
                const DrawOptions& options)
      : model_(model), options_(options), asked_(model.condition(prompts)) {
    if (model.fills_in()) asked_.beside = both_.beside = beside(model, options);
    guided_ = options.guidance != 1 && (asked_.text.tokens.defined() || asked_.classes.defined());
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
  // Of all pictures the same; made once, not at every step.
  static at::Tensor beside(const TextToPicture& model, const DrawOptions& options) {
    if (options.beside.defined()) return options.beside;
    const auto shape = model.latent_shape(options.height, options.width);
    return all_hidden(*model.vae, shape[1], shape[2]);
  }

  const TextToPicture& model_;
  const DrawOptions& options_;
  PictureCondition asked_, both_;
  bool guided_ = false;
};

at::Tensor draw_batch(const TextToPicture& model, const std::vector<std::string>& prompts,
                      std::span<const std::uint64_t> numbers, const DrawOptions& options) {
  const std::vector<std::int64_t> shape = model.latent_shape(options.height, options.width);
  Sampler sampler(model.schedule, model.prediction, usual_sampler_options(options.sampler, options.steps));
  const auto noise = [&](std::uint32_t site, std::uint64_t visit) {
    std::vector<at::Tensor> rows;
    for (const std::uint64_t number : numbers)
      rows.push_back(normal_noise({options.seed, Purpose::Sampling, site, visit, number}, shape));
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

at::Tensor starting_noise(std::uint64_t seed, std::uint64_t number, at::IntArrayRef shape) {
  return normal_noise({seed, Purpose::Sampling, kStart, 0, number}, shape);
}

at::Tensor draw_pictures(const TextToPicture& model, const std::vector<std::string>& prompts,
                         const std::vector<std::uint64_t>& numbers, const DrawOptions& options) {
  require(!prompts.empty() && prompts.size() == numbers.size(), prompts.size(), " prompts and ",
          numbers.size(), " numbers of pictures: as many of one as of the other are wanted");
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> drawn;
  const auto shape = model.latent_shape(options.height, options.width);
  const auto batch = static_cast<std::size_t>(drawn_at_once(shape[1], shape[2]));
  for (std::size_t first = 0; first < prompts.size(); first += batch) {
    const std::size_t count = std::min(batch, prompts.size() - first);
    const auto begin = prompts.begin() + static_cast<std::ptrdiff_t>(first);
    drawn.push_back(draw_batch(model, {begin, begin + static_cast<std::ptrdiff_t>(count)},
                               std::span(numbers).subspan(first, count), options));
    if (options.drawn) options.drawn(first + count);
  }
  return at::cat(drawn);
}

}  // namespace lathe
