#pragma once
// The licence texts that go along with a model: what holds for a base holds for what is made of it.
#include <vector>

#include "data/tokenizers/tokenizer.h"
#include "trainer/model_source.h"

namespace lathe {

// LICENSE, LICENCE, NOTICE and USE_POLICY files of a model's folder and of the bases that it was made from,
// as far as they are on this machine. Of several of one name the model's own.
std::vector<TokenizerFile> notices_of(const ModelSource& source);

}  // namespace lathe
