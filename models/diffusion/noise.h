#pragma once
// Standard normal noise as a function of its key.
#include <ATen/core/Tensor.h>

#include "data/random/philox.h"

namespace lathe {

// fp32, each element by its number in the shape.
at::Tensor normal_noise(const RandomKey& key, at::IntArrayRef shape);

}  // namespace lathe
