#include "trainer/masters.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "recipes/schema/error.h"

namespace lathe {

void round_into(Module& model, const Module& full) {
  const at::NoGradGuard no_grad;
  const auto values = full.named_parameters();
  for (auto& item : model.named_parameters()) {
    const at::Tensor* value = values.find(item.name);
    require(value != nullptr, "parameter '", item.name, "' has no value in fp32");
    item.tensor.copy_(*value);
  }
}

void keep_masters(std::vector<Parameter>& parameters, const Module& full, const std::string& prefix) {
  const auto values = full.named_parameters();
  for (Parameter& parameter : parameters) {
    if (!parameter.name.starts_with(prefix)) continue;
    const at::Tensor* value = values.find(parameter.name.substr(prefix.size()));
    require(value != nullptr, "parameter '", parameter.name, "' has no value in fp32");
    parameter.master = value->detach();
  }
}

}  // namespace lathe
