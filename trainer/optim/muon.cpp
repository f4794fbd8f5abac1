#include "trainer/optim/muon.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace lathe {

at::Tensor orthogonalise(const at::Tensor& matrix, at::ScalarType dtype) {
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = matrix.to(at::kFloat);
  x = (x / (x.norm() + 1e-7)).to(dtype);
  if (tall) x = x.t().contiguous();
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  for (int step = 0; step < 5; ++step) {
    const at::Tensor gram = at::mm(x, x.t());
    const at::Tensor polynomial = at::addmm(gram, gram, gram, b, c);  // b A + c A A
    x = at::addmm(x, polynomial, x, a, 1);                            // a X + (b A + c A A) X
  }
  return tall ? x.t() : x;
}

Muon::Muon(const OptimizerSection& section, std::vector<Parameter>& parameters, std::int64_t steps_done)
    : section_(section), rest_(section, parameters, steps_done, /*leave_muon_parameters=*/true) {
  for (const Parameter& parameter : parameters) {
    momentum_.push_back(parameter.trainable && parameter.muon ? buffers_.add("momentum." + parameter.name, parameter.weight)
                                                              : at::Tensor());
  }
}

void Muon::step(std::vector<Parameter>& parameters, const StepOptions& options) {
  const at::NoGradGuard no_grad;
  const double rate = section_.muon_learning_rate * options.learning_rate_scale;
  const double decay = section_.learning_rate * options.learning_rate_scale * section_.weight_decay;
  for (std::size_t i = 0; i < momentum_.size(); ++i) {
    Parameter& parameter = parameters[i];
    const at::Tensor gradient = gradient_of(parameter);
    if (!momentum_[i].defined() || !gradient.defined()) continue;
    const at::Tensor scaled = gradient.to(at::kFloat) * options.gradient_scale;
    momentum_[i].lerp_(scaled, 1 - section_.muon_momentum);
    const at::Tensor direction = orthogonalise(at::lerp(scaled, momentum_[i], section_.muon_momentum), parameter.weight.scalar_type());
    const double rows = static_cast<double>(parameter.weight.size(0)), columns = static_cast<double>(parameter.weight.size(1));
    if (parameter.decay) parameter.master.mul_(1 - decay);
    parameter.master.sub_(direction.to(at::kFloat), rate * std::sqrt(std::max(1.0, rows / columns)));
    if (!parameter.weight.is_alias_of(parameter.master)) parameter.weight.copy_(parameter.master);
  }
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
