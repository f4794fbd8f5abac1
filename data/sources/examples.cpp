#include "data/sources/examples.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "data/sources/choices.h"
#include "data/sources/foreign.h"
#include "data/sources/misplaced.h"
#include "data/sources/problems.h"
#include "data/sources/slots.h"

namespace lathe {
namespace {
namespace stdfs = std::filesystem;

constexpr const char* kTemplateFile = "template.json";
constexpr const char* kChoiceSlot = "choice";

// What turns a record into texts instead of a shape.
struct Templates {
  std::optional<SlotText> text, prompt, completion;
  bool any() const { return text || prompt; }

  std::vector<std::string> columns() const {
    std::vector<std::string> names;
    for (const auto* slots : {&text, &prompt, &completion}) {
      if (!*slots) continue;
      for (const auto& name : (*slots)->columns()) names.push_back(name);
    }
    return names;
  }

  // {choice} in the completion stands for each of the record's choices.
  std::optional<std::pair<std::string, std::string>> choice_columns(const Json& record) const {
    if (!completion || record.contains(kChoiceSlot)) return std::nullopt;
    const auto slots = completion->columns();
    if (std::find(slots.begin(), slots.end(), kChoiceSlot) == slots.end()) return std::nullopt;
    return find_choice_columns(record);
  }

  void fill_choices(const Record& record, const std::pair<std::string, std::string>& columns,
                    const std::string& where, Example& example) const {
    const Choices choices =
        read_choices(record.value.at(columns.first), record.value.at(columns.second), where);
    Json filled = record.value;
    for (const std::string& choice : choices.texts) {
      filled[kChoiceSlot] = choice;
      example.choices.push_back(completion->fill(filled, where));
    }
    example.completion = example.choices[choices.right];
  }

  Example fill(const Record& record, const std::string& where) const {
    Example example;
    example.origin = record.origin;
    if (text) {
      example.kind = ExampleKind::Text;
      example.completion = text->fill(record.value, where);
      return example;
    }
    example.prompt = prompt->fill(record.value, where);
    if (const auto choices = choice_columns(record.value)) {
      fill_choices(record, *choices, where, example);
      return example;
    }
    example.completion = completion->fill(record.value, where);
    if (example.completion.find_first_not_of(" \t\r\n") == std::string::npos) {
      fail_usage(where, ": the completion is empty; fill it in or delete the record");
    }
    return example;
  }
};

Templates templates_of(const ExampleOptions& options) {
  Templates templates;
  if (options.prompt_template.empty() != options.completion_template.empty()) {
    fail_usage("data.template: wanted both prompt and completion, found only ",
               options.prompt_template.empty() ? "completion" : "prompt");
  }
  if (!options.text_template.empty()) templates.text.emplace(options.text_template, "data.template");
  if (!options.prompt_template.empty()) {
    templates.prompt.emplace(options.prompt_template, "data.template.prompt");
    templates.completion.emplace(options.completion_template, "data.template.completion");
  }
  if (templates.any() && !options.columns.empty()) {
    fail_usage(
        "data.template and data.columns: wanted one of them, found both; a template names its columns "
        "itself");
  }
  return templates;
}

// JumpStart's file: {"prompt": "...", "completion": "..."}.
Templates jumpstart_templates(const std::string& path) {
  const Json json = read_json(path, {.max_bytes = 1 << 20});
  Templates templates;
  templates.prompt.emplace(json_get<std::string>(json, "prompt", path), path + ": 'prompt'");
  templates.completion.emplace(json_get<std::string>(json, "completion", path), path + ": 'completion'");
  return templates;
}

void check_not_a_split(const std::vector<std::string>& files, const std::string& folder) {
  const auto begins = [&](std::string_view part) {
    return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
      return stdfs::path(file).filename().string().starts_with(part);
    });
  };
  if (begins("train") && (begins("val") || begins("test") || begins("dev") || begins("eval"))) {
    fail_usage(folder, ": holds training and validation files; name them: data.train: ", folder,
               "/train..., data.validation: ", folder, "/valid...");
  }
}

