#include <ATen/core/Tensor.h>

#include <cmath>

#include "models/ops/parallel.h"
#include "recipes/schema/error.h"
#include "trainer/optim/chunks.h"
#include "trainer/optim/kernels.h"
#include "trainer/optim/optimizer.h"

namespace lathe {
namespace {

bool is_bfloat16(const at::Tensor& tensor) { return tensor.scalar_type() == at::kBFloat16; }

const std::byte* element(const at::Tensor& tensor, std::int64_t index) {
  return static_cast<const std::byte*>(tensor.const_data_ptr()) +
         index * static_cast<std::int64_t>(tensor.element_size());
}

}  // namespace

std::vector<Parameter> make_parameters(const std::vector<std::pair<std::string, at::Tensor>>& named) {
  std::vector<Parameter> parameters;
  for (const auto& [name, weight] : named) {
    bool seen = false;  // tied parameters appear once
    for (const Parameter& other : parameters) seen = seen || other.weight.is_same(weight);
    if (seen) continue;
    require(is_bfloat16(weight) || weight.scalar_type() == at::kFloat, "parameter '", name,
            "': float32 or bfloat16 is wanted, found ", at::toString(weight.scalar_type()));
    Parameter parameter;
    parameter.name = name;
    parameter.weight = weight;
    parameter.master = is_bfloat16(weight) ? weight.detach().to(at::kFloat) : weight.detach();
    parameter.trainable = weight.requires_grad();
    parameter.decay = weight.dim() >= 2;
    const bool in_block =
        name.find("layers.") != std::string::npos || name.find("transformer_blocks.") != std::string::npos;
    parameter.muon = weight.dim() == 2 && in_block;
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

at::Tensor gradient_of(const Parameter& parameter) {
  return parameter.gradient.defined() ? parameter.gradient : parameter.weight.grad();
}

double gradient_norm(const std::vector<Parameter>& parameters, double scale) {
  std::vector<at::Tensor> gradients(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor gradient = gradient_of(parameters[i]);
    if (parameters[i].trainable && gradient.defined()) gradients[i] = gradient.contiguous();
  }
  const auto chunks = chunks_of(parameters, [&](std::size_t i) { return gradients[i].defined(); });
  std::vector<double> squares(chunks.size());
  const kernels::OptimKernels& table = kernels::optim_kernels();
  parallel_ranges(static_cast<std::int64_t>(chunks.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Chunk& chunk = chunks[i];
      const at::Tensor& gradient = gradients[chunk.parameter];
      squares[i] = table.sum_of_squares(element(gradient, chunk.begin), is_bfloat16(gradient), chunk.count);
    }
  });
  double total = 0;
  for (const double value : squares) total += value;
  return std::sqrt(total) * scale;
}

void accumulate_gradients(std::vector<Parameter>& parameters) {
  std::vector<at::Tensor> added(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& parameter = parameters[i];
    at::Tensor& gradient = parameter.weight.mutable_grad();
    if (!parameter.trainable || !gradient.defined()) continue;
    if (parameter.gradient.defined()) {
      added[i] = gradient.contiguous();
    } else {
      parameter.gradient = gradient.to(at::kFloat).contiguous();
    }
    gradient.reset();
  }
  const auto chunks = chunks_of(parameters, [&](std::size_t i) { return added[i].defined(); });
  const kernels::OptimKernels& table = kernels::optim_kernels();
  parallel_ranges(static_cast<std::int64_t>(chunks.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Chunk& chunk = chunks[i];
      const at::Tensor& gradient = added[chunk.parameter];
      float* sum = parameters[chunk.parameter].gradient.data_ptr<float>() + chunk.begin;
      table.accumulate(element(gradient, chunk.begin), is_bfloat16(gradient), sum, chunk.count);
    }
  });
}

void clear_gradients(std::vector<Parameter>& parameters) {
  for (Parameter& parameter : parameters) {
    parameter.gradient.reset();
    parameter.weight.mutable_grad().reset();
  }
}

}  // namespace lathe
