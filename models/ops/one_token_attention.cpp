#include "models/ops/one_token_attention.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "data/random/vector_clones.h"
#include "models/ops/parallel.h"
#include "recipes/schema/error.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace lathe {
namespace {

constexpr std::int64_t kLanes = 16;

inline float wide(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

// One query head of one row; keys and values are `count` rows, `stride` apart.
struct Head {
  const std::uint16_t *q, *keys, *values;
  std::int64_t count, width, stride;
  float scale;
  float *scores, *sum;  // (count), (width): working memory
  c10::BFloat16* out;
};

LATHE_CLONES void score(const Head& head) {
  for (std::int64_t i = 0; i < head.count; ++i) {
    const std::uint16_t* key = head.keys + i * head.stride;
    float lanes[kLanes] = {};
    std::int64_t d = 0;
    for (; d + kLanes <= head.width; d += kLanes)
      for (std::int64_t lane = 0; lane < kLanes; ++lane)
        lanes[lane] += wide(head.q[d + lane]) * wide(key[d + lane]);
    float dot = 0;
    for (const float lane : lanes) dot += lane;
    for (; d < head.width; ++d) dot += wide(head.q[d]) * wide(key[d]);
    head.scores[i] = dot * head.scale;
  }
}

LATHE_CLONES void mix(const Head& head) {
  std::fill_n(head.sum, head.width, 0.0F);
  for (std::int64_t i = 0; i < head.count; ++i) {
    const std::uint16_t* value = head.values + i * head.stride;
    const float weight = head.scores[i];
    for (std::int64_t d = 0; d < head.width; ++d) head.sum[d] += weight * wide(value[d]);
  }
}

void attend(const Head& head) {
  score(head);
  const float largest = *std::max_element(head.scores, head.scores + head.count);
  float total = 0;
  for (std::int64_t i = 0; i < head.count; ++i) {
    head.scores[i] = std::exp(head.scores[i] - largest);
    total += head.scores[i];
  }
  mix(head);
  for (std::int64_t d = 0; d < head.width; ++d) head.out[d] = head.sum[d] / total;
}

const std::uint16_t* bits_of(const at::Tensor& x, std::int64_t row, std::int64_t head) {
  return static_cast<const std::uint16_t*>(x.const_data_ptr()) + row * x.stride(0) + head * x.stride(1);
}

}  // namespace

at::Tensor one_token_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                               const AttentionRule& rule) {
  const std::int64_t heads = q.size(1), group = heads / keys.size(1), count = keys.size(2), width = q.size(3);
  require(q.size(2) == 1 && q.scalar_type() == at::kBFloat16 && heads % keys.size(1) == 0 &&
              q.stride(3) == 1 && keys.stride(3) == 1 && values.stride(3) == 1 &&
              keys.stride(2) == values.stride(2),
          "one_token_attention: one bf16 token a row with dense heads is wanted");
  const at::Tensor out = at::empty({q.size(0), heads, 1, width}, q.options());
  constexpr std::int64_t kWork = 1 << 14;  // keys and values of a thread's share
  const std::int64_t grain = std::max<std::int64_t>(1, kWork / std::max<std::int64_t>(1, count * width));
  parallel_ranges(q.size(0) * heads, grain, [&](std::int64_t begin, std::int64_t end) {
    auto* const memory =
        static_cast<float*>(thread_memory((count + width) * static_cast<std::int64_t>(sizeof(float))));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / heads, head = i % heads;
      attend({.q = bits_of(q, row, head),
              .keys = bits_of(keys, row, head / group),
              .values = bits_of(values, row, head / group),
              .count = count,
              .width = width,
              .stride = keys.stride(2),
              .scale = static_cast<float>(rule.scale),
              .scores = memory,
              .sum = memory + count,
              .out = out.mutable_data_ptr<at::BFloat16>() + i * width});
    }
  });
  return out;
}

}  // namespace lathe
