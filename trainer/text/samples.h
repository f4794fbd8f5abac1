#pragma once
// Samples told beside a validation loss: the recipe's prompts, else the beginning of the first held-out
// document.
#include <vector>

#include "trainer/session.h"
#include "trainer/text/text_task.h"

namespace lathe {

std::vector<Sample> make_samples(Session& session, const TextTask& task);

}  // namespace lathe
