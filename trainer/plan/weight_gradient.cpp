#include "trainer/plan/weight_gradient.h"

#include <algorithm>

#include "models/layers/weight_gradient.h"

namespace lathe {

AllocatorBooks::Held take_weight_gradient(AllocatorBooks& books, const WeightGradient& of) {
  const std::int64_t values = of.out * of.in;
  if (!of.bf16) return books.take(values * 4, Use::Gradients);
  if (of.tiled && own_weight_gradient(of.rows)) {
    const AllocatorBooks::Held sum = books.take(values * 4, Use::Activations),
                               panels = books.take(of.rows * of.in * 2, Use::Activations);
    return books.take(values * 2, Use::Gradients);
  }
  const AllocatorBooks::Held copy = books.take(of.rows * std::min(of.out, of.in) * 2, Use::Activations);
  const AllocatorBooks::Held flipped =
      of.out > of.in ? books.take(values * 2, Use::Activations) : AllocatorBooks::Held();
  return books.take(values * 2, Use::Gradients);
}

}  // namespace lathe
