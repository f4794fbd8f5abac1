#include "models/decoder/rotary_tables.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace lathe {
namespace {

constexpr std::int64_t kEvery = std::numeric_limits<std::int64_t>::max();

// theta ^ (2i / D) for i in [0, D/2).
at::Tensor wavelengths_of(double theta, std::int64_t head_size) {
  const at::Tensor exponents = at::arange(0, head_size, 2, at::kLong).to(at::kFloat) / head_size;
  return at::pow(at::Scalar(theta), exponents);
}

// Llama 3: wavelengths beyond the original context are stretched, short ones kept, those between blended.
at::Tensor llama3(const RotarySpec& rotary, const at::Tensor& frequencies) {
  const auto original = static_cast<double>(rotary.original_max_position_embeddings);
  const double low = original / rotary.low_freq_factor, high = original / rotary.high_freq_factor;
  const at::Tensor wavelength = (2 * std::numbers::pi) / frequencies;
  const at::Tensor stretched = at::where(wavelength > low, frequencies / rotary.factor, frequencies);
  const at::Tensor smooth =
      (original / wavelength - rotary.low_freq_factor) / (rotary.high_freq_factor - rotary.low_freq_factor);
  const at::Tensor blended = (1 - smooth) * stretched / rotary.factor + smooth * stretched;
  return at::where((wavelength >= high).logical_and(wavelength <= low), blended, stretched);
}

// YaRN, "NTK by parts": dimensions that turn more than beta_fast times in the original context are kept,
// those that turn less than beta_slow times are interpolated, with a ramp between, whose ends are whole
// dimensions unless `truncate` is false.
at::Tensor yarn(const RotarySpec& rotary, std::int64_t head_size) {
  const auto dimension = static_cast<double>(head_size);
  const auto original = static_cast<double>(rotary.original_max_position_embeddings);
  const auto turning_at = [&](double turns) {
    return dimension * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(rotary.theta));
  };
  double low = turning_at(rotary.beta_fast), high = turning_at(rotary.beta_slow);
  if (rotary.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dimension - 1);
  if (high == low) high += 0.001;
  const at::Tensor ramp = ((at::arange(head_size / 2, at::kFloat) - low) / (high - low)).clamp(0, 1);
  const at::Tensor kept = 1 - ramp;
  const at::Tensor wavelengths = wavelengths_of(rotary.theta, head_size);
  return 1.0 / (rotary.factor * wavelengths) * (1 - kept) + 1.0 / wavelengths * kept;
}

// LongRoPE: each frequency has a divisor of its own, another one in sequences beyond the original length.
at::Tensor longrope(const RotarySpec& rotary, std::int64_t head_size, std::int64_t length) {
  const bool beyond = length > rotary.original_max_position_embeddings;
  const at::Tensor factors = at::tensor(beyond ? rotary.long_factors : rotary.short_factors).to(at::kFloat);
  return 1.0 / (factors * wavelengths_of(rotary.theta, head_size));
}

at::Tensor scaled_frequencies(const DecoderSpec& spec, std::int64_t length) {
  const RotarySpec& rotary = spec.rotary;
  const std::int64_t head_size = spec.head_size;
  switch (rotary.scaling) {
    case RotaryScaling::None:
      break;
    case RotaryScaling::Linear:
      return 1.0 / wavelengths_of(rotary.theta, head_size) / rotary.factor;
    case RotaryScaling::Llama3:
      return llama3(rotary, 1.0 / wavelengths_of(rotary.theta, head_size));
    case RotaryScaling::Yarn:
      return yarn(rotary, head_size);
    case RotaryScaling::LongRope:
      return longrope(rotary, head_size, length);
    case RotaryScaling::Dynamic: {
      const auto dimension = static_cast<double>(head_size),
                 trained = static_cast<double>(spec.max_positions);
      const double stretch =
          rotary.factor * static_cast<double>(std::max(length, spec.max_positions)) / trained -
          (rotary.factor - 1);
      return 1.0 / wavelengths_of(rotary.theta * std::pow(stretch, dimension / (dimension - 2)), head_size);
    }
  }
  return 1.0 / wavelengths_of(rotary.theta, head_size);
}

}  // namespace

at::Tensor rotary_frequencies(const DecoderSpec& spec, std::int64_t length) {
  const at::Tensor frequencies = scaled_frequencies(spec, length);
  const std::vector<double>& factors = spec.rotary.frequency_factors;
  return factors.empty() ? frequencies : frequencies / at::tensor(factors).to(at::kFloat);
}

double rotary_magnitude(const DecoderSpec& spec) {
  const RotarySpec& rotary = spec.rotary;
  const bool yarn = rotary.scaling == RotaryScaling::Yarn;
  if (!yarn && rotary.scaling != RotaryScaling::LongRope) return 1;
  if (rotary.attention_factor > 0) return rotary.attention_factor;
  if (rotary.factor <= 1) return 1;
  if (yarn) return 0.1 * std::log(rotary.factor) + 1;
  return std::sqrt(1 + std::log(rotary.factor) /
                           std::log(static_cast<double>(rotary.original_max_position_embeddings)));
}

RotaryTable rotary_table(const DecoderSpec& spec, std::int64_t length) {
  const at::Tensor positions = at::arange(length, at::kFloat).unsqueeze(1);
  const at::Tensor angles = positions * rotary_frequencies(spec, length).unsqueeze(0);  // (P, D/2)
  const double magnitude = rotary_magnitude(spec);
  return {angles.cos() * magnitude, angles.sin() * magnitude};
}

std::int64_t RotaryTables::last_alike(std::int64_t length) const {
  const RotaryScaling scaling = spec_.rotary.scaling;
  if (scaling == RotaryScaling::Dynamic) return std::max(length, spec_.max_positions);
  const std::int64_t original = spec_.rotary.original_max_position_embeddings;
  if (scaling == RotaryScaling::LongRope && length <= original) return original;
  return kEvery;
}

const RotaryTable& RotaryTables::at_least(std::int64_t length) {
  const std::int64_t last = last_alike(length);
  if (built_for_ >= length && built_for_ <= last) return table_;
  const std::int64_t size = last == kEvery ? std::max(length, 2 * built_for_) : last;
  const at::NoGradGuard no_grad;
  table_ = rotary_table(spec_, size);
  built_for_ = size;
  return table_;
}

}  // namespace lathe
