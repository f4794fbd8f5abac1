#pragma once
// Tuning data from files: detected, read, shown. Every file may have its own container, charset and format;
// the formats are those of shapes.h. Deterministic; nothing is printed: what a user should know is in `files`
// and `notes`.
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "data/sources/example.h"
#include "data/sources/shapes.h"

namespace lathe {

struct ExampleOptions {
  ColumnMap columns = {};          // role -> column; empty: by the names of shapes.h
  std::string text_template = {};  // one string with {column} slots: the whole text of an example
  std::string prompt_template = {}, completion_template = {};  // or a pair of them; both or none
  std::string format = {}, encoding = {};                      // empty: detected
};

struct ExampleFile {
  std::string path, container, encoding, separator;  // as records.h names them
  Shape shape;                                       // format "template" when a template made the examples
  std::vector<std::string> unused;                   // columns that nothing reads
  std::size_t examples = 0;
};

struct ExampleSet {
  std::vector<Example> examples;
  std::vector<ExampleFile> files;
  std::vector<std::string> notes;  // a sentence each, for the user
};

// Reads files and folders, in the order given. A folder stands for its .jsonl, .json, .csv and .tsv files
// (else its texts) in the order of their names; train and validation files side by side are an Error. A
// template.json beside the data ({prompt, completion} of slots, as SageMaker JumpStart has it) is used unless
// the options say otherwise. Errors are usage errors that begin with path:line and list all records that do
// not fit.
ExampleSet read_examples(const std::vector<std::string>& paths, const ExampleOptions& options = {});
ExampleSet read_examples(const std::string& path, const ExampleOptions& options = {});

// Where files of several sets have the same name, a/train.jsonl and b/train.jsonl, the origins of their
// examples get the folders that tell them apart.
void tell_files_apart(const std::vector<ExampleSet*>& sets);

// Templates for data.template: {prompt: "{question}\n", completion: "{answer}"}.
struct PairTemplate {
  std::string prompt, completion;
};

// How many prompts, where it is most of them, run straight into their answers: "hi" + "Hello!" would be
// learned as "hiHello!", and nothing tells a model without a chat template where the question ends.
std::size_t prompts_without_end(const std::vector<Example>& examples);
// What ends each prompt with a line break, in the files' own column names; none unless all files are pairs of
// the same columns.
std::optional<PairTemplate> separating_template(const std::vector<ExampleFile>& files);

// "faq.csv: 40 examples, prompt_completion (prompt: Question, completion: Answer), csv with semicolon,
// CP1252".
std::string describe(const ExampleFile& file);

}  // namespace lathe