std::vector<std::string> files_of_folder(const std::string& folder) {
  std::vector<std::string> records, texts;
  for (const auto& entry : stdfs::directory_iterator(folder)) {
    const std::string path = entry.path().string(), name = entry.path().filename().string();
    if (!entry.is_regular_file() || name[0] == '.' || name == kTemplateFile) continue;
    const std::string extension = text_extension(path);
    if (is_record_file(path) || extension == ".json" || extension == ".csv" || extension == ".tsv") {
      records.push_back(path);
    } else if (is_data_format(path)) {
      fail_usage(path, ": this format is not read; convert it with: ", *convert_command(path));
    } else if (extension == ".txt" || extension == ".md") {
      texts.push_back(path);
    }
  }
  auto& chosen = records.empty() ? texts : records;
  if (chosen.empty()) fail_usage(folder, ": wanted .jsonl, .json, .csv, .tsv or .txt files, found none");
  std::sort(chosen.begin(), chosen.end());
  check_not_a_split(chosen, folder);
  return chosen;
}

std::vector<std::string> unused_columns(const std::vector<Record>& records,
                                        const std::vector<std::string>& used) {
  std::vector<std::string> unused;
  for (const auto& record : records) {
    for (const auto& [key, value] : record.value.items()) {
      if (std::find(used.begin(), used.end(), key) != used.end()) continue;
      if (key == "schemaVersion" || std::find(unused.begin(), unused.end(), key) != unused.end()) continue;
      unused.push_back(key);
    }
  }
  return unused;
}

void note_turns(const ExampleSet& set, std::size_t first, const std::string& path,
                std::vector<std::string>& notes) {
  std::size_t open = 0;
  for (std::size_t i = first; i < set.examples.size(); ++i) {
    const Example& example = set.examples[i];
    open += example.kind == ExampleKind::Chat && example.messages.back()["role"] != "assistant";
  }
  if (open)
    notes.push_back(
        cat(path, ": ", open,
            " conversations do not end with the assistant; what follows its last turn teaches nothing"));
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
  return text;
}

void read_file_into(const std::string& path, const ExampleOptions& options, const Templates& given,
                    ExampleSet& set) {
  RecordFile source = read_record_file(path, options.encoding);
  ExampleFile file{path, source.container, source.encoding, source.separator, {}, {}, source.records.size()};
  set.notes.insert(set.notes.end(), source.notes.begin(), source.notes.end());
  Templates templates = given;
  const std::string beside = (stdfs::path(path).parent_path() / kTemplateFile).string();
  const bool text_file = source.container == "text";
  if (!templates.any() && options.columns.empty() && options.format.empty() && !text_file &&
      stdfs::exists(beside)) {
    templates = jumpstart_templates(beside);
    set.notes.push_back(cat(path, ": prompts and completions are made by ", beside));
  }
  std::vector<std::string> used;
  if (templates.any() && !text_file) {
    file.shape.format = "template";
    used = templates.columns();
    if (const auto choices = templates.choice_columns(source.records.front().value))
      used.insert(used.end(), {choices->first, choices->second});
  } else {
    file.shape = detect_shape(source, path, text_file ? "" : options.format,
                              text_file ? ColumnMap{} : options.columns);
    for (const auto& [role, column] : file.shape.columns) used.push_back(column);
    if (const auto advice = options.columns.empty() ? std::nullopt : naming_advice(source, path))
      set.notes.push_back(cat(path, ": ", *advice));
  }
  file.unused = unused_columns(source.records, used);
  const std::size_t first = set.examples.size();
  Problems problems;
  for (const auto& record : source.records) {
    const std::string where =
        path + record.origin.substr(std::min(record.origin.find(':'), record.origin.size()));
    try {
      set.examples.push_back(file.shape.format == "template" ? templates.fill(record, where)
                                                             : read_shape(file.shape, record, where));
    } catch (const Error& e) {
      problems.add(e.what());
    }
  }
  problems.raise();
  if (!file.unused.empty())
    set.notes.push_back(cat(path, ": columns that are not used: ", join(file.unused)));
  note_turns(set, first, path, set.notes);
  set.files.push_back(std::move(file));
}

}  // namespace

