#include "models/diffusion/initialise.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

namespace lathe {

void fill_uniform(at::Tensor& parameter, const RandomStream& stream, double bound) {
  at::Tensor values = at::empty({parameter.numel()}, at::kFloat);
  float* out = values.data_ptr<float>();
  for (std::size_t i = 0; i < static_cast<std::size_t>(parameter.numel()); ++i)
    out[i] = static_cast<float>((2 * stream.uniform(i) - 1) * bound);
  parameter.copy_(values.view(parameter.sizes()));
}

double xavier_bound(const at::Tensor& parameter) {
  const double places =
      static_cast<double>(parameter.numel()) / static_cast<double>(parameter.size(0) * parameter.size(1));
  return std::sqrt(6 / (static_cast<double>(parameter.size(0) + parameter.size(1)) * places));
}

}  // namespace lathe
