#include "recipes/schema/validate.h"

#include "recipes/schema/rules.h"

namespace lathe {

void validate_recipe(const Recipe& recipe, const std::string& file, ReadContext& context,
                     std::vector<std::string>& notes) {
  const RuleInput input{recipe, file, context, notes};
  check_model_and_data(input);
  check_training(input);
  check_tuning(input);
  check_pictures(input);
  note_keys_without_effect(input);
}

}  // namespace lathe
