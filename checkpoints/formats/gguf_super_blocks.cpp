// Super-blocks of 256 values (ggml's "k-quants"). Q4_K and Q5_K: eight blocks of 32 with an offset, whose
// scales and offsets are 6-bit multiples of two binary16 numbers. Q6_K: sixteen blocks of 16 around zero,
// scales of 8 bits.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "checkpoints/bundle/half.h"
#include "checkpoints/formats/gguf_blocks.h"

namespace lathe {

namespace {

constexpr int kParts = 8, kPart = 32;         // Q4_K, Q5_K
constexpr int kSmallParts = 16, kSmall = 16;  // Q6_K
constexpr float kNothing = 1e-15F;            // a block this small is zero

// To the nearest integer, ties to even, into [low, high]: floats at 1.5 * 2^23 have no fraction, so adding it
// rounds.
int level_of(float value, int low, int high) {
  constexpr float kMagic = 12582912.0F;
  const float inside = std::clamp(value, static_cast<float>(low), static_cast<float>(high));
  return static_cast<int>((inside + kMagic) - kMagic);
}

float rounded_half(float value) { return half_to_float(float_to_half(value)); }

struct SixBits {
  std::array<std::uint8_t, kParts> scale, offset;
};

// Twelve bytes: the first four pairs plainly, the upper two bits free for the last four, whose lower nibbles
// follow.
void put_six_bits(std::byte* out, const SixBits& six) {
  std::uint8_t bytes[12] = {};
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[i] = static_cast<std::uint8_t>(six.scale[i] | ((six.scale[i + 4] >> 4) << 6));
    bytes[i + 4] = static_cast<std::uint8_t>(six.offset[i] | ((six.offset[i + 4] >> 4) << 6));
    bytes[i + 8] = static_cast<std::uint8_t>((six.scale[i + 4] & 15) | ((six.offset[i + 4] & 15) << 4));
  }
  std::memcpy(out, bytes, sizeof bytes);
}
SixBits get_six_bits(const std::byte* in) {
  std::uint8_t bytes[12];
  std::memcpy(bytes, in, sizeof bytes);
  SixBits six{};
  for (std::size_t i = 0; i < 4; ++i) {
    six.scale[i] = bytes[i] & 63;
    six.offset[i] = bytes[i + 4] & 63;
    six.scale[i + 4] = static_cast<std::uint8_t>((bytes[i + 8] & 15) | ((bytes[i] >> 6) << 4));
    six.offset[i + 4] = static_cast<std::uint8_t>((bytes[i + 8] >> 4) | ((bytes[i + 4] >> 6) << 4));
  }
  return six;
}

struct AffineBlock {
  float scale, offset;  // of the 6-bit numbers, as stored
  SixBits six;
  std::array<std::uint8_t, kSuperBlock> level;
};

AffineBlock quantize_affine(const float* x, const AffineSearch& search) {
  std::array<AffineFit, kParts> fits;
  float largest_scale = 0, largest_offset = 0;
  for (std::size_t part = 0; part < kParts; ++part) {
    fits[part] = fit_affine({x + part * kPart, kPart}, search);
    largest_scale = std::max(largest_scale, fits[part].scale);
    largest_offset = std::max(largest_offset, fits[part].offset);
  }
  AffineBlock block{rounded_half(largest_scale / 63), rounded_half(largest_offset / 63), {}, {}};
  const float per_scale = largest_scale > 0 ? 63 / largest_scale : 0,
              per_offset = largest_offset > 0 ? 63 / largest_offset : 0;
  for (std::size_t part = 0; part < kParts; ++part) {
    block.six.scale[part] = static_cast<std::uint8_t>(level_of(per_scale * fits[part].scale, 0, 63));
    block.six.offset[part] = static_cast<std::uint8_t>(level_of(per_offset * fits[part].offset, 0, 63));
    const float scale = block.scale * block.six.scale[part], offset = block.offset * block.six.offset[part];
    for (std::size_t i = part * kPart; i < (part + 1) * kPart; ++i)
      block.level[i] =
          static_cast<std::uint8_t>(scale != 0 ? level_of((x[i] + offset) / scale, 0, search.top) : 0);
  }
  return block;
}

void put_affine_head(std::byte* out, const AffineBlock& block) {
  put_half(out, block.scale);
  put_half(out + 2, block.offset);
  put_six_bits(out + 4, block.six);
}

// Levels i and i + 32 of each 64 share a byte.
void put_nibbles(std::byte* out, const std::uint8_t* level) {
  for (std::size_t pair = 0; pair < kParts / 2; ++pair)
    for (std::size_t i = 0; i < kPart; ++i) {
      const std::uint8_t *low = level + pair * 2 * kPart + i, *high = low + kPart;
      out[pair * kPart + i] = static_cast<std::byte>((*low & 15) | ((*high & 15) << 4));
    }
}

// `fifth`: 32 bytes, bit p of byte i belongs to value i of part p; null for Q4_K.
void dequantize_affine(const std::byte* block, const std::byte* fifth, const std::byte* nibbles, float* x) {
  const float scale = get_half(block), offset = get_half(block + 2);
  const SixBits six = get_six_bits(block + 4);
  for (std::size_t part = 0; part < kParts; ++part) {
    const float step = scale * six.scale[part], low = offset * six.offset[part];
    for (std::size_t i = 0; i < kPart; ++i) {
      const int byte = std::to_integer<int>(nibbles[part / 2 * kPart + i]);
      int level = part % 2 == 0 ? byte & 15 : byte >> 4;
      if (fifth) level |= ((std::to_integer<int>(fifth[i]) >> part) & 1) << 4;
      x[part * kPart + i] = step * static_cast<float>(level) - low;
    }
  }
}

}  // namespace

