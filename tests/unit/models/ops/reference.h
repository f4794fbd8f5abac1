#pragma once
// Fused operations against the same formula written with ATen in double precision, values and every gradient.
#include <ATen/core/Tensor.h>
#include <ATen/ops/randn_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/catch.h"

namespace lathe::test {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<Tensors(const Tensors&)>;

// Largest error relative to the largest element wanted (or to 0.1: gradients that cancel are noise).
inline double error(const at::Tensor& found, const at::Tensor& wanted) {
  if (wanted.numel() == 0) return 0;
  const at::Tensor difference = (found.to(at::kDouble) - wanted.to(at::kDouble)).abs();
  const double size = wanted.to(at::kDouble).abs().max().item<double>();
  const double worst = difference.max().item<double>();
  return std::isfinite(worst) ? worst / std::max(size, 0.1) : 1e9;
}

inline Tensors leaves(const Tensors& values, at::ScalarType type) {
  Tensors result;
  for (const at::Tensor& value : values)
    result.push_back(value.detach().to(type, false, /*copy=*/true).set_requires_grad(true));
  return result;
}

// Values (already rounded to `type`) go through both; outputs and gradients must agree.
inline void compare(const std::string& name, const Operation& fused, const Operation& reference,
                    Tensors values, at::ScalarType type, double tolerance) {
  for (at::Tensor& value : values) value = value.to(type);
  const Tensors found_leaves = leaves(values, type), wanted_leaves = leaves(values, at::kDouble);
  const Tensors found = fused(found_leaves), wanted = reference(wanted_leaves);
  REQUIRE(found.size() == wanted.size());
  Tensors found_seeds, wanted_seeds;
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO(name << ": output " << i << " of " << found[i].sizes());
    CHECK(found[i].sizes() == wanted[i].sizes());
    CHECK(error(found[i], wanted[i]) <= tolerance);
    const at::Tensor seed = at::randn_like(found[i]);
    found_seeds.push_back(seed);
    wanted_seeds.push_back(seed.to(at::kDouble));
  }
  const auto found_gradients = torch::autograd::grad(found, found_leaves, found_seeds);
  const auto wanted_gradients = torch::autograd::grad(wanted, wanted_leaves, wanted_seeds);
  for (std::size_t i = 0; i < found_gradients.size(); ++i) {
    INFO(name << ": gradient " << i << " of " << values[i].sizes());
    CHECK(found_gradients[i].scalar_type() == type);
    CHECK(error(found_gradients[i], wanted_gradients[i]) <= tolerance);
  }
}

inline void compare_both_types(const std::string& name, const Operation& fused, const Operation& reference,
                               const Tensors& values) {
  compare(name + " fp32", fused, reference, values, at::kFloat, 1e-5);
  compare(name + " bf16", fused, reference, values, at::kBFloat16, 1.2e-2);
}

}  // namespace lathe::test
