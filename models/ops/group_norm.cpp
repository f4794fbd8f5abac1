#include <ATen/core/Tensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor channels_last(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

struct Statistics {
  at::Tensor mean, inverse;  // (B, groups) fp32
};

kernels::GroupNorm arguments(const at::Tensor& x, const Statistics& statistics,
                             const variable_list& parameters, const GroupNormRule& rule) {
  kernels::GroupNorm args{};
  args.x = x.const_data_ptr();
  args.weight = parameters[0].const_data_ptr();
  args.bias = parameters[1].const_data_ptr();
  args.mean = statistics.mean.data_ptr<float>();
  args.inverse = statistics.inverse.data_ptr<float>();
  args.places = x.size(2) * x.size(3);
  args.channels = x.size(1);
  args.groups = rule.groups;
  args.eps = static_cast<float>(rule.eps);
  args.silu = rule.silu;
  return args;
}

at::Tensor working_memory(const at::Tensor& x) { return at::empty({x.size(0), 4, x.size(1)}, at::kFloat); }

struct GroupNormOp : torch::autograd::Function<GroupNormOp> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, std::int64_t groups, double eps, bool silu) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor x = channels_last(input), y = at::empty_like(x);
    const Statistics statistics{at::empty({x.size(0), groups}, at::kFloat),
                                at::empty({x.size(0), groups}, at::kFloat)};
    const variable_list parameters{alike(weight, x), alike(bias, x)};
    kernels::GroupNorm args = arguments(x, statistics, parameters, {groups, eps, silu});
    const at::Tensor memory = working_memory(x);
    args.tables = memory.data_ptr<float>();
    args.y = y.mutable_data_ptr();
    const kernels::OpKernels& table = kernels_for(x, "group_norm");
    parallel_ranges(
        x.size(0), row_grain(args.places * args.channels),
        [&](std::int64_t begin, std::int64_t end) { table.group_norm_forward(args, begin, end); });
    ctx->save_for_backward({x, parameters[0], parameters[1], statistics.mean, statistics.inverse});
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["silu"] = silu;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor dy = channels_last(gradients[0].to(x.scalar_type())), dx = at::empty_like(x);
    const at::Tensor sums = at::empty({2, x.size(0), x.size(1)}, at::kFloat), memory = working_memory(x);
    const GroupNormRule rule{saved[3].size(1), ctx->saved_data["eps"].toDouble(),
                             ctx->saved_data["silu"].toBool()};
    kernels::GroupNormBackward args{};
    args.forward = arguments(x, {saved[3], saved[4]}, {saved[1], saved[2]}, rule);
    args.forward.tables = memory.data_ptr<float>();
    args.dy = dy.const_data_ptr();
    args.dx = dx.mutable_data_ptr();
    args.dweight = sums[0].data_ptr<float>();
    args.dbias = sums[1].data_ptr<float>();
    const kernels::OpKernels& table = kernels_for(x, "group_norm");
    parallel_ranges(
        x.size(0), row_grain(args.forward.places * args.forward.channels),
        [&](std::int64_t begin, std::int64_t end) { table.group_norm_backward(args, begin, end); });
    const at::Tensor total = sums.sum(1).to(x.scalar_type());  // over pictures
    return {dx, total[0], total[1], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      const GroupNormRule& rule) {
  require(x.dim() == 4 && rule.groups > 0 && x.size(1) % rule.groups == 0,
          "group_norm: x should have shape (B, C, H, W), C a multiple of ", rule.groups, ", found ",
          x.sizes());
  require_shape(weight, {x.size(1)}, "group_norm", "weight");
  require_shape(bias, {x.size(1)}, "group_norm", "bias");
  return GroupNormOp::apply(x, weight, bias, rule.groups, rule.eps, rule.silu);
}

}  // namespace lathe
