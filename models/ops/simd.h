#pragma once
// Vectors of the instruction set a kernel file is being compiled for (lathe_kernels in cmake/layers.cmake):
// 16 floats with AVX-512, 8 with AVX2, 4 else. Only for *.kernel.cpp: everything has internal linkage, and no
// library header with inline functions may be included there, lest the linker keep an AVX-512 copy of one for
// all processors.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstring>

namespace lathe::kernels::LATHE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using Floats = float __attribute__((vector_size(kLanes * 4)));
using Ints = std::int32_t __attribute__((vector_size(kLanes * 4)));
using Words = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using Halves = std::uint16_t __attribute__((vector_size(kLanes * 2)));
using Bfloat = std::uint16_t;  // the bits of a bfloat16

// How many lanes of a load or store are real: all of them, or the last few of a row.
struct Full {};
struct Part {
  int count;
};

inline Floats splat(float value) { return Floats{} + value; }

inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_fmadd_ps(a, b, c));
#elif defined(__FMA__)
  return reinterpret_cast<Floats>(_mm256_fmadd_ps(a, b, c));
#else
  Floats result;
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = a[lane] * b[lane] + c[lane];
  return result;
#endif
}

inline Floats square_root(Floats x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_maskz_sqrt_ps(0xffff, x));
#elif defined(__AVX2__)
  return reinterpret_cast<Floats>(_mm256_sqrt_ps(x));
#elif defined(__SSE2__)
  return reinterpret_cast<Floats>(_mm_sqrt_ps(x));
#else
  Floats result;
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = std::sqrt(x[lane]);
  return result;
#endif
}

inline Floats widen(Halves bits) {
  return reinterpret_cast<Floats>(__builtin_convertvector(bits, Words) << 16);
}

// Round to nearest even; a NaN stays one.
inline Halves narrow(Floats x) {
  const Words bits = reinterpret_cast<Words>(x);
  const Words rounded = (bits + ((bits >> 16) & 1U) + 0x7fffU) >> 16;
  const Words nan = Words{} + 0x7fc0U;
  return __builtin_convertvector(x == x ? rounded : nan, Halves);
}

inline Floats load(const float* from, Full) {
  Floats x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
inline Floats load(const Bfloat* from, Full) {
  Halves bits;
  std::memcpy(&bits, from, sizeof bits);
  return widen(bits);
}
inline void store(float* to, Floats x, Full) { std::memcpy(to, &x, sizeof x); }
inline void store(Bfloat* to, Floats x, Full) {
  const Halves bits = narrow(x);
  std::memcpy(to, &bits, sizeof bits);
}

inline Floats load(const float* from, Part part) {
  Floats x{};
  std::memcpy(&x, from, sizeof(float) * static_cast<std::size_t>(part.count));
  return x;
}
inline Floats load(const Bfloat* from, Part part) {
  Halves bits{};
  std::memcpy(&bits, from, sizeof(Bfloat) * static_cast<std::size_t>(part.count));
  return widen(bits);
}
inline void store(float* to, Floats x, Part part) {
  std::memcpy(to, &x, sizeof(float) * static_cast<std::size_t>(part.count));
}
inline void store(Bfloat* to, Floats x, Part part) {
  const Halves bits = narrow(x);
  std::memcpy(to, &bits, sizeof(Bfloat) * static_cast<std::size_t>(part.count));
}

// body(i, width) over [0, count) in steps of a vector.
template <class Body>
inline void each_vector(std::int64_t count, Body&& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, Full{});
  if (i < count) body(i, Part{static_cast<int>(count - i)});
}

// Lanes added as a tree, the same for every call.
inline float sum(Floats x) {
  float lanes[kLanes];
  std::memcpy(lanes, &x, sizeof x);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}
inline float maximum(Floats x) {
  float best = x[0];
  for (int lane = 1; lane < kLanes; ++lane) best = x[lane] > best ? x[lane] : best;
  return best;
}

// e^x by 2^n * e^r, |r| <= ln(2) / 2, with the Taylor polynomial of degree 7 (within 2 units in the last
// place) or 5 (2e-6, plenty for bf16). Below -87.3 it gives 1e-38, above 88.3 3e38; a NaN stays one.
template <int degree = 7>
inline Floats exponential(Floats x) {
  const Floats high = splat(88.37F);
  const Floats low = splat(-87.33F);
  x = high < x ? high : x;
  x = low > x ? low : x;
  const Floats magic = splat(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Floats shifted = fma(x, splat(1.44269504088896341F), magic);
  const Floats n = shifted - magic;
  Floats r = fma(n, splat(-0.693359375F), x);  // ln 2 in two parts; the first has few bits
  r = fma(n, splat(2.12194440e-4F), r);
  Floats p = splat(1.0F / 120);
  if constexpr (degree == 7) {
    p = fma(splat(1.0F / 5040), r, splat(1.0F / 720));
    p = fma(p, r, splat(1.0F / 120));
  }
  p = fma(p, r, splat(1.0F / 24));
  p = fma(p, r, splat(1.0F / 6));
  p = fma(p, r, splat(0.5F));
  p = fma(p, r, splat(1.0F));
  p = fma(p, r, splat(1.0F));
  const Words exponent = (reinterpret_cast<Words>(shifted) - reinterpret_cast<Words>(magic) + 127U) << 23;
  return p * reinterpret_cast<Floats>(exponent);
}
// The precision that element type T deserves.
template <class T>
inline Floats exponential_for(Floats x) {
  return exponential < sizeof(T) == 2 ? 5 : 7 > (x);
}

}  // namespace
}  // namespace lathe::kernels::LATHE_ISA
