#pragma once
// How a run's examples were read and asked while it learned, from its own recipe and run.json. What evaluate,
// chat and generate of a run go by: a model that was taught "Question: ...\nAnswer:" looks broken when it is
// asked anything else.
#include <optional>
#include <string>

#include "data/io/json.h"
#include "data/shards/prepare.h"
#include "data/sources/examples.h"
#include "recipes/schema/recipe.h"
#include "trainer/model_source.h"

namespace lathe {

struct AskedForm {
  ExampleKind kind = ExampleKind::PromptCompletion;  // of most examples
  ExampleOptions options;                            // the recipe's columns, template and format
  std::string prompt_template;                       // the recipe's, or of the template.json beside the data

  // A question as the recipe's template writes it: filled into its one slot, unless it is in that form
  // already. As it is where there is no template, or one of several slots, which only whole prompts can
  // follow.
  std::string prompt(const std::string& question) const;
  // What Ollama's TEMPLATE says of that; "{{ .Prompt }}" where there is nothing around a question.
  std::string ollama_template() const;
  // {kind, prompt_template}: what an export's reference.json keeps of it.
  Json to_json() const;
  // One sentence on how questions are written; "" where that is as they come.
  std::string describe() const;
};

// What the prompts of a run are made by: data.template, or the template.json beside its data; "" for neither.
std::string prompt_template_of(const Recipe& recipe, const TuningData& data);

// Of a run of tuning, or of an export of one by its reference.json; nothing of other models.
std::optional<AskedForm> asked_form(const ModelSource& source);

// The examples of a file as the run's own were read. A file without the columns that its recipe names is read
// by its own; what the template's slots want must be there.
ExampleSet read_as_asked(const std::string& path, const std::optional<AskedForm>& form);

// prompt_completion, chat or text: that of most examples.
ExampleKind usual_kind(const std::vector<Example>& examples);
const char* kind_name(ExampleKind kind);

}  // namespace lathe
