// Norms over the places and a group of the channels of a picture, channels last, with SiLU behind. fp32
// arithmetic over fp32 or bf16 memory. Channels run outside and places inside, so that what a channel has
// stays in registers.
#include "models/ops/kernels.h"
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

template <class T>
const T* picture_of(const GroupNorm& a, const void* x, std::int64_t picture) {
  return static_cast<const T*>(x) + picture * a.places * a.channels;
}

// Of a picture's four rows of working memory, (C) each.
struct Tables {
  float *mean, *inverse, *plain, *dots;
};
Tables tables_of(const GroupNorm& a, std::int64_t picture) {
  float* first = a.tables + picture * 4 * a.channels;
  return {first, first + a.channels, first + 2 * a.channels, first + 3 * a.channels};
}

// Every channel's value becomes that of its group: by(sum of the group's values / numbers of the group).
template <class By>
void spread(const GroupNorm& a, float* table, By&& by) {
  const std::int64_t size = a.channels / a.groups;
  const auto count = static_cast<double>(size * a.places);
  for (std::int64_t group = 0; group < a.groups; ++group, table += size) {
    double total = 0;
    for (std::int64_t c = 0; c < size; ++c) total += static_cast<double>(table[c]);
    const float value = by(group, static_cast<float>(total / count));
    for (std::int64_t c = 0; c < size; ++c) table[c] = value;
  }
}

// What a channel needs of its group, its weight and its bias, to turn x into z = (x - mean) * slope + bias.
template <class T, class Width>
struct Channel {
  Channel(const GroupNorm& a, const Tables& tables, std::int64_t i, Width width)
      : mean(load(tables.mean + i, width)),
        inverse(load(tables.inverse + i, width)),
        weight(load(static_cast<const T*>(a.weight) + i, width)),
        bias(load(static_cast<const T*>(a.bias) + i, width)) {}
  Floats mean, inverse, weight, bias;
};

template <class T>
Floats sigmoid(Floats z) {
  return 1.0F / (exponential_for<T>(-z) + 1.0F);
}

template <class T>
void group_norm_forward(const GroupNorm& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t step = a.channels, stop = a.places * a.channels;
  for (std::int64_t picture = begin; picture < end; ++picture) {
    const T* x = picture_of<T>(a, a.x, picture);
    T* y = const_cast<T*>(picture_of<T>(a, a.y, picture));
    const Tables tables = tables_of(a, picture);
    each_vector(a.channels, [&](std::int64_t i, auto width) {
      Floats total{};
      for (std::int64_t at = i; at < stop; at += step) total += load(x + at, width);
      store(tables.mean + i, total, width);
    });
    spread(a, tables.mean,
           [&](std::int64_t group, float mean) { return a.mean[picture * a.groups + group] = mean; });
    each_vector(a.channels, [&](std::int64_t i, auto width) {
      const Floats mean = load(tables.mean + i, width);
      Floats squares{};
      for (std::int64_t at = i; at < stop; at += step) {
        const Floats apart = load(x + at, width) - mean;
        squares = fma(apart, apart, squares);
      }
      store(tables.inverse + i, squares, width);
    });
    spread(a, tables.inverse, [&](std::int64_t group, float variance) {
      return a.inverse[picture * a.groups + group] = 1.0F / std::sqrt(variance + a.eps);
    });
    each_vector(a.channels, [&](std::int64_t i, auto width) {
      const Channel<T, decltype(width)> channel(a, tables, i, width);
      const Floats slope = channel.inverse * channel.weight;
      for (std::int64_t at = i; at < stop; at += step) {
        const Floats z = fma(load(x + at, width) - channel.mean, slope, channel.bias);
        store(y + at, a.silu ? z * sigmoid<T>(z) : z, width);
      }
    });
  }
}

// With h = (x - mean) / deviation, z = h w + b and dz the gradient of z (that of silu is s (1 + z (1 - s))):
// dw = sum of h dz, db = sum of dz, dx = (w dz - mean(w dz) - h mean(w h dz)) / deviation, means over the
// group.
template <class T>
void group_norm_backward(const GroupNormBackward& b, std::int64_t begin, std::int64_t end) {
  const GroupNorm& a = b.forward;
  const std::int64_t step = a.channels, stop = a.places * a.channels;
  for (std::int64_t picture = begin; picture < end; ++picture) {
    const T* x = picture_of<T>(a, a.x, picture);
    const T* dy = picture_of<T>(a, b.dy, picture);
    T* dx = const_cast<T*>(picture_of<T>(a, b.dx, picture));
    float *dweight = b.dweight + picture * a.channels, *dbias = b.dbias + picture * a.channels;
    const Tables tables = tables_of(a, picture);
    for (std::int64_t c = 0; c < a.channels; ++c) {
      const std::int64_t group = picture * a.groups + c / (a.channels / a.groups);
      tables.mean[c] = a.mean[group];
      tables.inverse[c] = a.inverse[group];
    }
    const auto gradient = [&](Floats d, Floats normed, const auto& channel) {
      if (!a.silu) return d;
      const Floats z = fma(normed, channel.weight, channel.bias), s = sigmoid<T>(z);
      return d * s * fma(z, 1.0F - s, splat(1));
    };
    each_vector(a.channels, [&](std::int64_t i, auto width) {
      const Channel<T, decltype(width)> channel(a, tables, i, width);
      Floats plain{}, dots{};
      for (std::int64_t at = i; at < stop; at += step) {
        const Floats normed = (load(x + at, width) - channel.mean) * channel.inverse;
        const Floats dz = gradient(load(dy + at, width), normed, channel);
        plain += dz;
        dots = fma(dz, normed, dots);
      }
      store(dbias + i, plain, width);
      store(dweight + i, dots, width);
      store(tables.plain + i, plain * channel.weight, width);
      store(tables.dots + i, dots * channel.weight, width);
    });
    const auto mean = [](std::int64_t, float value) { return value; };
    spread(a, tables.plain, mean);
    spread(a, tables.dots, mean);
    each_vector(a.channels, [&](std::int64_t i, auto width) {
      const Channel<T, decltype(width)> channel(a, tables, i, width);
      const Floats plain = load(tables.plain + i, width), dots = load(tables.dots + i, width);
      for (std::int64_t at = i; at < stop; at += step) {
        const Floats normed = (load(x + at, width) - channel.mean) * channel.inverse;
        const Floats dz = gradient(load(dy + at, width), normed, channel);
        store(dx + at, (dz * channel.weight - plain - normed * dots) * channel.inverse, width);
      }
    });
  }
}

template <class T>
void add_all(OpKernels& table) {
  table.group_norm_forward = group_norm_forward<T>;
  table.group_norm_backward = group_norm_backward<T>;
}

}  // namespace

void add_group_norm_kernels(OpKernels& table, bool bfloat16) {
  bfloat16 ? add_all<Bfloat>(table) : add_all<float>(table);
}

}  // namespace lathe::kernels::LATHE_ISA
