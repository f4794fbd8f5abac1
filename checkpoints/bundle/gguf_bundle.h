#pragma once
// A model from a GGUF file alone: config, tensors and tokenizer come from its own metadata, by a table of
// names that is not the writer's, so that verify proves something. Files of llama.cpp's converter are read
// too, as far as the families and types here reach.
#include <memory>
#include <string>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/gguf.h"

namespace lathe {

// Weights are widened to F32 when they are read, F16 and BF16 stay.
Bundle read_gguf_bundle(const std::string& path);

// tokenizer.json and its companions made from the tables; Error for a kind that is not supported.
std::shared_ptr<const Tokenizer> gguf_tokenizer(const GgufFile& file, const std::string& where);

// The one *.gguf of a folder, "" when there is none; Error when there are several.
std::string gguf_in_folder(const std::string& folder);

}  // namespace lathe
