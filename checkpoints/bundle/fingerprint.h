#pragma once
// Whether a model's folder still holds what it held: for runs, whose adapters fit the base that they were
// trained on and no other.
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"

namespace lathe {

// SHA-256 over config.json and, of every file of weights (of a pipeline: in the folders of its networks), its
// name, its size, and its bytes: all of a small file, of a large one its beginning and 256 blocks spread
// evenly. Weights that training changed anywhere differ everywhere; single values that were changed by hand
// can escape. Times and places do not count. `model` is a folder or one file.
std::string model_fingerprint(const std::string& model);

// SHA-256 over names, types, shapes and every value: for what is kept of what a frozen network made.
std::string tensors_fingerprint(const std::vector<BundleTensor>& tensors);

}  // namespace lathe
