#include "models/layers/projections.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>

#include "models/layers/group_product.h"
#include "models/layers/weight_gradient.h"
#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

char* row_of(const at::Tensor& x, std::int64_t row) {
  return static_cast<char*>(const_cast<void*>(x.const_data_ptr())) +
         row * x.stride(0) * static_cast<std::int64_t>(x.element_size());
}

// Rows of `from` (N, heads * D), turned, into rows of `to` at channel `begin`. The two may be the same
// memory: the kernel reads a pair before it writes it.
void turn_rows(const at::Tensor& from, const at::Tensor& to, std::int64_t begin, const RotaryAngles& angles,
               float direction) {
  const kernels::OpKernels& table = kernels_for(from, "rotary");
  const std::int64_t half = angles.cos.size(1), heads = from.size(1) / (2 * half);
  const auto* positions = angles.positions.const_data_ptr<std::int64_t>();
  const std::int64_t offset = begin * static_cast<std::int64_t>(to.element_size());
  parallel_ranges(from.size(0), row_grain(from.size(1)), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      const kernels::Rotary args{.x = row_of(from, row),
                                 .cos = angles.cos.const_data_ptr<float>(),
                                 .sin = angles.sin.const_data_ptr<float>(),
                                 .positions = positions + row,
                                 .out = row_of(to, row) + offset,
                                 .row_stride = 0,
                                 .heads = heads,
                                 .half = half,
                                 .direction = direction};
      table.rotary(args, 0, 1);
    }
  });
}

struct RotaryProjection : torch::autograd::Function<RotaryProjection> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias, at::TensorList parameters,
                               const at::Tensor& cos, const at::Tensor& sin, const at::Tensor& positions) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor all = group_product(ctx, x, weight, bias, parameters);
    const std::int64_t q = parameters[0].size(0), k = parameters[1].size(0), size = 2 * cos.size(1);
    const at::Tensor turned = all.narrow(1, 0, q + k);
    turn_rows(turned, turned, 0, {cos, sin, positions}, 1);
    ctx->save_for_backward({x, weight, cos, sin, positions});
    const auto heads = [&](std::int64_t begin, std::int64_t width) {
      return all.narrow(1, begin, width).unflatten(1, {width / size, size});
    };
    return {heads(0, q), heads(q, k), heads(q + k, k)};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const RotaryAngles angles{saved[2], saved[3], saved[4]};
    const at::Tensor all = spaced_rows(saved[0], saved[0].size(0), saved[1].size(0));
    const auto sizes = ctx->saved_data["sizes"].toIntVector();
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const at::Tensor target = all.narrow(1, begin, sizes[i]);
      if (!gradients[i].defined()) {
        target.zero_();
      } else if (i < 2) {
        turn_rows(gradients[i].contiguous().flatten(1), all, begin, angles, -1);
      } else {
        target.copy_(gradients[i].flatten(1));
      }
      begin += sizes[i];
    }
    variable_list result = group_gradients(ctx, all);
    result.resize(result.size() + 3);  // cos, sin, positions
    return result;
  }
};

struct GatedProjection : torch::autograd::Function<GatedProjection> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, at::TensorList parameters) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor all = group_product(ctx, x, weight, bias, parameters);
    ctx->save_for_backward({x, weight, all});
    const std::int64_t width = all.size(1) / 2;
    const at::Tensor out = at::empty({all.size(0), width}, all.options());
    const kernels::OpKernels& table = kernels_for(all, "swiglu");
    const auto up = width * static_cast<std::int64_t>(all.element_size());
    parallel_ranges(all.size(0), row_grain(width), [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        kernels::Swiglu args{};
        args.gate = row_of(all, row);
        args.up = row_of(all, row) + up;
        args.out = row_of(out, row);
        table.swiglu_forward(args, 0, width);
      }
    });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor all = ctx->get_saved_variables()[2], dout = gradients[0].contiguous();
    const at::Tensor dall = spaced_rows(all, all.size(0), all.size(1));
    const kernels::OpKernels& table = kernels_for(all, "swiglu");
    const std::int64_t width = all.size(1) / 2;
    const auto up = width * static_cast<std::int64_t>(all.element_size());
    parallel_ranges(all.size(0), row_grain(width), [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        const kernels::Swiglu args{.gate = row_of(all, row),
                                   .up = row_of(all, row) + up,
                                   .out = nullptr,
                                   .dout = row_of(dout, row),
                                   .dgate = row_of(dall, row),
                                   .dup = row_of(dall, row) + up};
        table.swiglu_backward(args, 0, width);
      }
    });
    return group_gradients(ctx, dall);
  }
};

}  // namespace

QueryKeyValue project_rotary(const LinearGroup& group, const at::Tensor& x, std::int64_t heads,
                             std::int64_t kv_heads, const RotaryAngles& angles) {
  const std::int64_t size = 2 * angles.cos.size(1);
  if (!group.plain()) {
    const auto parts = group.forward(x);
    const auto by_head = [&](std::size_t i, std::int64_t count) {
      return parts[i].unflatten(1, {count, size});
    };
    const auto turned = [&](const at::Tensor& t) {
      return rotary(t, angles.cos, angles.sin, angles.positions);
    };
    return {turned(by_head(0, heads)), turned(by_head(1, kv_heads)), by_head(2, kv_heads)};
  }
  const GroupTensors t = group.tensors();
  require_shape(t.parameters[0], {heads * size, x.size(1)}, "project_rotary", "q_proj");
  require_shape(t.parameters[1], {kv_heads * size, x.size(1)}, "project_rotary", "k_proj");
  require_shape(angles.positions, {x.size(0)}, "project_rotary", "positions");
  const variable_list out = RotaryProjection::apply(x, t.weight, t.bias, at::TensorList(t.parameters),
                                                    angles.cos, angles.sin, angles.positions);
  return {out[0], out[1], out[2]};
}

at::Tensor project_swiglu(const LinearGroup& group, const at::Tensor& x) {
  if (!group.plain()) {
    const auto parts = group.forward(x);
    return swiglu(parts[0], parts[1]);
  }
  const GroupTensors t = group.tensors();
  require(t.parameters[0].size(0) == t.parameters[1].size(0), "project_swiglu: gate and up differ in width");
  return GatedProjection::apply(x, t.weight, t.bias, at::TensorList(t.parameters));
}

}  // namespace lathe
