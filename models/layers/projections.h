#pragma once
// Products of a LinearGroup with what always follows them, as one differentiable operation: no slice of the
// product is copied, forward or backward, and less is kept. Same arithmetic as the separate operations of
// models/ops.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/layers/linear.h"

namespace lathe {

struct RotaryAngles {
  at::Tensor cos, sin;   // (P, D/2) fp32
  at::Tensor positions;  // (N) int64
};

struct QueryKeyValue {
  at::Tensor q, k, v;  // (N, H, D), (N, K, D), (N, K, D); rows stand apart
};

// group: q, k, v projections. q and k are turned in place.
QueryKeyValue project_rotary(const LinearGroup& group, const at::Tensor& x, std::int64_t heads,
                             std::int64_t kv_heads, const RotaryAngles& angles);
// group: gate and up projections. silu(gate) * up, (N, I).
at::Tensor project_swiglu(const LinearGroup& group, const at::Tensor& x);

}  // namespace lathe
