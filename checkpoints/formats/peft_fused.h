#pragma once
// Adapters of matrices that a family stores as one (GPT-2's c_attn: queries, keys and values). Here each part
// has factors of its own, PEFT knows one pair for the whole: the parts' A one under the other, their B along
// the diagonal, which is the same product at n times the rank. Torch-free.
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"

namespace lathe {

struct FusedModule {
  std::string on_disk;             // "transformer.h.0.attn.c_attn"
  std::vector<std::string> parts;  // "model.layers.0.self_attn.q_proj" ...
  std::vector<std::int64_t> rows;  // output features of each part
};

// Those of the family whose weight holds several of the decoder's matrices.
std::vector<FusedModule> fused_modules(const Family& family, const DecoderSpec& spec);

// The tensors of one fused module on disk (<on_disk>.lora_A.weight (n r, in), .lora_B.weight (out, n r),
// .lora_magnitude_vector.weight (out)) from those of its parts; a part that is not adapted is zero. Error for
// DoRA on some of the parts only, whose magnitudes the base alone knows.
std::vector<BundleTensor> fuse_parts(const FusedModule& module, const std::vector<BundleTensor>& adapter);

// Back: factors of rank n r that are zero off the diagonal fall into the parts' own (zero parts are left
// out); factors of rank r, as PEFT makes them, give every part the same A. Error for other ranks, shapes and
// values.
std::vector<BundleTensor> split_parts(const FusedModule& module, const std::vector<BundleTensor>& adapter,
                                      std::int64_t rank, const std::string& where);

}  // namespace lathe
