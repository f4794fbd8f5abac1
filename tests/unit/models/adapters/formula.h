#pragma once
// The published formulas in fp64 and plain ATen, with autograd of their own: what the adapters are held
// against.
//   LoRA (arXiv 2106.09685):  y = x W^T + s (x A^T) B^T + bias, s = alpha / r, or alpha / sqrt(r) (arXiv
//   2312.03732) DoRA (arXiv 2402.09353):  y = x (m * V / |V|_row)^T + bias, V = W + s B A, |V| a constant of
//   the gradient (section 4.3)
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>

#include <cmath>
#include <memory>
#include <vector>

#include "models/adapters/adapter.h"
#include "models/layers/linear.h"

namespace lathe::formula {

struct Parts {
  at::Tensor x, w, bias, a, b, magnitude;  // fp64 leaves; bias and magnitude may be undefined
};

inline at::Tensor leaf(const at::Tensor& t) {
  return t.defined() ? t.detach().to(at::kDouble).clone().requires_grad_() : t;
}

inline at::Tensor output(const Parts& p, double scaling) {
  const at::Tensor v = p.w + scaling * at::mm(p.b, p.a);
  at::Tensor weight = v;
  if (p.magnitude.defined()) weight = (p.magnitude / v.detach().norm(2, 1)).unsqueeze(1) * v;
  const at::Tensor y = at::mm(p.x, weight.t());
  return p.bias.defined() ? y + p.bias : y;
}

// y, then the gradients of sum(y * ramp) for x, A, B and, where there is one, the magnitude.
inline std::vector<at::Tensor> values_and_gradients(const at::Tensor& y,
                                                    const std::vector<at::Tensor>& inputs) {
  const at::Tensor ramp = at::linspace(-1, 1, y.numel(), y.options()).view(y.sizes());
  std::vector<at::Tensor> values = {y};
  for (at::Tensor& gradient : torch::autograd::grad({y}, inputs, {ramp})) values.push_back(gradient);
  return values;
}

// A Linear with random weight, bias, factors and magnitudes: a zero B would hide half of the formula.
inline std::shared_ptr<Linear> random_linear(const AdapterSpec& spec, std::int64_t in, std::int64_t out,
                                             bool bias) {
  const at::NoGradGuard no_grad;
  const auto linear = std::make_shared<Linear>(in, out, bias, at::kFloat);
  for (at::Tensor& p : linear->parameters()) p.normal_(0, 0.4).set_requires_grad(false);
  const auto adapter = std::make_shared<Adapter>(spec, linear->weight, 5, 0);
  adapter->a.normal_(0, 0.3);
  adapter->b.normal_(0, 0.3);
  if (adapter->magnitude.defined()) adapter->magnitude.mul_(at::rand(out) + 0.5);
  linear->adapt(adapter);
  return linear;
}

inline std::vector<at::Tensor> trained(const Linear& linear) {
  std::vector<at::Tensor> tensors = {linear.adapter()->a, linear.adapter()->b};
  if (linear.adapter()->magnitude.defined()) tensors.push_back(linear.adapter()->magnitude);
  return tensors;
}

inline double relative_error(const at::Tensor& found, const at::Tensor& wanted) {
  const at::Tensor a = found.detach().to(at::kDouble), b = wanted.detach().to(at::kDouble);
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

}  // namespace lathe::formula
