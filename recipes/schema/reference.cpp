#include "recipes/schema/reference.h"

#include "recipes/schema/error.h"

namespace lathe {

namespace {

using Kind = Field::Kind;

std::string type_text(const Field& field) {
  std::string type;
  switch (field.kind) {
    case Kind::Text:
      type = field.limits.choices.empty() ? "text" : one_of(field.limits.choices);
      break;
    case Kind::Bool:
      type = "true or false";
      break;
    case Kind::Integer:
      type = "integer";
      break;
    case Kind::Number:
      type = "number";
      break;
    case Kind::Section:
      return "section";
    case Kind::Sections:
      return "list of sections";
    case Kind::Sources:
      return "path or list of sources";
    case Kind::Validation:
      return "share, path, list of sources or {folds: N}";
    case Kind::Rest:
      return "any";
  }
  if (field.limits.has_range) type += ", " + limits_text(field.limits.min, field.limits.max);
  if (field.automatic) type += ", or auto";
  return field.list ? "list of " + type : type;
}

std::string default_text(const Field& field) {
  if (field.kind == Kind::Section || !field.value) return "";
  return *field.value == "\"\"" ? "" : *field.value;
}

std::string cell(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string json_string(const std::string& text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += cat("\\u00", hex[byte >> 4], hex[byte & 15]);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string object_schema(const std::vector<Field>& fields);

std::string scalar_schema(const Field& field) {
  std::string out;
  switch (field.kind) {
    case Kind::Bool:
      out = "\"type\": \"boolean\"";
      break;
    case Kind::Integer:
      out = "\"type\": \"integer\"";
      break;
    case Kind::Number:
      out = "\"type\": \"number\"";
      break;
    default:
      out = "\"type\": \"string\"";
      break;
  }
  if (field.limits.has_range) {
    out += cat(", \"minimum\": ", number_text(field.limits.min),
               ", \"maximum\": ", number_text(field.limits.max));
  }
  if (!field.limits.choices.empty()) {
    std::string list;
    for (const std::string& value : field.limits.choices)
      list += (list.empty() ? "" : ", ") + json_string(value);
    out += cat(", \"enum\": [", list, "]");
  }
  return out;
}

// The members of a field's schema, without braces.
std::string field_schema(const Field& field) {
  const std::string text = "{\"type\": \"string\"}";
  const std::string sources =
      cat("{\"type\": \"array\", \"items\": {\"anyOf\": [", text, ", {", object_schema(field.fields), "}]}}");
  switch (field.kind) {
    case Kind::Section:
      return object_schema(field.fields);
    case Kind::Sections:
      return cat("\"type\": \"array\", \"items\": {", object_schema(field.fields), "}");
    case Kind::Sources:
      return cat("\"anyOf\": [", text, ", ", sources, "]");
    case Kind::Validation:
      return cat("\"anyOf\": [{\"type\": \"number\", \"exclusiveMinimum\": 0, \"exclusiveMaximum\": 1}, ",
                 text, ", ", sources, ", {", object_schema(describe_fields(FoldsSection())), "}]");
    default:
      break;
  }
  if (field.list) {
    const std::string list = cat("\"type\": \"array\", \"items\": {", scalar_schema(field), "}");
    if (field.kind != Kind::Integer) return list;
    return cat("\"anyOf\": [{", scalar_schema(field), "}, {", list, "}]");
  }
  if (field.automatic) return cat("\"anyOf\": [{", scalar_schema(field), "}, {\"const\": \"auto\"}]");
  return scalar_schema(field);
}

std::string property(const Field& field, const std::string& schema) {
  return cat(json_string(field.key), ": {\"description\": ", json_string(field.help), ", ", schema, "}");
}

// "key": {...}, ... without braces.
std::string properties_of(const std::vector<Field>& fields) {
  std::string properties;
  for (const Field& field : fields) {
    if (field.kind != Kind::Rest)
      properties += cat(properties.empty() ? "" : ", ", property(field, field_schema(field)));
  }
  return properties;
}

std::string object_schema(const std::vector<Field>& fields) {
  return cat("\"type\": \"object\", \"additionalProperties\": false, \"properties\": {",
             properties_of(fields), "}");
}

// The section `model`: the keys that all have and, by its family, those of the family; without one (a path)
// no others.
std::string model_schema(const std::vector<Field>& fields, const std::vector<ModelKeys>& models) {
  std::string shared, names, rules;
  for (const Field& field : fields) {
    if (field.kind != Kind::Rest) shared += cat(shared.empty() ? "" : ", ", json_string(field.key), ": true");
  }
  for (const ModelKeys& model : models) {
    names += cat(names.empty() ? "" : ", ", json_string(model.family));
    rules +=
        cat("{\"if\": {\"required\": [\"family\"], \"properties\": {\"family\": {\"const\": ",
            json_string(model.family), "}}}, \"then\": {\"additionalProperties\": false, \"properties\": {",
            shared, ", ", properties_of(model.keys), "}}}, ");
  }
  rules +=
      cat("{\"if\": {\"not\": {\"required\": [\"family\"]}}, \"then\": {\"additionalProperties\": false, ",
          "\"properties\": {", shared, "}}}");
  return cat("\"type\": \"object\", \"properties\": {", properties_of(fields), "}, \"allOf\": [",
             models.empty() ? "" : cat("{\"properties\": {\"family\": {\"enum\": [", names, "]}}}, "), rules,
             "]");
}

constexpr const char* kHeader = "| key | type | default | what it does |\n|---|---|---|---|\n";

std::string reference_rows(const std::vector<Field>& fields, const std::string& prefix) {
  std::string out;
  for (const Field& field : fields) {
    if (field.kind == Kind::Rest) {
      out += cat("| `", prefix, ".*` | | | ", field.help, " |\n");
      continue;
    }
    const std::string path = prefix.empty() ? field.key : cat(prefix, ".", field.key);
    const std::string value = default_text(field);
    out += cat("| `", path, "` | ", cell(type_text(field)), " | ",
               value.empty() ? "" : cat("`", cell(value), "`"), " | ", cell(field.help), " |\n");
    const bool many =
        field.kind == Kind::Sections || field.kind == Kind::Sources || field.kind == Kind::Validation;
    if (!field.fields.empty()) out += reference_rows(field.fields, many ? path + "[]" : path);
  }
  return out;
}

}  // namespace

std::string recipe_reference(const std::vector<ModelKeys>& models) {
  const Recipe defaults;
  std::string text = kHeader + reference_rows(describe_fields(defaults), "");
  for (const ModelKeys& model : models) {
    text +=
        cat("\n## model: {family: ", model.family, "}", model.task.empty() ? "" : cat(", task: ", model.task),
            "\n\n", kHeader, reference_rows(model.keys, "model"));
  }
  return text;
}

std::string recipe_json_schema(const std::vector<ModelKeys>& models) {
  const Recipe defaults;
  std::string sections;
  for (const Field& field : describe_fields(defaults)) {
    const std::string schema =
        field.key == "model" ? model_schema(field.fields, models) : field_schema(field);
    sections += cat(sections.empty() ? "" : ",", "\n    ", property(field, schema));
  }
  return cat(
      "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"title\": \"Lathe recipe\",\n",
      "  \"type\": \"object\", \"additionalProperties\": false, \"properties\": {", sections, "\n  }\n}\n");
}

}  // namespace lathe
