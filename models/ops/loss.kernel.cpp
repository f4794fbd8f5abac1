// Softmax cross-entropy with its gradient, and dropout.
#include "models/ops/kernels.h"
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

// Lanes past a row's end must not count in the softmax.
inline Floats masked(Floats x, Full, float) { return x; }
inline Floats masked(Floats x, Part part, float filler) {
  for (int lane = part.count; lane < kLanes; ++lane) x[lane] = filler;
  return x;
}

template <class T>
void softmax_loss(const SoftmaxLoss& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t size = a.vocabulary;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* logits = static_cast<const T*>(a.logits) + row * size;
    T* gradient = a.gradient == nullptr ? nullptr : static_cast<T*>(a.gradient) + row * size;
    const std::int64_t target = a.targets[row];
    if (target < 0) {
      a.losses[row] = 0;
      if (gradient != nullptr) std::memset(gradient, 0, sizeof(T) * static_cast<std::size_t>(size));
      continue;
    }
    const float target_logit = sum(load(logits + target, Part{1}));
    Floats largest = splat(target_logit);
    each_vector(size, [&](std::int64_t i, auto width) {
      const Floats x = masked(load(logits + i, width), width, target_logit);
      largest = x > largest ? x : largest;
    });
    const float top = maximum(largest);
    Floats total{};
    each_vector(size, [&](std::int64_t i, auto width) {
      total += masked(exponential_for<T>(load(logits + i, width) - top), width, 0.0F);
    });
    const float normaliser = sum(total);
    a.losses[row] = std::log(normaliser) - (target_logit - top);
    if (gradient == nullptr) continue;
    const float inverse = 1.0F / normaliser;
    const float target_gradient = std::exp(target_logit - top) * inverse - 1.0F;
    each_vector(size, [&](std::int64_t i, auto width) {
      store(gradient + i, exponential_for<T>(load(logits + i, width) - top) * inverse, width);
    });
    store(gradient + target, splat(target_gradient), Part{1});
  }
}

// kLanes blocks of Philox 4x32-10 at once (Salmon et al., SC 2011): word w of block b in lane b of result[w].
struct Blocks {
  Words word[4];
};

using Longs = std::uint64_t __attribute__((vector_size(kLanes * 8)));

inline void multiply(Words a, std::uint32_t b, Words& high, Words& low) {
  const Longs product = __builtin_convertvector(a, Longs) * static_cast<std::uint64_t>(b);
  low = __builtin_convertvector(product, Words);
  high = __builtin_convertvector(product >> 32, Words);
}

inline Blocks philox(Blocks counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    Words high0, low0, high1, low1;
    multiply(counter.word[0], 0xD2511F53U, high0, low0);
    multiply(counter.word[2], 0xCD9E8D57U, high1, low1);
    counter = {{high1 ^ counter.word[1] ^ key0, low1, high0 ^ counter.word[3] ^ key1, low0}};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

template <class T>
void dropout(const Dropout& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t channels = a.channels;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(a.x) + row * channels;
    T* out = static_cast<T*>(a.out) + row * channels;
    if (a.positions[row] < 0) {
      std::memset(out, 0, sizeof(T) * static_cast<std::size_t>(channels));
      continue;
    }
    Words lane;
    for (int i = 0; i < kLanes; ++i) lane[i] = static_cast<std::uint32_t>(i);
    const auto document_low = static_cast<std::uint32_t>(a.documents[row]);
    const auto document_high = static_cast<std::uint32_t>(a.documents[row] >> 32);
    for (std::int64_t first = 0; first < channels; first += 4 * kLanes) {
      const Blocks blocks = philox({{lane + static_cast<std::uint32_t>(first / 4),
                                     Words{} + static_cast<std::uint32_t>(a.positions[row]),
                                     Words{} + document_low, Words{} + document_high}},
                                   a.key[0], a.key[1]);
      std::uint32_t bits[4 * kLanes];  // channel c takes word c % 4 of block c / 4
      for (int i = 0; i < kLanes; ++i)
        for (int word = 0; word < 4; ++word) bits[4 * i + word] = blocks.word[word][i];
      const std::int64_t count = channels - first < 4 * kLanes ? channels - first : 4 * kLanes;
      each_vector(count, [&](std::int64_t i, auto width) {
        Words random;
        std::memcpy(&random, bits + i, sizeof random);
        const Floats factor = random < a.threshold ? Floats{} : splat(a.keep_scale);
        store(out + first + i, load(x + first + i, width) * factor, width);
      });
    }
  }
}

template <class T>
void add_all(OpKernels& table) {
  table.softmax_loss = softmax_loss<T>;
  table.dropout = dropout<T>;
}

}  // namespace

void add_loss_kernels(OpKernels& table, bool bfloat16) {
  bfloat16 ? add_all<Bfloat>(table) : add_all<float>(table);
}

}  // namespace lathe::kernels::LATHE_ISA
