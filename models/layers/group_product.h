#pragma once
// The product of a LinearGroup and its gradients, shared by the autograd functions that read it in different
// ways. For sources of this folder only.
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace lathe {

// What a function takes of a group: the fused buffers (no gradient of their own) and the parameters that are
// views of them, weights then biases, which get the gradients.
struct GroupTensors {
  at::Tensor weight;
  std::optional<at::Tensor> bias;
  std::vector<at::Tensor> parameters;
};

// x (N, in) -> (N, sum of out). `parameters` as in GroupTensors; saves for group_gradients.
at::Tensor group_product(torch::autograd::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, at::TensorList parameters);

// Gradients of (x, weight, bias, parameters...) from that of the product (N, sum of out). Parameters' are
// views of one tensor.
torch::autograd::variable_list group_gradients(torch::autograd::AutogradContext* ctx,
                                               const at::Tensor& gradient);

}  // namespace lathe
