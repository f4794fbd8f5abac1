#pragma once
// Samples told beside a validation loss: the recipe's prompts, else the beginning of the first held-out document.
#include <vector>

#include "trainer/session.h"

namespace lathe {

std::vector<Sample> make_samples(Session& session);

}  // namespace lathe
