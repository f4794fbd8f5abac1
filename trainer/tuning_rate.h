#pragma once
// The learning rate of tuning when a recipe names none. Narrow bases want higher rates: about 1 / width for
// all weights (Adam changes a layer's output in proportion to its width; Yang et al., Tensor Programs V,
// 2022). Sweeps of adapters found width^-0.78 (Schulman et al., LoRA Without Regret, 2025) for long runs; a
// hundred updates of a few dozen examples forget too much there, the square root keeps what the base knew.
// From 2,048 wide on the usual 2e-4 for adapters and 1.8e-5 for all weights hold. All weights at a low rate
// take twice the updates (about 200) that adapters do: on two small bases 0.92 to 0.98 of held-out answers
// against 0.64 and 0.90, the loss on general text 4 to 5 % up; higher rates forget more for less. Torch-free.
#include <cstdint>

namespace lathe {

// Two significant digits; a fixed function of the width, so that a run resumes with the rate it began with.
double tuning_rate(std::int64_t width, bool adapter);

}  // namespace lathe
