#include "trainer/optim/muon.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>

#include "models/ops/ops.h"
#include "models/ops/parallel.h"
#include "recipes/schema/error.h"
#include "trainer/optim/kernels.h"

namespace lathe {

namespace {

// Five steps of X <- a X + (b A + c A^2) X with A = X X^T, on the side of X that is the smaller square.
at::Tensor newton_schulz(at::Tensor x) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  const bool tall = x.size(0) > x.size(1);
  for (int step = 0; step < 5; ++step) {
    const at::Tensor gram = tall ? transposed_product(x, x) : at::mm(x, x.t());
    const at::Tensor polynomial = at::addmm(gram, gram, gram, b, c);
    x = tall ? at::addmm(x, x, polynomial, a, 1) : at::addmm(x, polynomial, x, a, 1);
  }
  return x;
}

}  // namespace

at::Tensor orthogonalise(const at::Tensor& matrix, at::ScalarType dtype) {
  const at::Tensor wide = matrix.to(at::kFloat);
  return newton_schulz((wide / (wide.norm() + 1e-7)).to(dtype).contiguous());
}

Muon::Muon(const OptimizerSection& section, std::vector<Parameter>& parameters, std::int64_t steps_done)
    : section_(section), rest_(section, parameters, steps_done, /*leave_muon_parameters=*/true) {
  for (const Parameter& parameter : parameters) {
    momentum_.push_back(parameter.trainable && parameter.muon
                            ? buffers_.add("momentum." + parameter.name, parameter.weight)
                            : at::Tensor());
  }
}

// A matrix is one thread's work from its gradient to its weight, so small products need no waiting for one
// another.
void Muon::step(std::vector<Parameter>& parameters, const StepOptions& options) {
  require(parameters.size() == momentum_.size(), "Muon: made for ", momentum_.size(),
          " parameters, stepping ", parameters.size());
  const double rate = section_.muon_learning_rate * options.learning_rate_scale;
  const double decay = section_.learning_rate * options.learning_rate_scale * section_.weight_decay;
  std::vector<std::pair<std::size_t, at::Tensor>> work;  // parameter, gradient
  for (std::size_t i = 0; i < momentum_.size(); ++i) {
    const at::Tensor gradient = gradient_of(parameters[i]);
    if (momentum_[i].defined() && gradient.defined()) work.emplace_back(i, gradient.contiguous());
  }
  std::stable_sort(work.begin(), work.end(),
                   [](const auto& a, const auto& b) { return a.second.numel() > b.second.numel(); });
  const kernels::OptimKernels& table = kernels::optim_kernels();
  parallel_tasks(static_cast<std::int64_t>(work.size()), [&](std::int64_t task) {
    const at::NoGradGuard no_grad;
    const auto& [index, gradient] = work[static_cast<std::size_t>(task)];
    Parameter& parameter = parameters[index];
    const std::int64_t rows = parameter.weight.size(0), columns = parameter.weight.size(1),
                       count = rows * columns;
    const bool narrow = parameter.weight.scalar_type() == at::kBFloat16;
    at::Tensor direction = at::empty({rows, columns}, parameter.weight.scalar_type());
    const double squares =
        table.muon_momentum({.gradient = gradient.const_data_ptr(),
                             .bfloat16_gradient = gradient.scalar_type() == at::kBFloat16,
                             .bfloat16_direction = narrow,
                             .momentum = momentum_[index].data_ptr<float>(),
                             .direction = direction.data_ptr(),
                             .count = count,
                             .gradient_scale = static_cast<float>(options.gradient_scale),
                             .momentum_weight = static_cast<float>(section_.muon_momentum)});
    direction = newton_schulz(direction.mul_(1 / (std::sqrt(squares) + 1e-7)));
    const double scale = std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
    table.muon_apply({.direction = direction.const_data_ptr(),
                      .bfloat16_direction = narrow,
                      .master = parameter.master.data_ptr<float>(),
                      .weight = narrow ? static_cast<std::uint16_t*>(parameter.weight.data_ptr()) : nullptr,
                      .count = count,
                      .keep = static_cast<float>(parameter.decay ? 1 - decay : 1),
                      .rate = static_cast<float>(rate * scale)});
  });
  rest_.step(parameters, options);
}

std::vector<BundleTensor> Muon::state() const {
  std::vector<BundleTensor> result = buffers_.tensors();
  for (BundleTensor& tensor : rest_.state()) result.push_back(std::move(tensor));
  return result;
}

void Muon::load_state(const std::vector<BundleTensor>& tensors) {
  rest_.load_state(tensors);
  buffers_.load(tensors);
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSection& section, std::vector<Parameter>& parameters,
                                          std::int64_t steps_done) {
  if (section.name == "muon") return std::make_unique<Muon>(section, parameters, steps_done);
  return std::make_unique<AdamW>(section, parameters, steps_done, /*leave_muon_parameters=*/false);
}

}  // namespace lathe
