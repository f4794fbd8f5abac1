// Muon's passes over memory: before and after the orthogonalisation.
#include "models/ops/simd.h"
#include "trainer/optim/kernels.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

template <class Gradient, class Direction>
double momentum_range(const MuonMomentum& a) {
  const auto* gradient = static_cast<const Gradient*>(a.gradient);
  auto* to = static_cast<Direction*>(a.direction);
  double squares = 0;
  constexpr std::int64_t kPart = 4096;  // fp32 sums of so few, then fp64
  for (std::int64_t first = 0; first < a.count; first += kPart) {
    Floats part{};
    each_vector(a.count - first < kPart ? a.count - first : kPart, [&](std::int64_t offset, auto width) {
      const std::int64_t i = first + offset;
      const Floats g = load(gradient + i, width) * a.gradient_scale;
      Floats m = load(a.momentum + i, width);
      m = fma(g - m, splat(1.0F - a.momentum_weight), m);
      const Floats direction = fma(m - g, splat(a.momentum_weight), g);
      store(a.momentum + i, m, width);
      store(to + i, direction, width);
      part = fma(direction, direction, part);
    });
    squares += static_cast<double>(sum(part));
  }
  return squares;
}

double muon_momentum(const MuonMomentum& a) {
  if (a.bfloat16_gradient)
    return a.bfloat16_direction ? momentum_range<Bfloat, Bfloat>(a) : momentum_range<Bfloat, float>(a);
  return a.bfloat16_direction ? momentum_range<float, Bfloat>(a) : momentum_range<float, float>(a);
}

template <class Direction>
void apply_range(const MuonApply& a) {
  const auto* direction = static_cast<const Direction*>(a.direction);
  each_vector(a.count, [&](std::int64_t i, auto width) {
    const Floats kept = load(a.master + i, width) * a.keep;
    const Floats value = fma(load(direction + i, width), splat(-a.rate), kept);
    store(a.master + i, value, width);
    if (a.weight != nullptr) store(a.weight + i, value, width);
  });
}

void muon_apply(const MuonApply& a) { a.bfloat16_direction ? apply_range<Bfloat>(a) : apply_range<float>(a); }

}  // namespace

void add_muon_kernels(OptimKernels& table) {
  table.muon_momentum = muon_momentum;
  table.muon_apply = muon_apply;
}

}  // namespace lathe::kernels::LATHE_ISA
