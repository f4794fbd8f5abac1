#include "trainer/optim/averages.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace lathe {

Averages::Averages(const std::vector<Parameter>& parameters, double decay) : decay_(decay) {
  for (const Parameter& parameter : parameters) values_.push_back(parameter.master.detach().clone());
}

void Averages::update(const std::vector<Parameter>& parameters, std::int64_t step) {
  const at::NoGradGuard no_grad;
  const double taken = static_cast<double>(step);
  const double decay = std::min(decay_, (1 + taken) / (10 + taken));
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i].lerp_(parameters[i].master, 1 - decay);
}

AveragesInUse::AveragesInUse(const Averages* averages, std::vector<Parameter>& parameters) {
  if (averages == nullptr) return;
  const at::NoGradGuard no_grad;
  parameters_ = &parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    weights_.push_back(parameters[i].weight.detach().clone());
    parameters[i].weight.copy_(averages->values()[i]);
  }
}

AveragesInUse::~AveragesInUse() {
  if (parameters_ == nullptr) return;
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < weights_.size(); ++i) (*parameters_)[i].weight.copy_(weights_[i]);
}

}  // namespace lathe
