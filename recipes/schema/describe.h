#pragma once
// `T::fields(describer, value)` as plain data: one list of fields with their help, constraint and present
// value. The printer, the comparison, the reference table and the JSON Schema read it, so none of them is a
// template.
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "recipes/schema/recipe.h"
#include "recipes/schema/scalars.h"

namespace lathe {

struct Field {
  enum class Kind { Text, Bool, Integer, Number, Section, Sections, Sources, Validation, Rest };
  std::string key, help;
  Kind kind = Kind::Text;
  Constraint limits;
  bool list = false;                      // of scalars
  bool automatic = false;                 // `auto` is a value too
  bool present = true;                    // false: an optional that is not set
  std::optional<std::string> value;       // a scalar as YAML text; none: not set
  std::vector<std::string> values;        // a list's
  std::vector<Field> fields;              // a section's; of a list of sections: what one of them has
  std::vector<std::vector<Field>> items;  // a list of sections
  const RawSection* raw = nullptr;        // Rest
};

std::string folds_text(const FoldsSection& folds);  // {folds: 5, fold: 2}

class Describer;
template <class T>
concept Describable = requires(Describer& f, const T& value) {
  T::fields(f, value);
};

class Describer {
 public:
  explicit Describer(std::vector<Field>& out) : out_(out) {}

  template <class T>
  void operator()(const char* key, const T& value, const char* help, const Constraint& limits = {}) {
    Field& field = add(key, help, limits);
    set(field, value);
  }
  void sources(const char* key, const std::vector<SourceSection>& value, const char* help) {
    Field& field = add(key, help, {});
    set(field, value);
    field.kind = Field::Kind::Sources;
  }
  void validation(const char* key, const ValidationSection& value, const char* help) {
    Field& field = add(key, help, {});
    set(field, value.sets);
    field.kind = Field::Kind::Validation;
    if (value.share > 0) field.value = number_text(value.share);
    if (value.folds.folds > 0) field.value = folds_text(value.folds);
  }
  void automatic(const char* key, const std::optional<std::int64_t>& value, const char* help,
                 const Constraint& limits = {}) {
    Field& field = add(key, help, limits);
    set(field, value);
    field.automatic = true;
    if (!value) field.value = "auto";
  }
  void rest(const RawSection& value) {
    Field& field = add("", "keys of the family", {});
    field.kind = Field::Kind::Rest;
    field.raw = &value;
  }

 private:
  Field& add(const char* key, const char* help, const Constraint& limits) {
    Field field;
    field.key = key;
    field.help = help;
    field.limits = limits;
    out_.push_back(std::move(field));
    return out_.back();
  }

  void set(Field& field, const std::string& value) { scalar(field, Field::Kind::Text, yaml_scalar(value)); }
  void set(Field& field, bool value) { scalar(field, Field::Kind::Bool, value ? "true" : "false"); }
  void set(Field& field, std::int64_t value) { scalar(field, Field::Kind::Integer, std::to_string(value)); }
  void set(Field& field, double value) { scalar(field, Field::Kind::Number, number_text(value)); }
  static void scalar(Field& field, Field::Kind kind, std::string text) {
    field.kind = kind;
    field.value = std::move(text);
  }

  template <class T>
  void set(Field& field, const std::optional<T>& value) {
    set(field, value ? *value : T{});
    if (value) return;
    field.value.reset();
    field.present = false;
  }

  template <class T>
  void set(Field& field, const std::vector<T>& values) {
    if constexpr (Describable<T>) {
      set(field, T{});
      field.kind = Field::Kind::Sections;
      for (const T& item : values) {
        Describer inner(field.items.emplace_back());
        T::fields(inner, item);
      }
    } else {
      set(field, T{});
      field.value.reset();
      field.list = true;
      for (const T& item : values) {
        Field one;
        set(one, item);
        field.values.push_back(one.value.value_or(""));
      }
    }
  }

  template <Describable T>
  void set(Field& field, const T& section) {
    field.kind = Field::Kind::Section;
    Describer inner(field.fields);
    T::fields(inner, section);
  }

  std::vector<Field>& out_;
};

// Valid as long as `value` lives (the raw sections are pointed at).
template <class T>
std::vector<Field> describe_fields(const T& value) {
  std::vector<Field> fields;
  Describer describer(fields);
  T::fields(describer, value);
  return fields;
}

// Dotted keys with their values as text, in the order of the schema; what is not set has none.
struct FlatValue {
  std::string key, value;
};
std::vector<FlatValue> flatten(const std::vector<Field>& fields, const std::string& prefix = "");

// Every dotted key of a recipe, sections included.
const std::vector<std::string>& all_recipe_keys();

}  // namespace lathe