ExampleSet read_examples(const std::vector<std::string>& paths, const ExampleOptions& options) {
  const Templates templates = templates_of(options);
  ExampleSet set;
  for (const auto& path : paths) {
    std::error_code ignored;
    if (stdfs::is_directory(path, ignored)) {
      for (const auto& file : files_of_folder(path)) read_file_into(file, options, templates, set);
    } else {
      read_file_into(path, options, templates, set);
    }
  }
  return set;
}

ExampleSet read_examples(const std::string& path, const ExampleOptions& options) {
  return read_examples(std::vector<std::string>{path}, options);
}

void tell_files_apart(const std::vector<ExampleSet*>& sets) {
  std::set<stdfs::path> all;
  for (const ExampleSet* set : sets)
    for (const ExampleFile& file : set->files) all.insert(stdfs::absolute(file.path).lexically_normal());
  const auto end_of = [](const stdfs::path& path, std::ptrdiff_t parts) {
    stdfs::path end;
    const auto size = std::distance(path.begin(), path.end());
    for (auto part = std::next(path.begin(), std::max<std::ptrdiff_t>(0, size - parts)); part != path.end();
         ++part)
      end /= *part;
    return end.string();
  };
  const auto name_of = [&](const stdfs::path& path) {
    for (std::ptrdiff_t parts = 1;; ++parts) {
      const std::string name = end_of(path, parts);
      if (name == path.string() || std::ranges::none_of(all, [&](const auto& other) {
            return other != path && end_of(other, parts) == name;
          }))
        return name;
    }
  };
  for (ExampleSet* set : sets) {
    std::size_t next = 0;
    for (const ExampleFile& file : set->files) {
      const stdfs::path path = stdfs::absolute(file.path).lexically_normal();
      const std::string plain = path.filename().string(), name = name_of(path);
      for (const std::size_t end = next + file.examples; next < end; ++next) {
        std::string& origin = set->examples[next].origin;
        if (name != plain && origin.starts_with(plain)) origin.replace(0, plain.size(), name);
      }
    }
  }
}

std::size_t prompts_without_end(const std::vector<Example>& examples) {
  const auto space = [](char c) { return c == ' ' || c == '\n' || c == '\t'; };
  std::size_t count = 0;
  for (const Example& example : examples) {
    if (example.prompt.empty() || example.completion.empty()) continue;
    const char last = example.prompt.back();
    count += !space(last) && last != ':' && last != '>' && !space(example.completion.front()) ? 1 : 0;
  }
  return 2 * count > examples.size() ? count : 0;
}

std::optional<PairTemplate> separating_template(const std::vector<ExampleFile>& files) {
  std::optional<PairTemplate> found;
  for (const ExampleFile& file : files) {
    if (file.shape.format != "prompt_completion") return std::nullopt;
    PairTemplate pair;
    for (const auto& [role, column] : file.shape.columns) {
      if (column.find_first_of("{}") != std::string::npos) return std::nullopt;
      if (role == "prompt") pair.prompt = cat("{", column, "}\n");
      if (role == "completion") pair.completion = cat("{", column, "}");
    }
    if (pair.prompt.empty() || pair.completion.empty()) return std::nullopt;
    if (found && (found->prompt != pair.prompt || found->completion != pair.completion)) return std::nullopt;
    found = std::move(pair);
  }
  return found;
}

std::string describe(const ExampleFile& file) {
  std::string columns;
  for (const auto& [role, column] : file.shape.columns) {
    if (role != column) columns += cat(columns.empty() ? " (" : ", ", role, ": ", column);
  }
  return cat(file.path, ": ", file.examples, file.examples == 1 ? " example, " : " examples, ",
             file.shape.format, columns, columns.empty() ? "" : ")", ", ", file.container,
             file.separator.empty() ? "" : " with " + file.separator, ", ", file.encoding);
}

}  // namespace lathe
