#pragma once
// Activation checkpointing (arXiv 1604.06174): a block keeps only its inputs and is run again in backward. No
// generator state is saved, since dropout is a function of counters.
#include <memory>

#include "models/decoder/block.h"

namespace lathe {

// block.forward(stream, pass) to the bit, gradients included. `pass` is kept until backward.
Stream checkpointed(const std::shared_ptr<Block>& block, const Stream& stream,
                    const std::shared_ptr<const Pass>& pass);

}  // namespace lathe
