#include "trainer/text/asked_form.h"

#include <algorithm>
#include <filesystem>

#include "data/io/file_system.h"
#include "data/shards/prepare_examples.h"
#include "data/sources/slots.h"
#include "recipes/schema/load.h"

namespace lathe {

namespace {

constexpr ExampleKind kKinds[] = {ExampleKind::PromptCompletion, ExampleKind::Chat, ExampleKind::Text};

ExampleKind kind_of_name(const std::string& name, ExampleKind otherwise) {
  for (const ExampleKind known : kKinds)
    if (name == kind_name(known)) return known;
  return otherwise;
}

// What an export's reference.json, in the folder or beside the GGUF file, says of the run that it was made
// of.
std::optional<AskedForm> form_of_export(const std::string& model) {
  const std::filesystem::path folder = std::filesystem::is_regular_file(model)
                                           ? std::filesystem::path(model).parent_path()
                                           : std::filesystem::path(model);
  const std::string file = (folder / "reference.json").string();
  if (!std::filesystem::exists(file)) return std::nullopt;
  const Json reference = read_json(file);
  const auto asked = reference.find("asked");
  if (asked == reference.end() || !asked->is_object()) return std::nullopt;
  AskedForm form;
  form.kind = kind_of_name(json_get_or<std::string>(*asked, "kind", "", file), form.kind);
  form.prompt_template = json_get_or<std::string>(*asked, "prompt_template", "", file);
  return form;
}

// What the template writes around its one slot.
struct Frame {
  std::string front, back;
};

std::optional<Frame> frame_of(const std::string& prompt_template) {
  if (prompt_template.empty()) return std::nullopt;
  const SlotText slots(prompt_template, "data.template.prompt");
  const std::vector<std::string> columns = slots.columns();
  if (columns.size() != 1) return std::nullopt;
  const std::string mark = "\x01";
  const std::string text = slots.fill(Json{{columns.front(), mark}}, "data.template.prompt");
  const std::size_t at = text.find(mark);
  if (text.find(mark, at + 1) != std::string::npos) return std::nullopt;
  return Frame{text.substr(0, at), text.substr(at + 1)};
}

}  // namespace

std::string AskedForm::prompt(const std::string& question) const {
  const std::optional<Frame> frame = frame_of(prompt_template);
  if (!frame || (frame->front.empty() && frame->back.empty())) return question;
  const bool framed = question.size() >= frame->front.size() + frame->back.size() &&
                      question.starts_with(frame->front) && question.ends_with(frame->back);
  return framed ? question : frame->front + question + frame->back;
}

std::string AskedForm::ollama_template() const {
  const std::string slot = "{{ .Prompt }}";
  const std::optional<Frame> frame = frame_of(prompt_template);
  if (!frame) return slot;
  for (const std::string& part : {frame->front, frame->back})  // what would end the text or be Go's
    if (part.find("\"\"\"") != part.npos || part.find("{{") != part.npos) return slot;
  return frame->front + slot + frame->back;
}

std::string AskedForm::describe() const {
  if (prompt_template.empty()) return "";
  const std::string written = Json(prompt_template).dump();
  return frame_of(prompt_template)
             ? cat("each question is written as the run's template has it: ", written)
             : cat("the run's prompts were made of several columns, ", written, ": write them out whole");
}

Json AskedForm::to_json() const { return {{"kind", kind_name(kind)}, {"prompt_template", prompt_template}}; }

std::string prompt_template_of(const Recipe& recipe, const TuningData& data) {
  if (!recipe.data.template_.prompt.empty()) return recipe.data.template_.prompt;
  for (const ExampleFile& file : data.files) {
    const auto beside = std::filesystem::path(file.path).parent_path() / "template.json";
    if (file.shape.format == "template" && std::filesystem::exists(beside))
      return json_get_or<std::string>(read_json(beside.string()), "prompt", "", beside.string());
  }
  return "";
}

std::optional<AskedForm> asked_form(const ModelSource& source) {
  const std::string recipe = source.folder + "/recipe.yaml";
  if (!std::filesystem::exists(recipe)) return form_of_export(source.folder);
  const Recipe learned = load_recipe_text(read_file(recipe), recipe).recipe;
  if (learned.task != "sft") return std::nullopt;
  AskedForm form;
  form.options = example_options(learned.data);
  form.options.encoding.clear();  // another file may be in another
  form.prompt_template = form.options.prompt_template;
  if (!form.options.text_template.empty()) form.kind = ExampleKind::Text;
  const std::string run = source.run + "/run.json";
  if (source.run.empty() || !std::filesystem::exists(run)) return form;
  const Json kept = read_json(run);
  const std::string kind = json_get_or<std::string>(kept, "examples", "", run);
  if (form.prompt_template.empty())
    form.prompt_template = json_get_or<std::string>(kept, "prompt_template", "", run);
  form.kind = kind_of_name(kind, form.kind);
  return form;
}

ExampleSet read_as_asked(const std::string& path, const std::optional<AskedForm>& form) {
  if (!form) return read_examples(path);
  const bool made = !form->options.prompt_template.empty() || !form->options.text_template.empty();
  try {
    return read_examples(path, form->options);
  } catch (const Error& error) {
    if (made)
      fail_usage(error.what(),
                 "\nthe run's examples are made by its recipe's data.template, so this file needs "
                 "the same columns");
    ExampleOptions detected = form->options;  // only names differ: of columns, of the format
    detected.columns.clear();
    detected.format.clear();
    return read_examples(path, detected);
  }
}

ExampleKind usual_kind(const std::vector<Example>& examples) {
  const auto count = [&](ExampleKind kind) {
    return std::count_if(examples.begin(), examples.end(),
                         [&](const Example& example) { return example.kind == kind; });
  };
  return *std::max_element(std::begin(kKinds), std::end(kKinds),
                           [&](ExampleKind a, ExampleKind b) { return count(a) < count(b); });
}

const char* kind_name(ExampleKind kind) {
  return kind == ExampleKind::Text ? "text" : kind == ExampleKind::Chat ? "chat" : "prompt_completion";
}

}  // namespace lathe