AffineFit fit_affine(std::span<const float> x, const AffineSearch& search) {
  const auto [least, most] = std::minmax_element(x.begin(), x.end());
  const float high = *most;
  float low = std::min(0.0F, *least);  // what levels count from; every improvement moves it
  if (high == low) return {0, -low};
  float squares = 0;
  for (const float value : x) squares += value * value;
  const float base = std::sqrt(squares / static_cast<float>(x.size()));
  // Large values weigh more, and small ones still something.
  const auto weight = [base](float value) { return base + std::fabs(value); };
  const auto top = static_cast<float>(search.top);
  float total = 0, weighted = 0;
  for (const float value : x) total += weight(value), weighted += weight(value) * value;
  // The squared error of levels made with `inverse` and read with (scale, minimum).
  const auto error = [&](float inverse, float scale, float minimum) {
    float sum = 0;
    for (const float value : x) {
      const auto level = static_cast<float>(level_of(inverse * (value - low), 0, search.top));
      const float difference = scale * level + minimum - value;
      sum += weight(value) * difference * difference;
    }
    return sum;
  };
  float scale = (high - low) / top, minimum = low, best = error(top / (high - low), scale, minimum);
  for (int step = 0; step <= search.steps; ++step) {
    const float inverse = (search.first + search.step * static_cast<float>(step) + top) / (high - low);
    float levels = 0, level_squares = 0, products = 0;
    for (const float value : x) {
      const auto level = static_cast<float>(level_of(inverse * (value - low), 0, search.top));
      levels += weight(value) * level;
      level_squares += weight(value) * level * level;
      products += weight(value) * level * value;
    }
    const float determinant = total * level_squares - levels * levels;
    if (determinant <= 0) continue;
    float slope = (total * products - weighted * levels) / determinant;
    float intercept = (level_squares * weighted - levels * products) / determinant;
    if (intercept > 0) intercept = 0, slope = products / level_squares;
    const float now = error(inverse, slope, intercept);
    if (now < best) best = now, scale = slope, minimum = low = intercept;
  }
  return {scale, -minimum};
}

