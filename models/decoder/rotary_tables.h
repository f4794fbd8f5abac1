#pragma once
// Cosines and sines of rotary embeddings (arXiv 2104.09864) under the length extensions in use: linear (arXiv
// 2306.15595), dynamic NTK, Llama 3 (arXiv 2407.21783), YaRN (arXiv 2309.00071), LongRoPE (arXiv 2402.13753).
// fp32, computed with the operations that transformers uses, so that angles at large positions agree to the
// bit. Where angles depend on the sequence's length (dynamic NTK, LongRoPE), a whole batch has those of its
// longest document, as there.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "checkpoints/bundle/spec.h"

namespace lathe {

struct RotaryTable {
  at::Tensor cos, sin;  // (P, D/2) fp32
};

// (D/2) fp32 angles a position, for a sequence of `length` tokens (dynamic NTK and LongRoPE depend on it).
at::Tensor rotary_frequencies(const DecoderSpec& spec, std::int64_t length);
// What cosines and sines are multiplied with: YaRN's and LongRoPE's temperature, else 1.
double rotary_magnitude(const DecoderSpec& spec);
RotaryTable rotary_table(const DecoderSpec& spec, std::int64_t length);

// Tables of one decoder, grown by doubling; not thread-safe, like the module that owns it.
class RotaryTables {
 public:
  explicit RotaryTables(const DecoderSpec& spec) : spec_(spec) {}
  // At least `length` rows, the angles those of a sequence that long.
  const RotaryTable& at_least(std::int64_t length);

 private:
  // The longest sequence with the angles of one of `length` tokens.
  std::int64_t last_alike(std::int64_t length) const;

  DecoderSpec spec_;
  RotaryTable table_;
  std::int64_t built_for_ = 0;
};

}  // namespace lathe
