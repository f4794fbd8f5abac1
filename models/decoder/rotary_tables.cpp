#include "models/decoder/rotary_tables.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lathe {
namespace {

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
// those that turn less than beta_slow times are interpolated, with a ramp between.
at::Tensor yarn(const RotarySpec& rotary, std::int64_t head_size) {
  const auto dimension = static_cast<double>(head_size);
  const auto original = static_cast<double>(rotary.original_max_position_embeddings);
  const auto turning_at = [&](double turns) {
    return dimension * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(rotary.theta));
  };
  const double low = std::max(std::floor(turning_at(rotary.beta_fast)), 0.0);
  double high = std::min(std::ceil(turning_at(rotary.beta_slow)), dimension - 1);
  if (high == low) high += 0.001;
  const at::Tensor ramp = ((at::arange(head_size / 2, at::kFloat) - low) / (high - low)).clamp(0, 1);
  const at::Tensor kept = 1 - ramp;
  const at::Tensor wavelengths = wavelengths_of(rotary.theta, head_size);
  return 1.0 / (rotary.factor * wavelengths) * (1 - kept) + 1.0 / wavelengths * kept;
}

}  // namespace

namespace {

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
  if (rotary.scaling != RotaryScaling::Yarn) return 1;
  if (rotary.attention_factor > 0) return rotary.attention_factor;
  return rotary.factor <= 1 ? 1 : 0.1 * std::log(rotary.factor) + 1;
}

RotaryTable rotary_table(const DecoderSpec& spec, std::int64_t length) {
  const at::Tensor positions = at::arange(length, at::kFloat).unsqueeze(1);
  const at::Tensor angles = positions * rotary_frequencies(spec, length).unsqueeze(0);  // (P, D/2)
  const double magnitude = rotary_magnitude(spec);
  return {angles.cos() * magnitude, angles.sin() * magnitude};
}

const RotaryTable& RotaryTables::at_least(std::int64_t length) {
  const bool by_length = spec_.rotary.scaling == RotaryScaling::Dynamic && length > spec_.max_positions;
  const bool fits = by_length ? built_for_ == length
                              : built_for_ >= length && (spec_.rotary.scaling != RotaryScaling::Dynamic ||
                                                         built_for_ <= spec_.max_positions);
  if (fits) return table_;
  std::int64_t size = length;
  if (!by_length) {
    size = std::max<std::int64_t>(length, 2 * built_for_);
    if (spec_.rotary.scaling == RotaryScaling::Dynamic) size = spec_.max_positions;
  }
  const at::NoGradGuard no_grad;
  table_ = rotary_table(spec_, size);
  built_for_ = size;
  return table_;
}

}  // namespace lathe
