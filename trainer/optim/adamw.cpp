#include "trainer/optim/adamw.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "models/decoder/weights.h"
#include "models/ops/parallel.h"
#include "recipes/schema/error.h"
#include "trainer/optim/chunks.h"
#include "trainer/optim/kernels.h"

namespace lathe {

at::Tensor& StateBuffers::add(const std::string& name, const at::Tensor& like) {
  buffers_.emplace_back(name, at::zeros(like.sizes(), at::kFloat));
  return buffers_.back().second;
}

std::vector<BundleTensor> StateBuffers::tensors() const {
  std::vector<BundleTensor> result;
  for (const auto& [name, buffer] : buffers_) result.push_back(from_tensor(name, buffer));
  return result;
}

void StateBuffers::load(const std::vector<BundleTensor>& tensors) {
  std::map<std::string, const BundleTensor*> by_name;
  for (const BundleTensor& tensor : tensors) by_name[tensor.name] = &tensor;
  for (auto& [name, buffer] : buffers_) {  // all are checked before one is changed
    const auto found = by_name.find(name);
    require(found != by_name.end(), "optimizer state: '", name, "' is missing among ", tensors.size(),
            " tensors");
    require(at::IntArrayRef(found->second->shape) == buffer.sizes(), "optimizer state: '", name,
            "' should have shape ", buffer.sizes(), ", found ", at::IntArrayRef(found->second->shape));
  }
  for (auto& [name, buffer] : buffers_) buffer.copy_(to_tensor(*by_name.at(name)));
}

AdamW::AdamW(const OptimizerSection& section, std::vector<Parameter>& parameters, std::int64_t steps_done,
             bool leave_muon_parameters)
    : section_(section), steps_(buffers_.add("step", at::zeros({1}))) {
  steps_.fill_(static_cast<double>(steps_done));
  for (const Parameter& parameter : parameters) {
    Moments moments;
    if (parameter.trainable && !(leave_muon_parameters && parameter.muon)) {
      moments.exp_avg = buffers_.add("exp_avg." + parameter.name, parameter.weight);
      moments.exp_avg_sq = buffers_.add("exp_avg_sq." + parameter.name, parameter.weight);
    }
    moments_.push_back(moments);
  }
}

void AdamW::step(std::vector<Parameter>& parameters, const StepOptions& options) {
  require(parameters.size() == moments_.size(), "AdamW: made for ", moments_.size(), " parameters, stepping ",
          parameters.size());
  steps_ += 1;
  const double steps = steps_.item<double>();
  const double rate = section_.learning_rate * options.learning_rate_scale;
  const double bias1 = 1 - std::pow(section_.beta1, steps);
  const double bias2 = 1 - std::pow(section_.beta2, steps);
  kernels::AdamwScalars scalars{.gradient_scale = static_cast<float>(options.gradient_scale),
                                .keep = 1,
                                .gradient_weight = static_cast<float>(1 - section_.beta1),
                                .beta2 = static_cast<float>(section_.beta2),
                                .square_weight = static_cast<float>(1 - section_.beta2),
                                .bias2_root = static_cast<float>(std::sqrt(bias2)),
                                .eps = static_cast<float>(section_.eps),
                                .step_size = static_cast<float>(rate / bias1)};
  const auto decayed = static_cast<float>(1 - rate * section_.weight_decay);

  std::vector<at::Tensor> gradients(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor gradient = gradient_of(parameters[i]);
    if (moments_[i].exp_avg.defined() && gradient.defined()) gradients[i] = gradient.contiguous();
  }
  const auto chunks = chunks_of(parameters, [&](std::size_t i) { return gradients[i].defined(); });
  const kernels::OptimKernels& table = kernels::optim_kernels();
  parallel_ranges(static_cast<std::int64_t>(chunks.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      const auto& [index, first, count] = chunks[c];
      const Parameter& parameter = parameters[index];
      const at::Tensor& gradient = gradients[index];
      kernels::AdamwScalars own = scalars;
      if (parameter.decay) own.keep = decayed;
      const bool copy = parameter.weight.scalar_type() == at::kBFloat16;
      table.adamw(
          {.gradient = static_cast<const std::byte*>(gradient.const_data_ptr()) +
                       first * static_cast<std::int64_t>(gradient.element_size()),
           .bfloat16_gradient = gradient.scalar_type() == at::kBFloat16,
           .master = parameter.master.data_ptr<float>() + first,
           .exp_avg = moments_[index].exp_avg.data_ptr<float>() + first,
           .exp_avg_sq = moments_[index].exp_avg_sq.data_ptr<float>() + first,
           .weight = copy ? static_cast<std::uint16_t*>(parameter.weight.data_ptr()) + first : nullptr,
           .count = count},
          own);
    }
  });
}

}  // namespace lathe
