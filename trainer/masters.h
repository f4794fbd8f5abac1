#pragma once
// A model in bf16 beside its unrounded values: those stay with the records of what is trained.

#include <string>
#include <vector>

#include "models/layers/module.h"
#include "trainer/optim/optimizer.h"

namespace lathe {

// Every parameter of `model` takes the value of the same name in `full`. Errors name one that is missing
// there.
void round_into(Module& model, const Module& full);
// Masters of the records become the tensors of `full`, fp32. `prefix` stands before a record's name.
void keep_masters(std::vector<Parameter>& parameters, const Module& full, const std::string& prefix = "");

}  // namespace lathe
