#pragma once
// A bundle as GGUF says it: metadata of its architecture and tensors under llama.cpp's names, in its layouts
// and types.
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/gguf.h"

namespace lathe {

// The kinds of file: all weights in one type, or Q4_K_M, llama.cpp's mix by tensor.
enum class GgufMix { F32, F16, BF16, Q8_0, Q4_K_M };
GgufMix gguf_mix(const std::string& name);  // "f32", "f16", "bf16", "q8_0", "q4_k_m"; Error for another
const char* gguf_mix_name(GgufMix mix);     // "Q4_K_M"

// The type of a tensor by llama.cpp's rules: vectors, norms and positions stay F32; where rows are no whole
// blocks the next type with smaller blocks takes over.
struct GgufPlace {
  std::string name;  // in the file
  std::vector<std::int64_t> shape;
  std::int64_t layer = 0, layers = 1;
  bool tied = false;
};
GgmlType gguf_type(GgufMix mix, const GgufPlace& place);

// Error when llama.cpp cannot run the model as it is meant.
void check_gguf_model(const Bundle& bundle);
// general.* and <architecture>.*; the tokenizer's keys are apart (gguf_tokenizer.h).
GgufMetadata gguf_model_metadata(const Bundle& bundle, GgufMix mix);
// Made when their bytes are asked for, one at a time.
std::vector<GgufTensor> gguf_tensors(const Bundle& bundle, GgufMix mix);

// The bundle's tensors with the values that the file holds, in its types: what an export is measured with.
// Blocks are made when a tensor is first read, in memory, and widened from there.
std::vector<BundleTensor> gguf_values(const Bundle& bundle, GgufMix mix);

}  // namespace lathe
