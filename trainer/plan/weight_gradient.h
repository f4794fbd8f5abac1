#pragma once
// The gradient of a weight (out, in) by a product over `rows`, on the allocator's books
// (models/layers/weight_gradient.cpp): the library's bf16 products read a transposed copy and write the wide
// side transposed first; ours packs one side and sums in fp32.
#include "trainer/plan/books.h"

namespace lathe {

struct WeightGradient {
  std::int64_t rows = 0, out = 0, in = 0;
  bool bf16 = true;
  bool tiled = true;  // kernels of our own multiply blocks
};
AllocatorBooks::Held take_weight_gradient(AllocatorBooks& books, const WeightGradient& of);

}  // namespace lathe
