// Two ranks against the same sums computed by one process without any of this code.
#include "tests/catch.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include "recipes/schema/error.h"
#include "tests/unit/trainer/parallel/processes.h"

using namespace lathe;
using lathe::testing::expect;
using lathe::testing::Forked;

namespace {

at::Tensor numbers(at::IntArrayRef shape, int seed) {
  std::int64_t count = 1;
  for (const auto extent : shape) count *= extent;
  return at::sin(at::arange(count, at::kFloat) * 1.7 + seed).reshape(shape);
}

// x -> tanh(tanh(x E) W) E^T with E used twice (tied), a bias, and a parameter that nothing reaches.
struct Net {
  std::vector<Parameter> parameters;
  explicit Net(at::ScalarType type = at::kFloat) {
    add("embedding", numbers({6, 4}, 1), type);
    add("weight", numbers({4, 4}, 2), type);
    add("bias", numbers({4}, 3), type);
    add("unused", numbers({3}, 4), type);
    add("frozen", numbers({3}, 5), type);
    parameters.back().trainable = false;
    parameters.back().weight.requires_grad_(false);
  }
  void add(const char* name, const at::Tensor& value, at::ScalarType type) {
    Parameter parameter;
    parameter.name = name;
    parameter.weight = value.to(type).detach().clone().requires_grad_();
    parameters.push_back(parameter);
  }
  at::Tensor loss(const at::Tensor& x) const {
    const auto& e = parameters[0].weight;
    const auto hidden = at::tanh(at::matmul(x.to(e.scalar_type()), e));
    const auto next = at::tanh(at::matmul(hidden, parameters[1].weight) + parameters[2].weight);
    return at::matmul(next, e.t()).to(at::kFloat).square().sum();
  }
  void backward(const at::Tensor& x) const { loss(x).backward(); }
};

at::Tensor micro_batch(int step, int rank, int part) {
  return numbers({2, 6}, 100 + 10 * step + 3 * rank + part);
}

// What one process gets from all ranks' micro-batches of a step, in fp32.
std::vector<at::Tensor> alone(int step, int ranks, int parts, at::ScalarType type) {
  std::vector<at::Tensor> sums(5);
  for (int rank = 0; rank < ranks; ++rank) {
    for (int part = 0; part < parts; ++part) {
      Net net(type);
      net.backward(micro_batch(step, rank, part));
      for (std::size_t i = 0; i < sums.size(); ++i) {
        const auto grad = net.parameters[i].weight.grad();
        if (!grad.defined()) continue;
        sums[i] = sums[i].defined() ? sums[i] + grad.to(at::kFloat) : grad.to(at::kFloat);
      }
    }
  }
  return sums;
}

void accumulate(std::vector<Parameter>& parameters) {
  for (auto& p : parameters) {
    const auto grad = p.weight.grad();
    if (!grad.defined()) continue;
    p.gradient = p.gradient.defined() ? p.gradient + grad.to(at::kFloat) : grad.to(at::kFloat);
    p.weight.mutable_grad().reset();
  }
}

void compare(const std::vector<Parameter>& parameters, const std::vector<at::Tensor>& expected) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& p = parameters[i];
    expect(!p.weight.grad().defined(), "weight.grad() must be released");
    expect(p.gradient.defined() == expected[i].defined(), p.name.c_str());
    if (!p.gradient.defined()) continue;
    expect(p.gradient.scalar_type() == at::kFloat && p.gradient.sizes() == p.weight.sizes(),
           "type and shape");
    expect(at::allclose(p.gradient, expected[i], 1e-6, 1e-6), p.name.c_str());
  }
}

void train(const RankInfo& info, at::ScalarType type, int parts, std::size_t bucket_bytes,
           bool accumulate_last) {
  Ranks ranks(info);
  Net net(type);
  GradientReducer reducer(ranks, net.parameters, bucket_bytes);
  for (int step = 0; step < 4; ++step) {
    for (int part = 0; part < parts; ++part) {
      if (part + 1 == parts) reducer.prepare();
      net.backward(micro_batch(step, info.rank, part));
      if (parts > 1 && (accumulate_last || part + 1 < parts)) accumulate(net.parameters);
    }
    reducer.finish();
    compare(net.parameters, alone(step, info.world_size, parts, type));
    for (auto& p : net.parameters) p.gradient.reset();
  }
}

}  // namespace

TEST_CASE("two ranks have the sum of both, tied weights included") {
  for (const std::size_t bucket_bytes : {std::size_t{1}, std::size_t{64}, std::size_t{1} << 20}) {
    Forked ranks(2, [=](const RankInfo& info) { train(info, at::kFloat, 1, bucket_bytes, false); });
    CHECK(ranks.wait_all() == std::vector<int>{0, 0});
  }
}

