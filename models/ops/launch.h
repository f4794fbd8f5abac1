#pragma once
// What the differentiable operations share: checks of their inputs, and the loop over tokens.
#include <ATen/core/Tensor.h>

#include "models/ops/kernels.h"
#include "models/ops/parallel.h"
#include "recipes/schema/error.h"

namespace lathe {

// The kernels of x's type; Error for anything but fp32 and bf16 on the CPU.
inline const kernels::OpKernels& kernels_for(const at::Tensor& x, const char* operation) {
  const bool bfloat16 = x.scalar_type() == at::kBFloat16;
  require(x.device().is_cpu() && (bfloat16 || x.scalar_type() == at::kFloat), operation,
          ": float32 or bfloat16 on the CPU is wanted, found ", at::toString(x.scalar_type()), " on ",
          x.device().str());
  return kernels::op_kernels(bfloat16);
}

// Contiguous and of x's element type, so that a kernel can walk both.
inline at::Tensor alike(const at::Tensor& tensor, const at::Tensor& x) {
  return tensor.to(x.scalar_type()).contiguous();
}

inline void require_shape(const at::Tensor& tensor, at::IntArrayRef shape, const char* operation,
                          const char* name) {
  require(tensor.sizes() == shape, operation, ": ", name, " should have shape ", shape, ", found ",
          tensor.sizes());
}

// Elements below which another thread costs more than it saves.
constexpr std::int64_t kElementGrain = 1 << 14;
inline std::int64_t row_grain(std::int64_t row_size) { return kElementGrain / (row_size + 1) + 1; }

}  // namespace lathe
