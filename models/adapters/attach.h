#pragma once
// Adapters of a whole decoder: put on, loaded, merged into a bundle.
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/peft.h"
#include "models/adapters/adapter.h"
#include "models/decoder/decoder.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// Freezes every parameter and puts an adapter on each Linear of the blocks that `spec.targets` names ("all-linear": on
// all; the head never). Returns the modules' names. A target that matches nothing is a usage Error with the names there.
std::vector<std::string> attach_adapters(Decoder& decoder, const AdapterSpec& spec, std::uint64_t seed);

AdapterSpec adapter_spec(const AdapterSection& section);
AdapterSpec adapter_spec(const PeftAdapter& adapter);

// The base with the adapter merged in fp32, lazily, a tensor at a time; merged tensors are F32. Error when the adapter
// changes nothing (all B zero, magnitudes those of the base).
Bundle merge_adapter(const Bundle& base, const PeftAdapter& adapter);
// Error when every merged tensor equals the base's, byte for byte, once both are rounded to `dtype`: such an export would
// be the base.
void require_visible_change(const Bundle& base, const Bundle& merged, DType dtype);

}  // namespace lathe
