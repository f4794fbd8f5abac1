// AdamW (arXiv 1711.05101) and the sums over gradients. The order of roundings in adamw is that of ATen's
// fused CPU kernel, which a test compares bit by bit; these files are built without contraction, so every fma
// is written out.
#include "models/ops/simd.h"
#include "trainer/optim/kernels.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

template <class Gradient>
void adamw_range(const AdamwRange& range, const AdamwScalars& s) {
  const auto* gradient = static_cast<const Gradient*>(range.gradient);
  // m + (1 - b1)(g - m), or from the other end when 1 - b1 is large: the form whose error is smaller
  // (at::lerp)
  const bool near_gradient = s.gradient_weight >= 0.5F;
  const Floats blend = splat(near_gradient ? s.gradient_weight - 1.0F : s.gradient_weight);
  each_vector(range.count, [&](std::int64_t i, auto width) {
    const Floats g = load(gradient + i, width) * s.gradient_scale;
    const Floats kept = load(range.master + i, width) * s.keep;
    Floats m = load(range.exp_avg + i, width);
    m = fma(blend, g - m, near_gradient ? g : m);
    const Floats v = fma(g * s.square_weight, g, load(range.exp_avg_sq + i, width) * s.beta2);
    const Floats denominator = square_root(v) / s.bias2_root + s.eps;
    const Floats value = kept - m * s.step_size / denominator;
    store(range.exp_avg + i, m, width);
    store(range.exp_avg_sq + i, v, width);
    store(range.master + i, value, width);
    if (range.weight != nullptr) store(range.weight + i, value, width);
  });
}

void adamw(const AdamwRange& range, const AdamwScalars& scalars) {
  range.bfloat16_gradient ? adamw_range<Bfloat>(range, scalars) : adamw_range<float>(range, scalars);
}

using Doubles = double __attribute__((vector_size(kLanes * 8)));

template <class T>
double squares(const T* values, std::int64_t count) {
  Doubles total{};
  each_vector(count, [&](std::int64_t i, auto width) {
    const Doubles x = __builtin_convertvector(load(values + i, width), Doubles);
    total += x * x;
  });
  double result = 0;
  for (int lane = 0; lane < kLanes; ++lane) result += total[lane];
  return result;
}

double sum_of_squares(const void* values, bool bfloat16, std::int64_t count) {
  return bfloat16 ? squares(static_cast<const Bfloat*>(values), count)
                  : squares(static_cast<const float*>(values), count);
}

template <class T>
void add(const T* gradient, float* sum, std::int64_t count) {
  each_vector(count, [&](std::int64_t i, auto width) {
    store(sum + i, load(sum + i, width) + load(gradient + i, width), width);
  });
}

void accumulate(const void* gradient, bool bfloat16, float* sum, std::int64_t count) {
  bfloat16 ? add(static_cast<const Bfloat*>(gradient), sum, count)
           : add(static_cast<const float*>(gradient), sum, count);
}

}  // namespace

void add_optim_kernels(OptimKernels& table) {
  table.adamw = adamw;
  table.sum_of_squares = sum_of_squares;
  table.accumulate = accumulate;
}

}  // namespace lathe::kernels::LATHE_ISA
