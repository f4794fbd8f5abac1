// What diffusion transformers do between their products: norms that a condition shifts, scales and gates,
// norms of heads, and GELU. fp32 arithmetic over fp32 or bf16 memory.
#include "models/ops/kernels.h"
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

template <class T>
const T* row_of(const void* x, std::int64_t row, std::int64_t stride) {
  return static_cast<const T*>(x) + row * stride;
}
template <class T>
T* row_of(void* x, std::int64_t row, std::int64_t stride) {
  return static_cast<T*>(x) + row * stride;
}

// total = x + gate * branch of one row, as later readers will see it.
template <class T>
void gated_sum(const ModulatedNorm& a, std::int64_t picture, std::int64_t row) {
  const T* x = row_of<T>(a.x, row, a.channels);
  const T* branch = row_of<T>(a.branch, row, a.channels);
  const T* gate = row_of<T>(a.gate, picture, a.gate_row);
  T* total = row_of<T>(a.total, row, a.channels);
  each_vector(a.channels, [&](std::int64_t i, auto width) {
    store(total + i, fma(load(gate + i, width), load(branch + i, width), load(x + i, width)), width);
  });
}

// A vector's lanes past the end of a row are to stay out of sums of (x - mean)^2.
inline Floats kept(Floats x, Full) { return x; }
inline Floats kept(Floats x, Part part) {
  for (int lane = part.count; lane < kLanes; ++lane) x[lane] = 0;
  return x;
}

template <class T>
void modulated_norm_forward(const ModulatedNorm& a, std::int64_t begin, std::int64_t end) {
  const auto count = static_cast<float>(a.channels);
  for (std::int64_t row = begin * a.tokens; row < end * a.tokens; ++row) {
    const std::int64_t picture = row / a.tokens;
    if (a.branch != nullptr) gated_sum<T>(a, picture, row);
    const T* x = row_of<T>(a.branch != nullptr ? a.total : a.x, row, a.channels);
    Floats total{};
    each_vector(a.channels, [&](std::int64_t i, auto width) { total += load(x + i, width); });
    const float mean = sum(total) / count;
    Floats squares{};
    each_vector(a.channels, [&](std::int64_t i, auto width) {
      const Floats apart = kept(load(x + i, width) - mean, width);
      squares = fma(apart, apart, squares);
    });
    const float inverse = 1.0F / std::sqrt(sum(squares) / count + a.eps);
    a.mean[row] = mean;
    a.inverse[row] = inverse;
    const T* shift = row_of<T>(a.shift, picture, a.shift_row);
    const T* scale = row_of<T>(a.scale, picture, a.scale_row);
    T* y = row_of<T>(a.y, row, a.channels);
    each_vector(a.channels, [&](std::int64_t i, auto width) {
      const Floats normed = (load(x + i, width) - mean) * inverse;
      store(y + i, fma(normed, load(scale + i, width) + 1.0F, load(shift + i, width)), width);
    });
  }
}

// One row's dx (and dbranch); dgate, dshift and dscale are added to sums (3, C). With h the normed row and
// g = dy (1 + scale): dx = (g - mean(g) - h mean(g h)) / deviation, plus what reached the sum past the norm.
template <class T>
void modulated_norm_row(const ModulatedNormBackward& a, std::int64_t picture, std::int64_t row, float* sums) {
  const ModulatedNorm& f = a.forward;
  const std::int64_t channels = f.channels;
  const T* x = row_of<T>(f.x, row, channels);
  const T* dy = row_of<T>(a.dy, row, channels);
  const T* scale = row_of<T>(f.scale, picture, f.scale_row);
  const float mean = f.mean[row], inverse = f.inverse[row];
  Floats plain{}, dots{};
  each_vector(channels, [&](std::int64_t i, auto width) {
    const Floats normed = (load(x + i, width) - mean) * inverse;
    const Floats d = load(dy + i, width);  // 0 past the end
    const Floats inner = d * (load(scale + i, width) + 1.0F);
    plain += inner;
    dots = fma(inner, normed, dots);
    store(sums + channels + i, load(sums + channels + i, width) + d, width);
    store(sums + 2 * channels + i, fma(d, normed, load(sums + 2 * channels + i, width)), width);
  });
  const float middle = sum(plain) / static_cast<float>(channels),
              slope = sum(dots) / static_cast<float>(channels);
  const T* dtotal = a.dtotal == nullptr ? nullptr : row_of<T>(a.dtotal, row, channels);
  const T* branch = f.branch == nullptr ? nullptr : row_of<T>(f.branch, row, channels);
  const T* gate = f.branch == nullptr ? nullptr : row_of<T>(f.gate, picture, f.gate_row);
  T* dx = row_of<T>(a.dx, row, channels);
  T* dbranch = f.branch == nullptr ? nullptr : row_of<T>(a.dbranch, row, channels);
  each_vector(channels, [&](std::int64_t i, auto width) {
    const Floats normed = (load(x + i, width) - mean) * inverse;
    const Floats inner = load(dy + i, width) * (load(scale + i, width) + 1.0F);
    Floats d = (inner - middle - normed * slope) * inverse;
    if (dtotal != nullptr) d += load(dtotal + i, width);
    store(dx + i, d, width);
    if (branch == nullptr) return;
    store(dbranch + i, d * load(gate + i, width), width);
    store(sums + i, fma(d, load(branch + i, width), load(sums + i, width)), width);
  });
}

