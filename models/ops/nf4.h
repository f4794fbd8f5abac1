#pragma once
// 4-bit NormalFloat with double quantisation (QLoRA, arXiv 2305.14314) in the layout of bitsandbytes: blocks
// of 64 over the flattened matrix, two codes a byte with the first in the high half, a scale a block; doubly
// quantised, scales are 8-bit codes of (scale - mean) / largest in blocks of 256 (the signed dynamic map of
// arXiv 1511.04561). Values are nearest codes, a tie goes to the lower one; a block of zeros stays zero. CPU.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lathe {

// A frozen matrix of about 4.127 bits a weight (4.5 with plain scales). Never changes; may be shared between
// threads.
struct Nf4Matrix {
  std::int64_t rows = 0, columns = 0;
  at::Tensor packed;       // ((rows * columns + 1) / 2) uint8
  at::Tensor scale_codes;  // (blocks) uint8; undefined: scales are plain
  at::Tensor scales;       // (blocks / 256, rounded up) fp32; plain: (blocks)
  float offset = 0;        // mean of the plain scales
  std::int64_t bytes() const;
};

// weight (rows, columns) fp32, bf16 or fp16, dense. The mean is ATen's on one thread, so that the result does
// not depend on the number of threads. Error when a weight is not finite.
Nf4Matrix nf4_quantise(const at::Tensor& weight, bool double_quantised);
// Into out (rows, columns), fp32 or bf16 and dense: code * scale in fp32, rounded once.
void nf4_dequantise(const Nf4Matrix& matrix, const at::Tensor& out);
at::Tensor nf4_dequantised(const Nf4Matrix& matrix, at::ScalarType type);

// (256) fp32, ascending: what a scale code stands for.
at::Tensor dynamic_map();

}  // namespace lathe
