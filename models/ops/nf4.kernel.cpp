// 4-bit NormalFloat (QLoRA, arXiv 2305.14314): 64 weights share a scale, two codes a byte, the first in its
// high half.
#include "models/ops/kernels.h"
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::int64_t kBlock = 64, kNested = 256;

// Appendix E of the paper: quantiles of N(0, 1), as many below zero as fit, 0 and 1 exactly.
constexpr float kCodes[16] = {-1.0F,
                              -0.6961928009986877F,
                              -0.5250730514526367F,
                              -0.39491748809814453F,
                              -0.28444138169288635F,
                              -0.18477343022823334F,
                              -0.09105003625154495F,
                              0.0F,
                              0.07958029955625534F,
                              0.16093020141124725F,
                              0.24611230194568634F,
                              0.33791524171829224F,
                              0.44070982933044434F,
                              0.5626170039176941F,
                              0.7229568362236023F,
                              1.0F};

// Where bitsandbytes' GPU kernels decide between neighbours: the midpoints, some of them an ulp beside.
constexpr float kBounds[15] = {-0.8480964004993439F,   -0.6106329262256622F,  -0.4599952697753906F,
                               -0.33967943489551544F,  -0.23460740596055984F, -0.13791173323988914F,
                               -0.045525018125772476F, 0.03979014977812767F,  0.1202552504837513F,
                               0.2035212516784668F,    0.2920137718319893F,   0.3893125355243683F,
                               0.5016634166240692F,    0.6427869200706482F,   0.8614784181118011F};

inline Floats magnitude(Floats x) {
  return reinterpret_cast<Floats>(reinterpret_cast<Words>(x) & 0x7fffffffU);
}

// Bits of a float without the library, which must not be inlined here.
inline float larger(float a, float b) { return a > b ? a : b; }

// The code nearest to each value: how many bounds lie below it. A value on one takes the lower code.
inline void nearest_codes(const float* values, std::int64_t count, float divisor, bool divide,
                          std::int32_t* codes) {
  const Floats low = splat(-1), high = splat(1), scale = splat(divide ? divisor : 1.0F / divisor);
  each_vector(count, [&](std::int64_t i, auto width) {
    Floats x = load(values + i, width);
    x = divide ? x / scale : x * scale;
    x = x < low ? low : x;
    x = x > high ? high : x;
    Ints code{};
    for (const float bound : kBounds) code -= static_cast<Ints>(x > splat(bound));
    if constexpr (sizeof(width) == sizeof(Part))
      std::memcpy(codes + i, &code, sizeof(std::int32_t) * static_cast<std::size_t>(width.count));
    else
      std::memcpy(codes + i, &code, sizeof code);
  });
}

// Blocks [begin, end). A block that holds a NaN or an infinity gets NaN for its largest magnitude.
template <class T>
void nf4_quantise(const Nf4Quantise& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t block = begin; block < end; ++block) {
    const std::int64_t first = block * kBlock, count = a.count - first < kBlock ? a.count - first : kBlock;
    const T* x = static_cast<const T*>(a.x) + first;
    float values[kBlock];
    Floats most{}, bad{};
    each_vector(count, [&](std::int64_t i, auto width) {
      const Floats value = load(x + i, width);
      store(values + i, value, width);
      const Floats size = magnitude(value);
      most = size > most ? size : most;
      bad += value - value;
    });
    const float largest = maximum(most);
    a.largest[block] = largest + sum(bad);
    std::int32_t codes[kBlock + 1];
    nearest_codes(values, count, larger(largest, 1e-38F), /*divide=*/count < kBlock,
                  codes);  // as the reference does
    codes[count] = 7;      // half a byte too many: 0
    for (std::int64_t i = 0; i < count; i += 2)
      a.packed[(first + i) / 2] = static_cast<std::uint8_t>(codes[i] << 4 | codes[i + 1]);
  }
}

// kLanes codes from kLanes / 2 bytes.
inline Floats decode(const std::uint8_t* packed) {
#if defined(__AVX512F__)
  std::uint32_t words[2];
  std::memcpy(words, packed, 8);
  const Words both = {words[0], words[0], words[0], words[0], words[0], words[0], words[0], words[0],
                      words[1], words[1], words[1], words[1], words[1], words[1], words[1], words[1]};
  const Words shifts = {4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24};
  Floats table;
  std::memcpy(&table, kCodes, sizeof table);
  return reinterpret_cast<Floats>(
      _mm512_permutexvar_ps(reinterpret_cast<__m512i>(both >> shifts), table));  // low 4 bits
#elif defined(__AVX2__)
  std::uint32_t word;
  std::memcpy(&word, packed, 4);
  const Words shifts = {4, 0, 12, 8, 20, 16, 28, 24};
  const auto codes = reinterpret_cast<__m256i>((Words{} + word) >> shifts);
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(kCodes), codes);  // by the low 3 bits
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(kCodes + 8), codes);
  return reinterpret_cast<Floats>(
      _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28))));
#else
  Floats x;
  for (int lane = 0; lane < kLanes; lane += 2) {
    x[lane] = kCodes[packed[lane / 2] >> 4];
    x[lane + 1] = kCodes[packed[lane / 2] & 15];
  }
  return x;
#endif
}

template <class T>
void nf4_dequantise(const Nf4Dequantise& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t block = begin; block < end; ++block) {
    const std::int64_t first = block * kBlock, count = a.count - first < kBlock ? a.count - first : kBlock;
    const float scale = a.scale_codes == nullptr
                            ? a.scales[block]
                            : a.scale_table[a.scale_codes[block]] * a.scales[block / kNested] + a.offset;
    const std::uint8_t* packed = a.packed + first / 2;
    T* out = static_cast<T*>(a.out) + first;
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(out + i, decode(packed + i / 2) * scale, Full{});
    if (i == count) continue;
    std::uint8_t rest[kLanes / 2] = {};
    std::memcpy(rest, packed + i / 2, static_cast<std::size_t>((count - i + 1) / 2));
    store(out + i, decode(rest) * scale, Part{static_cast<int>(count - i)});
  }
}

}  // namespace

void add_nf4_kernels(OpKernels& table, bool bfloat16) {
  table.nf4_quantise = bfloat16 ? nf4_quantise<Bfloat> : nf4_quantise<float>;
  table.nf4_dequantise = bfloat16 ? nf4_dequantise<Bfloat> : nf4_dequantise<float>;
}

}  // namespace lathe::kernels::LATHE_ISA
