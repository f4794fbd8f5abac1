// RMSNorm, SwiGLU and rotary embedding, fp32 arithmetic over fp32 or bf16 memory.
#include "models/ops/kernels.h"
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

template <class T>
void norm_forward(const NormForward& a, std::int64_t begin, std::int64_t end) {
  const auto* weight = static_cast<const T*>(a.weight);
  const std::int64_t channels = a.channels;
  const Floats offset = splat(a.offset);
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(a.x) + row * channels;
    Floats squares{};
    if (a.branch != nullptr) {
      const T* branch = static_cast<const T*>(a.branch) + row * channels;
      T* total = static_cast<T*>(a.total) + row * channels;
      each_vector(channels, [&](std::int64_t i, auto width) {
        store(total + i, load(x + i, width) + load(branch + i, width), width);
        const Floats value = load(total + i, width);  // as later readers will see it
        squares = fma(value, value, squares);
      });
      x = total;
    } else {
      each_vector(channels, [&](std::int64_t i, auto width) {
        const Floats value = load(x + i, width);
        squares = fma(value, value, squares);
      });
    }
    const float inverse = 1.0F / std::sqrt(sum(squares) / static_cast<float>(channels) + a.eps);
    a.inverse_rms[row] = inverse;
    T* y = static_cast<T*>(a.y) + row * channels;
    each_vector(channels, [&](std::int64_t i, auto width) {
      store(y + i, load(x + i, width) * inverse * (load(weight + i, width) + offset), width);
    });
  }
}

// With h = x / rms and w = offset + weight: dx = (w dy - h mean(h w dy)) / rms, dw = sum over rows of h dy.
template <class T>
void norm_backward(const NormBackward& a, std::int64_t begin, std::int64_t end) {
  const auto* weight = static_cast<const T*>(a.weight);
  const std::int64_t channels = a.channels;
  const Floats shift = splat(a.offset);
  std::memset(a.dweight, 0, sizeof(float) * static_cast<std::size_t>(channels));
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t offset = row * channels;
    const T* x = static_cast<const T*>(a.x) + offset;
    const T* dy = static_cast<const T*>(a.dy) + offset;
    const T* dtotal = a.dtotal == nullptr ? nullptr : static_cast<const T*>(a.dtotal) + offset;
    T* dx = static_cast<T*>(a.dx) + offset;
    const float inverse = a.inverse_rms[row];
    Floats dots{};
    each_vector(channels, [&](std::int64_t i, auto width) {
      const Floats scaled = load(x + i, width) * inverse;
      const Floats dyi = load(dy + i, width);
      dots = fma(scaled, (load(weight + i, width) + shift) * dyi, dots);
      store(a.dweight + i, fma(scaled, dyi, load(a.dweight + i, width)), width);
    });
    const Floats mean = splat(-sum(dots) / static_cast<float>(channels) * inverse);
    each_vector(channels, [&](std::int64_t i, auto width) {
      const Floats scale = load(weight + i, width) + shift;
      const Floats inner = fma(load(x + i, width), mean, scale * load(dy + i, width));
      const Floats outer = dtotal == nullptr ? Floats{} : load(dtotal + i, width);
      store(dx + i, fma(inner, splat(inverse), outer), width);
    });
  }
}

template <class T>
void swiglu_forward(const Swiglu& a, std::int64_t begin, std::int64_t end) {
  const T* gate = static_cast<const T*>(a.gate) + begin;
  const T* up = static_cast<const T*>(a.up) + begin;
  T* out = static_cast<T*>(a.out) + begin;
  each_vector(end - begin, [&](std::int64_t i, auto width) {
    const Floats g = load(gate + i, width);
    store(out + i, g / (exponential_for<T>(-g) + 1.0F) * load(up + i, width), width);
  });
}

// With s = sigmoid(g): d silu / dg = s (1 + g (1 - s)).
template <class T>
void swiglu_backward(const Swiglu& a, std::int64_t begin, std::int64_t end) {
  const T* gate = static_cast<const T*>(a.gate) + begin;
  const T* up = static_cast<const T*>(a.up) + begin;
  const T* dout = static_cast<const T*>(a.dout) + begin;
  T* dgate = static_cast<T*>(a.dgate) + begin;
  T* dup = static_cast<T*>(a.dup) + begin;
  each_vector(end - begin, [&](std::int64_t i, auto width) {
    const Floats g = load(gate + i, width);
    const Floats d = load(dout + i, width);
    const Floats s = 1.0F / (exponential_for<T>(-g) + 1.0F);
    const Floats silu = g * s;
    store(dup + i, d * silu, width);
    store(dgate + i, d * load(up + i, width) * fma(silu, 1.0F - s, s), width);
  });
}

template <class T>
void rotary(const Rotary& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const float* cos = a.cos + a.positions[row] * a.half;
    const float* sin = a.sin + a.positions[row] * a.half;
    for (std::int64_t head = 0; head < a.heads; ++head) {
      const T* x = static_cast<const T*>(a.x) + row * a.row_stride + head * 2 * a.half;
      T* out = static_cast<T*>(a.out) + (row * a.heads + head) * 2 * a.half;
      each_vector(a.half, [&](std::int64_t i, auto width) {
        const Floats first = load(x + i, width);
        const Floats second = load(x + a.half + i, width);
        const Floats c = load(cos + i, width);
        const Floats s = load(sin + i, width) * a.direction;
        store(out + i, fma(first, c, -(second * s)), width);
        store(out + a.half + i, fma(second, c, first * s), width);
      });
    }
  }
}

template <class T>
void sum_groups(const SumGroups& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(a.x) + row * a.group * a.size;
    T* out = static_cast<T*>(a.out) + row * a.size;
    each_vector(a.size, [&](std::int64_t i, auto width) {
      Floats total = load(x + i, width);
      for (std::int64_t g = 1; g < a.group; ++g) total += load(x + g * a.size + i, width);
      store(out + i, total, width);
    });
  }
}

template <class T>
void add_all(OpKernels& table) {
  table.norm_forward = norm_forward<T>;
  table.norm_backward = norm_backward<T>;
  table.swiglu_forward = swiglu_forward<T>;
  table.swiglu_backward = swiglu_backward<T>;
  table.rotary = rotary<T>;
  table.sum_groups = sum_groups<T>;
}

}  // namespace

void add_block_kernels(OpKernels& table, bool bfloat16) {
  bfloat16 ? add_all<Bfloat>(table) : add_all<float>(table);
}

}  // namespace lathe::kernels::LATHE_ISA
