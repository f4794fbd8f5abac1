#pragma once
// Products with frozen matrices: in 4 bits, or as the base's file holds them, in quantised blocks too. Where
// that is not the type of the input they are made dense in forward and again in backward, so that between the
// two only what is stored exists; the input needs no gradient of theirs and is not kept either. For sources
// of this folder, adapters and the decoder's head only.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "models/ops/nf4.h"

namespace lathe {

// A matrix in a file's quantised blocks.
struct BlockMatrix {
  std::int64_t rows = 0, columns = 0;
  std::function<void(std::int64_t begin, std::int64_t count, float* out)> read;  // rows in fp32; thread-safe
  // Rows [begin, begin + count) in fp32.
  at::Tensor dense(std::int64_t begin, std::int64_t count) const;
  at::Tensor dense() const { return dense(0, rows); }
};

struct FrozenMatrix {
  std::shared_ptr<const Nf4Matrix> quantised;  // null: `blocks`
  std::shared_ptr<const BlockMatrix> blocks;   // null: `values`
  at::Tensor values;                           // (out, in), any float type, often a mapped file
  bool defined() const { return quantised || blocks || values.defined(); }
};
FrozenMatrix dense_matrix(const at::Tensor& values);
// All of the matrix in another type; the values themselves where they have it.
at::Tensor made_dense(const FrozenMatrix& matrix, at::ScalarType type);

// `values` as a frozen weight keeps them: themselves in the type of products or in a narrower one, else
// rounded to it.
at::Tensor held_values(const at::Tensor& values, at::ScalarType type);

// x (N, in) times the matrices (out_i, in), below one another -> (N, sum of out), in x's type.
at::Tensor frozen_product(const at::Tensor& x, const std::vector<FrozenMatrix>& matrices);

// x W^T + scaling (x A^T) B^T, rounded once where blocks are multiplied: W (out, in) frozen, in x's type or
// quantised; A (r, in) and B (out, r) in x's type and trained (LoRA, arXiv 2106.09685). -> (N, out).
bool can_adapt(const at::Tensor& x, const FrozenMatrix& matrix);  // W is such a matrix
at::Tensor adapted_product(const at::Tensor& x, const FrozenMatrix& matrix, const at::Tensor& a,
                           const at::Tensor& b, double scaling);

// x (N, in) times a matrix (out, in) of another float type or in blocks -> (N, out) in x's type, without a
// gradient. The values are widened a piece at a time.
at::Tensor widened_product(const at::Tensor& x, const FrozenMatrix& matrix);

}  // namespace lathe