float fit_symmetric(std::span<const float> x) {
  constexpr int kTop = 32;
  float extreme = 0;
  for (const float value : x)
    if (std::fabs(value) > std::fabs(extreme)) extreme = value;
  if (std::fabs(extreme) < kNothing) return 0;
  float scale = 0, best = 0;
  bool first = true;
  for (const int step : {0, -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
    const float inverse = -(static_cast<float>(kTop) + 0.1F * static_cast<float>(step)) / extreme;
    float products = 0, squares = 0;
    for (const float value : x) {
      const auto level = static_cast<float>(level_of(inverse * value, -kTop, kTop - 1));
      products += value * value * value * level;
      squares += value * value * level * level;
    }
    // The error falls by products^2 / squares.
    if (squares > 0 && (first || products * products > best * squares)) {
      scale = products / squares;
      best = scale * products;
    }
    first = false;
  }
  return scale;
}

void quantize_q4_k(const float* x, std::byte* out) {
  const AffineBlock block = quantize_affine(x, {15, -1, 0.1F, 20});
  put_affine_head(out, block);
  put_nibbles(out + 16, block.level.data());
}

void dequantize_q4_k(const std::byte* block, float* x) { dequantize_affine(block, nullptr, block + 16, x); }

void quantize_q5_k(const float* x, std::byte* out) {
  const AffineBlock block = quantize_affine(x, {31, -0.5F, 0.1F, 15});
  put_affine_head(out, block);
  for (std::size_t i = 0; i < kPart; ++i) {
    unsigned bits = 0;
    for (std::size_t part = 0; part < kParts; ++part)
      bits |= static_cast<unsigned>(block.level[part * kPart + i] >> 4) << part;
    out[16 + i] = static_cast<std::byte>(bits);
  }
  put_nibbles(out + 48, block.level.data());
}

void dequantize_q5_k(const std::byte* block, float* x) {
  dequantize_affine(block, block + 16, block + 48, x);
}

// 128 bytes of low nibbles, 64 of upper pairs of bits, 16 scales, the scale of scales.
void quantize_q6_k(const float* x, std::byte* out) {
  std::array<float, kSmallParts> scales;
  float extreme = 0;
  for (std::size_t part = 0; part < kSmallParts; ++part) {
    scales[part] = fit_symmetric({x + part * kSmall, kSmall});
    if (std::fabs(scales[part]) > std::fabs(extreme)) extreme = scales[part];
  }
  std::memset(out, 0, 210);
  if (std::fabs(extreme) < kNothing) return;
  const float inverse = -128 / extreme, whole = rounded_half(1 / inverse);
  put_half(out + 208, 1 / inverse);
  std::array<std::uint8_t, kSuperBlock> level{};
  for (std::size_t part = 0; part < kSmallParts; ++part) {
    const int scale = level_of(inverse * scales[part], -128, 127);
    out[192 + part] = static_cast<std::byte>(static_cast<std::int8_t>(scale));
    const float step = whole * static_cast<float>(scale);
    for (std::size_t i = part * kSmall; i < (part + 1) * kSmall; ++i)
      level[i] = static_cast<std::uint8_t>(32 + (step != 0 ? level_of(x[i] / step, -32, 31) : 0));
  }
  for (std::size_t half = 0; half < 2; ++half)
    for (std::size_t i = 0; i < 32; ++i) {
      const std::uint8_t* at = level.data() + half * 128 + i;
      const auto nibbles = [&](std::size_t a) {
        return static_cast<std::byte>((at[a] & 15) | ((at[a + 64] & 15) << 4));
      };
      out[half * 64 + i] = nibbles(0);
      out[half * 64 + 32 + i] = nibbles(32);
      out[128 + half * 32 + i] = static_cast<std::byte>((at[0] >> 4) | ((at[32] >> 4) << 2) |
                                                        ((at[64] >> 4) << 4) | ((at[96] >> 4) << 6));
    }
}

void dequantize_q6_k(const std::byte* block, float* x) {
  const float whole = get_half(block + 208);
  for (std::size_t i = 0; i < kSuperBlock; ++i) {
    const std::size_t half = i / 128, row = i % 128 / 32, column = i % 32;
    const int nibbles = std::to_integer<int>(block[half * 64 + row % 2 * 32 + column]);
    const int low = row < 2 ? nibbles & 15 : nibbles >> 4;
    const int high = (std::to_integer<int>(block[128 + half * 32 + column]) >> (2 * row)) & 3;
    const int scale = static_cast<std::int8_t>(block[192 + i / kSmall]);
    x[i] = whole * static_cast<float>(scale) * static_cast<float>((low | (high << 4)) - 32);
  }
}

}  // namespace lathe
