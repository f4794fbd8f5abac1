#pragma once
// A look at a base and at examples before anything is tuned: what a recipe for them depends on. Reads
// configuration, tokenizer and examples, no weights. Deterministic; one thread calls.
#include <optional>
#include <string>
#include <vector>

#include "data/sources/examples.h"

namespace lathe {

// Labels: few different short answers, each seen several times. Long: half of the answers have 8 words or
// more.
enum class AnswerKind { Labels, JsonObject, Short, Long, None };

struct TuningLook {
  ExampleSet data;
  std::string family;
  std::int64_t parameters = 0, context = 0, width = 0;  // of the base; positions, hidden_size
  bool has_template = false;
  std::optional<PairTemplate> separator;  // for most prompts run straight into their answers
  std::vector<std::size_t> tokens;        // of each example as the model sees it, ascending
  AnswerKind answers = AnswerKind::None;  // None: plain texts
  std::size_t labels = 0;                 // different answers
  bool several_turns = false;             // a conversation has several answers
  std::size_t groups = 0;                 // of examples that must be held out together (related_examples)
};

// Errors: a model that resolve_model does not find, data that read_examples refuses, no example, an example
// that the base's template refuses (named by its origin).
TuningLook look_at_tuning(const std::string& model, const std::string& data, const ColumnMap& columns = {});

AnswerKind kind_of_answers(const std::vector<Example>& examples);

}  // namespace lathe
