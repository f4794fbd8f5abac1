#pragma once
// Hot loops of the optimizer over raw memory, one table per instruction set like models/ops/kernels.h.
#include <cstdint>

namespace lathe::kernels {

// Elements of one parameter: what AdamW reads and writes in one pass.
struct AdamwRange {
  const void* gradient;
  bool bfloat16_gradient;
  float* master;
  float* exp_avg;
  float* exp_avg_sq;
  std::uint16_t* weight;  // bf16 copy of the master, or null
  std::int64_t count;
};

struct AdamwScalars {
  float gradient_scale, keep;  // keep = 1 - learning rate * weight decay
  float gradient_weight;       // 1 - beta1
  float beta2, square_weight;  // square_weight = 1 - beta2
  float bias2_root, eps, step_size;
};

// m = mu m + (1 - mu) g; direction = Nesterov's look ahead. Returns the sum of its squares.
struct MuonMomentum {
  const void* gradient;
  bool bfloat16_gradient, bfloat16_direction;
  float* momentum;
  void* direction;
  std::int64_t count;
  float gradient_scale, momentum_weight;
};

// master = keep * master - rate * direction, and the bf16 weight with it.
struct MuonApply {
  const void* direction;
  bool bfloat16_direction;
  float* master;
  std::uint16_t* weight;  // or null
  std::int64_t count;
  float keep, rate;
};

struct OptimKernels {
  void (*adamw)(const AdamwRange&, const AdamwScalars&);
  double (*sum_of_squares)(const void* values, bool bfloat16, std::int64_t count);
  void (*accumulate)(const void* gradient, bool bfloat16, float* sum, std::int64_t count);
  double (*muon_momentum)(const MuonMomentum&);
  void (*muon_apply)(const MuonApply&);
};
const OptimKernels& optim_kernels();

}  // namespace lathe::kernels