TEST_CASE("buckets are on their way before backward ends") {
  Forked ranks(2, [](const RankInfo& info) {
    Ranks group(info);
    Net net;
    net.parameters.erase(net.parameters.begin() +
                         3);  // what nothing reaches would hold the first bucket back
    GradientReducer reducer(group, net.parameters, 1);  // a bucket each
    for (int step = 0; step < 3; ++step) {
      std::size_t in_between = 0;  // when the first layer's gradient is about to be computed
      reducer.prepare();
      const auto& e = net.parameters[0].weight;
      at::Tensor hidden = at::tanh(at::matmul(micro_batch(step, info.rank, 0), e));
      hidden.register_hook([&](const at::Tensor&) { in_between = reducer.launched(); });
      const at::Tensor next =
          at::tanh(at::matmul(hidden, net.parameters[1].weight) + net.parameters[2].weight);
      next.square().sum().backward();
      expect(in_between == (step == 0 ? 0U : 2U),
             "bias and weight are being summed while the embedding waits");
      expect(reducer.launched() == (step == 0 ? 0U : 3U), "all are on their way before finish()");
      reducer.finish();
      for (auto& p : net.parameters) p.gradient.reset();
    }
  });
  CHECK(ranks.wait_all() == std::vector<int>{0, 0});
}

TEST_CASE("bf16 gradients are summed in fp32, over micro-batches and ranks") {
  for (const bool accumulate_last : {false, true}) {
    Forked ranks(3, [=](const RankInfo& info) { train(info, at::kBFloat16, 3, 64, accumulate_last); });
    CHECK(ranks.wait_all() == std::vector<int>{0, 0, 0});
  }
}

namespace {

// A re-entrant checkpoint: backward runs the block again inside its own backward pass.
struct Recompute : torch::autograd::Function<Recompute> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    context->save_for_backward({x});
    context->saved_data["weight"] = weight;
    at::NoGradGuard no_grad;
    return at::tanh(at::matmul(x, weight));
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    at::AutoGradMode on(true);
    const auto x = context->get_saved_variables()[0].detach().requires_grad_();
    const auto weight = context->saved_data["weight"].toTensor();
    torch::autograd::backward({at::tanh(at::matmul(x, weight))}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

TEST_CASE("a shared weight in recomputed blocks is reduced when its last contribution is in") {
  Forked ranks(2, [](const RankInfo& info) {
    Ranks group(info);
    std::vector<Parameter> parameters(2);
    for (auto& p : parameters) p.weight = numbers({4, 4}, 7).detach().clone().requires_grad_();
    GradientReducer reducer(group, parameters, 1);
    const auto loss = [&](int step, int rank) {
      at::Tensor x = at::matmul(numbers({2, 4}, 20 + 2 * step + rank), parameters[1].weight);
      for (int block = 0; block < 3; ++block) x = Recompute::apply(x, parameters[0].weight);
      return x.square().sum();
    };
    for (int step = 0; step < 4; ++step) {
      reducer.prepare();
      loss(step, info.rank).backward();
      reducer.finish();
      for (std::size_t i = 0; i < 2; ++i) {
        at::Tensor expected = at::zeros({4, 4});
        for (int rank = 0; rank < 2; ++rank) {
          const auto a = parameters[0].weight.detach().clone().requires_grad_();
          const auto b = parameters[1].weight.detach().clone().requires_grad_();
          at::Tensor x = at::matmul(numbers({2, 4}, 20 + 2 * step + rank), b);
          for (int block = 0; block < 3; ++block) x = at::tanh(at::matmul(x, a));
          x.square().sum().backward();
          expected += i == 0 ? a.grad() : b.grad();
        }
        expect(at::allclose(parameters[i].gradient, expected, 1e-5, 1e-6),
               i == 0 ? "shared weight" : "first weight");
        parameters[i].gradient.reset();
      }
    }
  });
  CHECK(ranks.wait_all() == std::vector<int>{0, 0});
}

TEST_CASE("a rank that dies during backward makes finish() throw") {
  Forked ranks(2, [](const RankInfo& info) {
    Ranks group(info);
    Net net;
    GradientReducer reducer(group, net.parameters, 64);
    reducer.prepare();
    net.backward(micro_batch(0, info.rank, 0));
    if (info.rank == 1) kill(getpid(), SIGKILL);
    try {
      reducer.finish();
    } catch (const Error&) {
      _exit(17);
    }
  });
  CHECK(ranks.wait(1, 20) == 128 + SIGKILL);
  CHECK(ranks.wait(0, 1) == 17);
}

TEST_CASE("with one rank nothing is touched") {
  Forked one(1, [](const RankInfo& info) {
    Ranks group(info);
    Net net;
    GradientReducer reducer(group, net.parameters);
    reducer.prepare();
    net.backward(micro_batch(0, 0, 0));
    reducer.finish();
    expect(net.parameters[0].weight.grad().defined() && !net.parameters[0].gradient.defined(),
           "gradients stay where they are");
  });
  CHECK(one.wait_all() == std::vector<int>{0});
}
