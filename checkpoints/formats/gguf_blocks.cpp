// Blocks of 32 values: one scale (and offset) in binary16, levels of 8 or 5 bits. The fifth bits of Q5 stand
// together.
#include "checkpoints/formats/gguf_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "checkpoints/bundle/half.h"

namespace lathe {

namespace {

constexpr int kBlock = 32;

// Levels 0 to 31 as nibbles (value i low, i + 16 high) behind their fifth bits.
void put_levels(std::byte* out, const std::uint8_t* level) {
  std::uint32_t fifth = 0;
  for (int i = 0; i < kBlock; ++i) fifth |= static_cast<std::uint32_t>(level[i] >> 4) << i;
  std::memcpy(out, &fifth, sizeof fifth);
  for (int i = 0; i < kBlock / 2; ++i)
    out[4 + i] = static_cast<std::byte>((level[i] & 15) | ((level[i + kBlock / 2] & 15) << 4));
}
void get_levels(const std::byte* in, std::uint8_t* level) {
  std::uint32_t fifth = 0;
  std::memcpy(&fifth, in, sizeof fifth);
  for (int i = 0; i < kBlock; ++i) {
    const int byte = std::to_integer<int>(in[4 + i % (kBlock / 2)]);
    const int nibble = i < kBlock / 2 ? byte & 15 : byte >> 4;
    level[i] = static_cast<std::uint8_t>(nibble | static_cast<int>(((fifth >> i) & 1U) << 4));
  }
}

}  // namespace

void quantize_q8_0(const float* x, std::byte* block) {
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest / 127, inverse = scale != 0 ? 1 / scale : 0;
  put_half(block, scale);
  for (int i = 0; i < kBlock; ++i)
    block[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(x[i] * inverse)));
}

void dequantize_q8_0(const std::byte* block, float* x) {
  const float scale = get_half(block);
  for (int i = 0; i < kBlock; ++i) x[i] = scale * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
}

// The value of the largest magnitude is level 0, which has no counterpart on the other side.
void quantize_q5_0(const float* x, std::byte* block) {
  float extreme = 0;
  for (int i = 0; i < kBlock; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  const float scale = extreme / -16, inverse = scale != 0 ? 1 / scale : 0;
  std::uint8_t level[kBlock];
  for (int i = 0; i < kBlock; ++i)
    level[i] = static_cast<std::uint8_t>(std::min(31, static_cast<int>(x[i] * inverse + 16.5F)));
  put_half(block, scale);
  put_levels(block + 2, level);
}

void dequantize_q5_0(const std::byte* block, float* x) {
  const float scale = get_half(block);
  std::uint8_t level[kBlock];
  get_levels(block + 2, level);
  for (int i = 0; i < kBlock; ++i) x[i] = scale * static_cast<float>(level[i] - 16);
}

void quantize_q5_1(const float* x, std::byte* block) {
  const auto [low, high] = std::minmax_element(x, x + kBlock);
  const float scale = (*high - *low) / 31, inverse = scale != 0 ? 1 / scale : 0;
  std::uint8_t level[kBlock];
  for (int i = 0; i < kBlock; ++i)
    level[i] = static_cast<std::uint8_t>(std::min(31, static_cast<int>((x[i] - *low) * inverse + 0.5F)));
  put_half(block, scale);
  put_half(block + 2, *low);
  put_levels(block + 4, level);
}

void dequantize_q5_1(const std::byte* block, float* x) {
  const float scale = get_half(block), low = get_half(block + 2);
  std::uint8_t level[kBlock];
  get_levels(block + 4, level);
  for (int i = 0; i < kBlock; ++i) x[i] = scale * static_cast<float>(level[i]) + low;
}

}  // namespace lathe
