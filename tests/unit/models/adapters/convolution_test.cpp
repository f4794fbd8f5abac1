// LoRA on a convolution: two convolutions beside it are one with the merged kernel.
#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>

#include "models/adapters/adapter.h"
#include "models/layers/convolution.h"
#include "tests/catch.h"

namespace lathe {
namespace {

TEST_CASE("an adapted convolution is the convolution with the merged kernel") {
  at::manual_seed(3);
  for (const std::int64_t side : {1, 3}) {
    INFO(side);
    Convolution layer({.in = 3, .out = 4, .side = side, .stride = 2, .padding = side / 2}, at::kFloat);
    {
      const at::NoGradGuard no_grad;
      layer.weight.normal_();
      layer.bias.normal_();
    }
    const at::Tensor x = at::randn({2, 3, 6, 8}), plain = layer.forward(x).detach();
    AdapterSpec spec;
    spec.rank = 2;
    spec.alpha = 3;
    const auto adapter = std::make_shared<Adapter>(spec, layer.weight, 7, 0);
    CHECK(adapter->a.sizes() == at::IntArrayRef({2, 3, side, side}));
    CHECK(adapter->b.sizes() == at::IntArrayRef({4, 2, 1, 1}));
    layer.adapt(adapter);
    CHECK(at::equal(layer.forward(x), plain));  // B is zero
    {
      const at::NoGradGuard no_grad;
      adapter->b.normal_();
    }
    const at::Tensor change =
        at::mm(adapter->b.flatten(1), adapter->a.flatten(1)).view_as(layer.weight) * 1.5;
    const at::Tensor wanted = at::conv2d(x, layer.weight + change, layer.bias, 2, side / 2);
    const at::Tensor found = layer.forward(x);
    CHECK(at::allclose(found, wanted, 1e-4, 1e-5));
    CHECK_FALSE(at::allclose(found, plain, 1e-2, 1e-2));
    CHECK(at::allclose(adapter->merged(layer.weight), layer.weight + change, 1e-5, 1e-6));
    found.sum().backward();
    const auto parameters = layer.named_parameters();
    CHECK(parameters["lora_A.weight"].grad().abs().max().item<float>() > 0);
    CHECK(parameters["lora_B.weight"].grad().abs().max().item<float>() > 0);
  }
}

}  // namespace
}  // namespace lathe
