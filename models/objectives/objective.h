#pragma once
// What every objective returns to the trainer.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lathe {

enum class LossUnit { Token, Sequence, Pixel };

// Loss is a sum over targets; the trainer divides by the global count. unit says what is counted.
struct ObjectiveValue {
  at::Tensor sum;  // scalar fp32, differentiable
  std::int64_t count = 0;
  LossUnit unit = LossUnit::Token;
};

}  // namespace lathe
