#pragma once
// The strict reader: `T::fields(reader, value)` fills a config struct from a section of YAML and reports
// everything that is wrong with it. Values that are wrong keep their default. Types: text, bool, int64,
// double, optionals and lists of them, sections, lists of sections, and the shapes of their own (sources,
// validation, automatic, rest).
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "recipes/schema/error.h"
#include "recipes/schema/recipe.h"
#include "recipes/schema/scalars.h"
#include "recipes/schema/yaml.h"

namespace lathe {

// What one reading leaves beside the values. Keys are dotted: "data.train[0].path".
struct ReadContext {
  std::vector<RecipeProblem> problems;
  std::map<std::string, std::string> source;  // where each value comes from, "default" included
  Places places;                              // of the values that are there
  std::set<std::string> broken;               // keys whose value is wrong or misspelled: not judged further
  const std::vector<std::string>* all_keys =
      nullptr;  // of the whole recipe: a key in the wrong section is recognised

  void problem(const Place& place, const std::string& path, const std::string& text);
};

// Each reports and returns false when the value does not fit. `path` is the dotted key.
bool read_value(ReadContext&, const Yaml&, const std::string& path, std::string&, const Constraint&);
bool read_value(ReadContext&, const Yaml&, const std::string& path, bool&, const Constraint&);
bool read_value(ReadContext&, const Yaml&, const std::string& path, std::int64_t&, const Constraint&);
bool read_value(ReadContext&, const Yaml&, const std::string& path, double&, const Constraint&);
bool read_sources(ReadContext&, const Yaml&, const std::string& path, std::vector<SourceSection>&);
bool read_validation(ReadContext&, const Yaml&, const std::string& path, ValidationSection&);
bool read_automatic(ReadContext&, const Yaml&, const std::string& path, std::optional<std::int64_t>&,
                    const Constraint&);
bool wrong_type(ReadContext&, const Yaml&, const std::string& path, const std::string& wanted);

class SectionReader;
template <class T>
concept HasFields = requires(SectionReader& f, T& value) {
  T::fields(f, value);
};

// One section: keys are taken one by one by fields(), finish() reports what is left.
class SectionReader {
 public:
  SectionReader(ReadContext& context, std::string path, const Yaml* section);
  SectionReader(ReadContext& context, const RawSection& section);

  template <class T>
  void operator()(const char* key, T& out, const char* help, const Constraint& limits = {});

  void sources(const char* key, std::vector<SourceSection>& out, const char*) {
    if (const Yaml* value = take(key)) read_sources(context_, *value, dotted(key), out);
  }
  void validation(const char* key, ValidationSection& out, const char*) {
    if (const Yaml* value = take(key)) read_validation(context_, *value, dotted(key), out);
  }
  void automatic(const char* key, std::optional<std::int64_t>& out, const char*,
                 const Constraint& limits = {}) {
    if (const Yaml* value = take(key)) read_automatic(context_, *value, dotted(key), out, limits);
  }
  void rest(RawSection& out);
  void finish();

 private:
  struct Item {
    std::string key;
    Place key_place;
    const Yaml* value;
    bool taken = false;
  };

  // The value of a key, or nullptr when it is absent or empty (an empty one is reported).
  const Yaml* take(const std::string& key);
  std::string dotted(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  std::string elsewhere(const std::string& key) const;

  ReadContext& context_;
  std::string path_;
  std::vector<Item> items_;
  std::vector<std::string> known_;
};

template <HasFields T>
bool read_value(ReadContext& context, const Yaml& value, const std::string& path, T& out, const Constraint&) {
  if (value.kind != Yaml::Kind::Map) return wrong_type(context, value, path, "a section (key: value)");
  SectionReader reader(context, path, &value);
  T::fields(reader, out);
  reader.finish();
  return true;
}

template <class T>
bool read_value(ReadContext& context, const Yaml& value, const std::string& path, std::optional<T>& out,
                const Constraint& limits) {
  T read{};
  if (!read_value(context, value, path, read, limits)) return false;
  out = std::move(read);
  return true;
}

bool read_value(ReadContext&, const Yaml&, const std::string& path, TemplateSection&, const Constraint&);

template <class T>
bool read_value(ReadContext& context, const Yaml& value, const std::string& path, std::vector<T>& out,
                const Constraint& limits) {
  if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::int64_t>) {  // one needs no brackets
    if (value.kind == Yaml::Kind::Scalar && value.text.find(',') == std::string::npos) {
      T one{};
      if (!read_value(context, value, path, one, limits)) return false;
      out = {std::move(one)};
      return true;
    }
  }
  if (value.kind != Yaml::Kind::List) return wrong_type(context, value, path, "a list");
  std::vector<T> read;
  bool good = true;
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    T item{};
    good &= read_value(context, value.items[i], cat(path, "[", i, "]"), item, limits);
    read.push_back(std::move(item));
  }
  if (good) out = std::move(read);
  return good;
}

template <class T>
void SectionReader::operator()(const char* key, T& out, const char*, const Constraint& limits) {
  if (const Yaml* value = take(key)) {
    read_value(context_, *value, dotted(key), out, limits);
  } else if constexpr (HasFields<T>) {
    SectionReader absent(context_, dotted(key), nullptr);  // so that its values get their source, "default"
    T::fields(absent, out);
  }
}

// Reads a family's config struct from the part of `model:` that the recipe left unread, with the recipe's
// strictness. source, when given, gets "model.hidden_size" -> "x.yaml:7" or "default".
template <class T>
void decode_section(const RawSection& section, T& out, std::vector<RecipeProblem>& problems,
                    std::map<std::string, std::string>* source = nullptr) {
  ReadContext context;
  SectionReader reader(context, section);
  T::fields(reader, out);
  reader.finish();
  problems.insert(problems.end(), context.problems.begin(), context.problems.end());
  if (source) source->insert(context.source.begin(), context.source.end());
}

// A RawSection from text, as if it were the rest of `path:` in `file` (tests of families, tools).
RawSection parse_raw_section(const std::string& text, const std::string& file, const std::string& path,
                             std::vector<RecipeProblem>& problems);

}  // namespace lathe
