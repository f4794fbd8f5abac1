#pragma once
// What an owner should know about the examples before a model learns them: duplicates, contradictions, leaks,
// lengths, damage, secrets. Findings are data; rendering is separate. Nothing secret is ever in them, only
// masked forms. Deterministic; one thread calls, near-duplicates use all cores.
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "data/io/json.h"
#include "data/sources/example.h"

namespace lathe {

enum class Severity { Error, Warning, Note };

struct Finding {
  std::string kind;  // over_length, empty, placeholder, leak, near_leak, conflict, exact_duplicate,
                     // near_duplicate, role_mark, encoding, control_character, trailing_space, joined_answer,
                     // email, card ...
  Severity severity = Severity::Warning;
  std::size_t count = 0;  // of examples
  std::string says;       // one sentence: what it is and what to do
  std::vector<std::string>
      origins;  // the first three, "a.jsonl:3" or "a.jsonl:3 and a.jsonl:9", with what was found
};

struct Lengths {  // in the unit of DataReportInput::length; of the examples of both sets
  std::size_t shortest = 0, median = 0, longest = 0, limit = 0;  // all 0: not measured
};

struct DataReport {
  std::size_t train = 0, validation = 0;
  Lengths lengths;
  std::vector<Finding> findings;  // errors first; within a severity in the order of the checks
  bool has(Severity severity) const;
};

// An example as the model sees it.
struct Measured {
  Measured(std::size_t in_tokens = 0, std::size_t joins = 0, bool kept_apart = true)
      : tokens(in_tokens), joined(joins), apart(kept_apart) {}
  std::size_t tokens;
  std::size_t joined;  // answers that the tokenizer would write in one token with what stands before them
  bool apart;          // such answers begin with a token of their own all the same
};

struct DataReportInput {
  const std::vector<Example>& train;
  const std::vector<Example>& validation;                     // may be empty
  std::function<Measured(const Example&)> measure = nullptr;  // none: lengths and joints are not checked
  std::size_t limit = 0;                                      // what the model sees; 0: no limit
};
DataReport data_report(const DataReportInput& input);

// Of which validation examples the whole, or the question, is in the training set too: the finding "leak".
std::vector<bool> leaked_examples(const std::vector<Example>& train, const std::vector<Example>& validation);

// A warning that was found elsewhere, before the notes; nothing where `origins` is empty.
void add_finding(DataReport& report, const std::string& kind, const std::string& says,
                 const std::vector<std::string>& origins);

// For a terminal: a line a finding, its origins below. Without colours.
std::string to_text(const DataReport& report);
Json to_json(const DataReport& report);
const char* severity_name(Severity severity);  // "error", "warning", "note"

}  // namespace lathe
