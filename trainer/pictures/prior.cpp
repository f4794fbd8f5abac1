#include "trainer/pictures/prior.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>

#include "data/io/line_reader.h"
#include "models/diffusion/fill_in.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

// Ids of noise apart from those of any training picture (picture_id() stays below).
constexpr std::uint64_t kPriorIds = std::uint64_t{1} << 63;

at::Tensor rows_of(const at::Tensor& all, const at::Tensor& rows) {
  return all.defined() ? all.index_select(0, rows) : all;
}

}  // namespace

FrozenPrior::FrozenPrior(TextToPicture base, const PriorSection& section, const DrawOptions& draw)
    : base_(std::move(base)), section_(section) {
  const std::vector<std::string> lines = filled_lines(section.prompts);
  if (lines.empty()) fail_usage(section.prompts, ": has no prompts; wanted one a line");
  for (std::int64_t i = 0; i < section.pictures; ++i)
    prompts_.push_back(lines[static_cast<std::size_t>(i) % lines.size()]);
  std::vector<std::string> distinct(lines);
  std::ranges::sort(distinct);
  distinct.erase(std::ranges::unique(distinct).begin(), distinct.end());
  for (const std::string& prompt : prompts_)
    which_.push_back(std::ranges::lower_bound(distinct, prompt) - distinct.begin());
  if (base_.guidable()) distinct.emplace_back();
  {
    const at::NoGradGuard no_grad;
    known_ = base_.condition(distinct);
    nothing_ = static_cast<std::int64_t>(distinct.size()) - 1;
    const auto shape = base_.latent_shape(draw.height, draw.width);
    if (base_.fills_in()) known_.beside = all_hidden(*base_.vae, shape[1], shape[2]);
  }
  std::vector<std::uint64_t> numbers(prompts_.size());
  std::iota(numbers.begin(), numbers.end(), kPriorIds);
  pictures_ = draw_pictures(base_, prompts_, numbers, draw);
  if (!base_.vae) pictures_ = pictures_.clamp(-1, 1);  // latents have no bounds
}

PriorBatch FrozenPrior::rows(std::uint64_t first, std::int64_t count, const DenoisingOptions& options) const {
  const at::NoGradGuard no_grad;
  const auto each = static_cast<std::uint64_t>(section_.per_picture),
             all = static_cast<std::uint64_t>(prompts_.size());
  std::vector<std::uint64_t> ids, visits;
  std::vector<std::int64_t> which, asked;
  PriorBatch batch;
  for (std::uint64_t n = first * each; n < (first + static_cast<std::uint64_t>(count)) * each; ++n) {
    which.push_back(static_cast<std::int64_t>(n % all));
    ids.push_back(kPriorIds + n % all);
    visits.push_back(n / all);
    batch.captions.push_back(prompts_[n % all]);
  }
  batch.asked = add_noise(pictures_.index_select(0, at::tensor(which, at::kLong)), ids, visits, options);
  for (std::size_t i = 0; i < batch.captions.size(); ++i) {
    if (batch.asked.dropped[i]) batch.captions[i].clear();
    asked.push_back(batch.asked.dropped[i] ? nothing_ : which_[static_cast<std::size_t>(which[i])]);
  }
  const at::Tensor rows = at::tensor(asked, at::kLong);
  batch.beside = known_.beside;
  const PictureCondition by{{rows_of(known_.text.tokens, rows), rows_of(known_.text.pooled, rows)},
                            rows_of(known_.classes, rows),
                            known_.beside};
  batch.asked.target = base_.predict(batch.asked.noisy, batch.asked.times, by).to(at::kFloat);
  return batch;
}

}  // namespace lathe
