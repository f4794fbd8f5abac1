#pragma once
// lathe recipes new, of plain texts: a recipe in which the base reads on (task: pretrain), for documents of
// any length.
#include <string>

#include "trainer/cli/recipes_new.h"
#include "trainer/evaluate/tuning_look.h"

namespace lathe {

// Whether all that was looked at is plain text in files that a corpus is read from: texts and JSON in UTF-8,
// no tables.
bool reads_as_corpus(const TuningLook& look);

// The recipe's text. Its sources are the files that were looked at and no others.
std::string corpus_recipe(const NewRecipe& wanted, const TuningLook& look);

}  // namespace lathe
