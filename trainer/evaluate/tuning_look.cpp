#include "trainer/evaluate/tuning_look.h"

#include <algorithm>
#include <set>

#include "data/sources/example_text.h"
#include "data/templates/template_folder.h"
#include "trainer/model_source.h"

namespace lathe {
namespace {

constexpr std::size_t kLabelBytes = 40, kLongWords = 8, kTimesEachLabel = 3;

std::size_t assistant_turns(const Example& example) {
  if (example.kind != ExampleKind::Chat) return 1;
  return static_cast<std::size_t>(
      std::count_if(example.messages.begin(), example.messages.end(),
                    [](const Json& message) { return message.value("role", "") == "assistant"; }));
}

std::size_t words_in(const std::string& text) {
  std::size_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    words += !space && !inside ? 1 : 0;
    inside = !space;
  }
  return words;
}

std::size_t different_answers(const std::vector<Example>& examples) {
  std::set<std::string> different;
  for (const Example& example : examples) different.insert(answer_text(example));
  return different.size();
}

}  // namespace

AnswerKind kind_of_answers(const std::vector<Example>& examples) {
  std::vector<std::size_t> words;
  std::size_t json = 0, brief = 0;
  for (const Example& example : examples) {
    if (example.kind == ExampleKind::Text) return AnswerKind::None;
    const std::string answer = answer_text(example);
    words.push_back(words_in(answer));
    const Json value = Json::parse(answer, nullptr, false);
    json += value.is_object() || value.is_array() ? 1 : 0;
    brief += answer.size() <= kLabelBytes && answer.find('\n') == std::string::npos ? 1 : 0;
  }
  if (words.empty()) return AnswerKind::None;
  const std::size_t labels = different_answers(examples);
  if (json == examples.size()) return AnswerKind::JsonObject;
  if (brief == examples.size() && labels >= 2 && labels * kTimesEachLabel <= examples.size())
    return AnswerKind::Labels;
  std::sort(words.begin(), words.end());
  return words[words.size() / 2] >= kLongWords ? AnswerKind::Long : AnswerKind::Short;
}

TuningLook look_at_tuning(const std::string& model, const std::string& data, const ColumnMap& columns) {
  TuningLook look;
  const ModelSource source = resolve_model(model);
  if (source.folder.ends_with(".gguf"))
    fail_usage(source.folder,
               " is a GGUF file, a form for engines; tuning starts from a Hugging Face folder");
  const Bundle base =
      is_adapter_folder(source.folder) ? load_adapted(source).base : read_bundle(source.folder);
  require(base.tokenizer != nullptr, source.folder, ": no tokenizer is in it");
  look.family = base.family->name;
  look.parameters = parameter_count(base.spec);
  look.width = base.spec.hidden_size;
  look.context = base.spec.max_positions;
  const ChatFormat format = read_chat_format(source.folder);
  look.has_template = format.chat_template.has_value();
  look.data = read_examples(data, {.columns = columns});
  if (look.data.examples.empty()) fail_usage("'", data, "' holds no example");
  if (!look.has_template && prompts_without_end(look.data.examples) > 0)
    look.separator = separating_template(look.data.files);
  if (look.separator) {
    ExampleOptions options;
    options.prompt_template = look.separator->prompt;
    options.completion_template = look.separator->completion;
    look.data.examples = read_examples(data, options).examples;
  }
  for (const Example& example : look.data.examples) {
    const TokenExample seen = render_example(example, *base.tokenizer, format, LossOn::Completion);
    look.tokens.push_back(seen.ids.size() - 1);  // as data.sequence_length counts them: the inputs
    look.several_turns = look.several_turns || assistant_turns(example) > 1;
  }
  std::sort(look.tokens.begin(), look.tokens.end());
  look.answers = kind_of_answers(look.data.examples);
  look.labels = different_answers(look.data.examples);
  const std::vector<std::uint32_t> related = related_examples(look.data.examples);
  look.groups = std::set<std::uint32_t>(related.begin(), related.end()).size();
  return look;
}

}  // namespace lathe
