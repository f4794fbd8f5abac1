#pragma once
// A decoder that is read, not trained: products in the storage's type, the base's matrices as its files hold
// them, an adapter beside them instead of merged.
#include <memory>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/peft.h"
#include "models/decoder/decoder.h"

namespace lathe {

// Null when the adapter says what modules beside a base cannot: rows of tokens, or ranks that differ between
// modules.
std::shared_ptr<Decoder> build_adapted_decoder(const Bundle& base, const PeftAdapter& adapter,
                                               const LinearStorage& storage);

}  // namespace lathe