template <class T>
void modulated_norm_backward(const ModulatedNormBackward& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t channels = a.forward.channels, tokens = a.forward.tokens;
  for (std::int64_t picture = begin; picture < end; ++picture) {
    float* sums = a.sums + picture * 3 * channels;
    std::memset(sums, 0, sizeof(float) * 3 * static_cast<std::size_t>(channels));
    for (std::int64_t row = picture * tokens; row < (picture + 1) * tokens; ++row)
      modulated_norm_row<T>(a, picture, row, sums);
    void* const outputs[3] = {a.dgate, a.dshift, a.dscale};
    for (int kind = a.forward.branch == nullptr ? 1 : 0; kind < 3; ++kind) {
      T* out = row_of<T>(outputs[kind], picture, channels);
      each_vector(channels, [&](std::int64_t i, auto width) {
        store(out + i, load(sums + kind * channels + i, width), width);
      });
    }
  }
}

template <class T>
float inverse_rms(const T* x, std::int64_t size, float eps) {
  Floats squares{};
  each_vector(size, [&](std::int64_t i, auto width) {
    const Floats value = load(x + i, width);
    squares = fma(value, value, squares);
  });
  return 1.0F / std::sqrt(sum(squares) / static_cast<float>(size) + eps);
}

template <class T>
void head_norm_forward(const HeadNorm& a, std::int64_t begin, std::int64_t end) {
  const T* weight = static_cast<const T*>(a.weight);
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = row_of<T>(a.x, row, a.x_row);
    T* out = row_of<T>(a.out, row, a.out_row);
    if (weight == nullptr) {
      std::memcpy(out, x, sizeof(T) * static_cast<std::size_t>(a.heads * a.size));
      continue;
    }
    for (std::int64_t head = 0; head < a.heads; ++head, x += a.size, out += a.size) {
      const float inverse = inverse_rms(x, a.size, a.eps);
      each_vector(a.size, [&](std::int64_t i, auto width) {
        store(out + i, load(x + i, width) * inverse * load(weight + i, width), width);
      });
    }
  }
}

// As RMSNorm's: dx = (w dy - h mean(h w dy)) / rms, dw = sum of h dy.
template <class T>
void head_norm_backward(const HeadNorm& a, std::int64_t begin, std::int64_t end) {
  const T* weight = static_cast<const T*>(a.weight);
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = row_of<T>(a.x, row, a.x_row);
    const T* dout = row_of<T>(a.dout, row, a.out_row);
    T* dx = row_of<T>(a.dx, row, a.dx_row);
    if (weight == nullptr) {
      std::memcpy(dx, dout, sizeof(T) * static_cast<std::size_t>(a.heads * a.size));
      continue;
    }
    for (std::int64_t head = 0; head < a.heads; ++head, x += a.size, dout += a.size, dx += a.size) {
      const float inverse = inverse_rms(x, a.size, a.eps);
      Floats dots{};
      each_vector(a.size, [&](std::int64_t i, auto width) {
        const Floats normed = load(x + i, width) * inverse, d = load(dout + i, width);
        dots = fma(normed, load(weight + i, width) * d, dots);
        store(a.dweight + i, fma(normed, d, load(a.dweight + i, width)), width);
      });
      const float slope = sum(dots) / static_cast<float>(a.size);
      each_vector(a.size, [&](std::int64_t i, auto width) {
        const Floats normed = load(x + i, width) * inverse;
        store(dx + i, (load(weight + i, width) * load(dout + i, width) - normed * slope) * inverse, width);
      });
    }
  }
}

template <class T>
Floats gate_of(const Gelu& a, Floats x) {
  const Floats inner = x * fma(x * x, splat(a.cubic), splat(a.linear));
  return 1.0F / (exponential_for<T>(-inner) + 1.0F);
}

template <class T>
void gelu_forward(const Gelu& a, std::int64_t begin, std::int64_t end) {
  const T* x = static_cast<const T*>(a.x) + begin;
  T* out = static_cast<T*>(a.out) + begin;
  each_vector(end - begin, [&](std::int64_t i, auto width) {
    const Floats value = load(x + i, width);
    store(out + i, value * gate_of<T>(a, value), width);
  });
}

// With s the sigmoid of p(x): d (x s) / dx = s + x s (1 - s) p'(x).
template <class T>
void gelu_backward(const Gelu& a, std::int64_t begin, std::int64_t end) {
  const T* x = static_cast<const T*>(a.x) + begin;
  const T* dout = static_cast<const T*>(a.dout) + begin;
  T* dx = static_cast<T*>(a.dx) + begin;
  each_vector(end - begin, [&](std::int64_t i, auto width) {
    const Floats value = load(x + i, width);
    const Floats s = gate_of<T>(a, value);
    const Floats slope = fma(value * value, splat(3 * a.cubic), splat(a.linear));
    store(dx + i, load(dout + i, width) * fma(value * s * (1.0F - s), slope, s), width);
  });
}

template <class T>
void add_all(OpKernels& table) {
  table.modulated_norm_forward = modulated_norm_forward<T>;
  table.modulated_norm_backward = modulated_norm_backward<T>;
  table.head_norm_forward = head_norm_forward<T>;
  table.head_norm_backward = head_norm_backward<T>;
  table.gelu_forward = gelu_forward<T>;
  table.gelu_backward = gelu_backward<T>;
}

}  // namespace

void add_modulation_kernels(OpKernels& table, bool bfloat16) {
  bfloat16 ? add_all<Bfloat>(table) : add_all<float>(table);
}

}  // namespace lathe::kernels::LATHE_ISA
