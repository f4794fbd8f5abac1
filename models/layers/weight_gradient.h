#pragma once
// The products of backward, arranged for how the bf16 matrix units of a CPU are fed.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lathe {

// gradient (N, out), x (N, in) -> gradient^T x (out, in), contiguous. In bf16 on the CPU it is a product of
// our own or, with the library's, the narrower operand is transposed first: oneDNN's own reordering of a
// transposed operand costs as much as half the product.
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x);

// Whether that of bf16 matrices of so many rows is a product of our own, where there is one: the library's is
// faster only on tiles (on dot products 600 to 700 GFLOP/s of two cores beside ours of 700 to 800), and only
// for a number of rows that comes back.
bool own_weight_gradient(std::int64_t rows);

// An uninitialised (rows, columns) tensor like x whose rows do not lie at multiples of 1 KiB, where a matrix
// product's columns would fall into few cache sets; measured 10 % of a product 2,048 wide.
at::Tensor spaced_rows(const at::Tensor& x, std::int64_t rows, std::int64_t columns);

}  // namespace lathe
