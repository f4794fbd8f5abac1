#include "checkpoints/formats/gguf_types.h"

#include <algorithm>
#include <cstring>

#include "checkpoints/bundle/half.h"
#include "checkpoints/formats/gguf_blocks.h"
#include "data/io/threads.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

void float_bits(const float* x, std::byte* out) { std::memcpy(out, x, sizeof *x); }
void half_bits(const float* x, std::byte* out) {
  const std::uint16_t bits = float_to_half(*x);
  std::memcpy(out, &bits, sizeof bits);
}
void bfloat_bits(const float* x, std::byte* out) {
  const std::uint16_t bits = float_to_bf16(*x);
  std::memcpy(out, &bits, sizeof bits);
}
void from_float(const std::byte* in, float* x) { std::memcpy(x, in, sizeof *x); }
void from_half(const std::byte* in, float* x) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, in, sizeof bits);
  *x = half_to_float(bits);
}
void from_bfloat(const std::byte* in, float* x) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, in, sizeof bits);
  *x = bf16_to_float(bits);
}

struct Row {
  GgmlType type;
  GgmlTypeInfo info;
  void (*quantize)(const float*, std::byte*);
  void (*dequantize)(const std::byte*, float*);
};
constexpr Row kTypes[] = {
    {GgmlType::F32, {"F32", 1, 4}, float_bits, from_float},
    {GgmlType::F16, {"F16", 1, 2}, half_bits, from_half},
    {GgmlType::BF16, {"BF16", 1, 2}, bfloat_bits, from_bfloat},
    {GgmlType::Q8_0, {"Q8_0", 32, 34}, quantize_q8_0, dequantize_q8_0},
    {GgmlType::Q5_0, {"Q5_0", 32, 22}, quantize_q5_0, dequantize_q5_0},
    {GgmlType::Q5_1, {"Q5_1", 32, 24}, quantize_q5_1, dequantize_q5_1},
    {GgmlType::Q4_K, {"Q4_K", kSuperBlock, 144}, quantize_q4_k, dequantize_q4_k},
    {GgmlType::Q5_K, {"Q5_K", kSuperBlock, 176}, quantize_q5_k, dequantize_q5_k},
    {GgmlType::Q6_K, {"Q6_K", kSuperBlock, 210}, quantize_q6_k, dequantize_q6_k},
};

const Row* find(GgmlType type) {
  for (const Row& row : kTypes)
    if (row.type == type) return &row;
  return nullptr;
}

// body(block) for every block, a few thousand values to a task.
template <class Body>
void each_block(const Row& row, std::size_t values, int threads, Body&& body) {
  require(values % row.info.block == 0, values, " values are no whole blocks of ", row.info.name);
  const std::size_t blocks = values / row.info.block, part = std::max<std::size_t>(1, 16384 / row.info.block);
  parallel_for((blocks + part - 1) / part, threads, [&](std::size_t task) {
    for (std::size_t i = task * part; i < std::min(blocks, (task + 1) * part); ++i) body(i);
  });
}

}  // namespace

const GgmlTypeInfo* ggml_type_info(GgmlType type) {
  const Row* row = find(type);
  return row ? &row->info : nullptr;
}

std::uint64_t ggml_bytes(GgmlType type, std::uint64_t elements) {
  const GgmlTypeInfo& info = *ggml_type_info(type);
  return elements / info.block * info.bytes;
}

void ggml_quantize(GgmlType type, std::span<const float> values, std::byte* out) {
  const Row& row = *find(type);
  each_block(row, values.size(), 0, [&](std::size_t i) {
    row.quantize(values.data() + i * row.info.block, out + i * row.info.bytes);
  });
}

void ggml_dequantize(GgmlType type, const std::byte* blocks, std::span<float> values, int threads) {
  const Row& row = *find(type);
  each_block(row, values.size(), threads, [&](std::size_t i) {
    row.dequantize(blocks + i * row.info.bytes, values.data() + i * row.info.block);
  });
}

}  // namespace lathe
