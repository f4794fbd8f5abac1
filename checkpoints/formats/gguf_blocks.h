#pragma once
// One block of each of ggml's quantised types, as laid out in memory (ggml-common.h's documented structures),
// and the searches for scales that Q4_K, Q5_K and Q6_K need. Internal to gguf_types.cpp and its tests.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lathe {

constexpr std::size_t kSuperBlock = 256;

// Scale and offset of values x ~ scale * level - offset, levels 0 to `top`, offset >= 0: a grid of starting
// scales, each refined by weighted least squares; the one of the smallest weighted squared error wins.
struct AffineFit {
  float scale = 0, offset = 0;
};
struct AffineSearch {
  int top;
  float first, step;  // the grid: top + first + i * step levels over the range, i in [0, steps]
  int steps;
};
AffineFit fit_affine(std::span<const float> x, const AffineSearch& search);

// Scale of x ~ scale * level, levels -32 to 31, weighted by x^2, over a grid of 19 starting scales.
float fit_symmetric(std::span<const float> x);

void quantize_q8_0(const float* x, std::byte* block);
void quantize_q5_0(const float* x, std::byte* block);
void quantize_q5_1(const float* x, std::byte* block);
void quantize_q4_k(const float* x, std::byte* block);
void quantize_q5_k(const float* x, std::byte* block);
void quantize_q6_k(const float* x, std::byte* block);

void dequantize_q8_0(const std::byte* block, float* x);
void dequantize_q5_0(const std::byte* block, float* x);
void dequantize_q5_1(const std::byte* block, float* x);
void dequantize_q4_k(const std::byte* block, float* x);
void dequantize_q5_k(const std::byte* block, float* x);
void dequantize_q6_k(const std::byte* block, float* x);

}  // namespace lathe
