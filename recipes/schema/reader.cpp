#include "recipes/schema/reader.h"

#include <algorithm>
#include <memory>

#include "recipes/schema/aliases.h"
#include "recipes/schema/inputs.h"

namespace lathe {

Place place_of(const Places& places, const std::string& file, const std::string& key) {
  for (std::string at = key; !at.empty();) {
    if (const auto found = places.find(at); found != places.end()) return found->second;
    const std::size_t end = at.find_last_of(".[");
    at.resize(end == std::string::npos ? 0 : end);
  }
  return {file, 1, 1};
}

namespace {

std::string found(const Yaml& value) {
  switch (value.kind) {
    case Yaml::Kind::Null:
      return "nothing";
    case Yaml::Kind::List:
      return "a list";
    case Yaml::Kind::Map:
      return "a section";
    case Yaml::Kind::Scalar:
      break;
  }
  std::string text = value.text.substr(0, 60);
  while (!text.empty() && text.size() < value.text.size() &&
         (static_cast<unsigned char>(text.back()) & 0x80u)) {
    text.pop_back();  // never half a character
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() < value.text.size()) text += "...";
  return value.quoted ? cat("the quoted text \"", text, "\"") : cat("'", text, "'");
}

bool misfit(ReadContext& context, const Yaml& value, const std::string& path, const std::string& wanted,
            const std::string& hint) {
  const std::string advice = hint.empty() ? "" : cat(" (", hint, ")");
  context.problem(value.place, path, cat("'", path, "' wants ", wanted, ", found ", found(value), advice));
  return false;
}

// A number that is neither quoted nor anything but a scalar, within the limits.
template <class T>
bool read_numeric(ReadContext& context, const Yaml& value, const std::string& path, T& out,
                  const Constraint& limits, const char* wanted, Scalar<T> (*parse)(const std::string&)) {
  if (value.kind != Yaml::Kind::Scalar) return misfit(context, value, path, wanted, "");
  const Scalar<T> parsed = parse(value.text);
  if (value.quoted)
    return misfit(context, value, path, wanted, parsed.value ? "remove the quotes" : parsed.hint);
  if (!parsed.value) return misfit(context, value, path, wanted, parsed.hint);
  const auto number = static_cast<double>(*parsed.value);
  if (limits.has_range && (number < limits.min || number > limits.max)) {
    context.problem(
        value.place, path,
        cat("'", path, "' is ", value.text, ", out of its range ", limits_text(limits.min, limits.max)));
    return false;
  }
  out = *parsed.value;
  return true;
}

}  // namespace

void ReadContext::problem(const Place& place, const std::string& path, const std::string& text) {
  problems.push_back({place, printable(text)});
  broken.insert(path);
}

bool wrong_type(ReadContext& context, const Yaml& value, const std::string& path, const std::string& wanted) {
  const bool list = wanted == "a list" && value.kind != Yaml::Kind::Null;
  return misfit(context, value, path, wanted, list ? "put it in [ ]" : "");
}

bool read_value(ReadContext& context, const Yaml& value, const std::string& path, std::string& out,
                const Constraint& limits) {
  if (value.kind != Yaml::Kind::Scalar) return misfit(context, value, path, "text", "");
  if (value.text.find('\0') != std::string::npos)
    return misfit(context, value, path, "text without NUL characters", "");
  const auto& choices = limits.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), value.text) == choices.end()) {
    context.problem(value.place, path,
                    cat("'", path, "' wants ", one_of(choices), ", found ", found(value),
                        did_you_mean(value.text, choices)));
    return false;
  }
  out = value.text;
  return true;
}

bool read_value(ReadContext& context, const Yaml& value, const std::string& path, bool& out,
                const Constraint&) {
  constexpr char wanted[] = "true or false";
  if (value.kind != Yaml::Kind::Scalar) return misfit(context, value, path, wanted, "");
  const Scalar<bool> parsed = parse_bool(value.text);
  if (value.quoted)
    return misfit(context, value, path, wanted, parsed.value ? "remove the quotes" : parsed.hint);
  if (!parsed.value) return misfit(context, value, path, wanted, parsed.hint);
  out = *parsed.value;
  return true;
}

bool read_value(ReadContext& context, const Yaml& value, const std::string& path, std::int64_t& out,
                const Constraint& limits) {
  return read_numeric(context, value, path, out, limits, "an integer", parse_integer);
}

bool read_value(ReadContext& context, const Yaml& value, const std::string& path, double& out,
                const Constraint& limits) {
  return read_numeric(context, value, path, out, limits, "a number", parse_number);
}

bool read_value(ReadContext& context, const Yaml& value, const std::string& path, TemplateSection& out,
                const Constraint& limits) {
  if (value.kind == Yaml::Kind::Scalar) return read_value(context, value, path, out.text, limits);
  if (value.kind != Yaml::Kind::Map)
    return wrong_type(context, value, path, "a text with {column} slots, or a section");
  SectionReader reader(context, path, &value);
  TemplateSection::fields(reader, out);
  reader.finish();
  return true;
}

bool read_sources(ReadContext& context, const Yaml& value, const std::string& path,
                  std::vector<SourceSection>& out) {
  if (value.kind == Yaml::Kind::Scalar) {
    SourceSection single;
    if (!read_value(context, value, path, single.path, {})) return false;
    context.source[path + "[0].path"] = source_text(value.place);
    context.places[path + "[0].path"] = value.place;
    out = {std::move(single)};
    return true;
  }
  if (value.kind != Yaml::Kind::List) {
    return misfit(context, value, path, "a path or a list of sources", "write a list: - path: ...");
  }
  std::vector<SourceSection> read(value.items.size());
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    const Yaml& item = value.items[i];
    const std::string item_path = cat(path, "[", i, "]");
    if (item.kind == Yaml::Kind::Scalar) {
      read_value(context, item, item_path, read[i].path, {});
      context.source[item_path + ".path"] = source_text(item.place);
      context.places[item_path + ".path"] = item.place;
    } else if (item.kind == Yaml::Kind::Map) {
      context.places[item_path] = item.place;
      read_value(context, item, item_path, read[i], Constraint{});
    } else {
      misfit(context, item, item_path, "a path or a source {path, ...}", "");
    }
  }
  out = std::move(read);
  return true;
}

bool read_validation(ReadContext& context, const Yaml& value, const std::string& path,
                     ValidationSection& out) {
  out = {};
  if (share_like(value)) {
    const Scalar<double> share = parse_number(value.text);
    const std::string& text = value.text;
    const bool percent = text.ends_with('%');
    if (share.value && value.quoted) return misfit(context, value, path, "a share", "remove the quotes");
    if (!share.value)
      return misfit(context, value, path, "a share", percent ? "write 0.02 for 2 %" : share.hint);
    if (*share.value > 0 && *share.value < 1) {
      out.share = *share.value;
      return true;
    }
    context.problem(value.place, path,
                    cat("'", path, "' is ", text, "; a share of the documents lies between 0 and 1"));
    return false;
  }
  if (value.kind == Yaml::Kind::Map && (value.find("folds") || value.find("fold"))) {
    SectionReader reader(context, path, &value);
    FoldsSection::fields(reader, out.folds);
    reader.finish();
    if (out.folds.folds > 0 && out.folds.fold <= out.folds.folds) return true;
    context.problem(
        value.place, path,
        out.folds.folds > 0
            ? cat("'", path, ".fold' is ", out.folds.fold, ", and there are ", out.folds.folds, " folds")
            : cat("'", path, "' wants 'folds': into how many parts the examples are cut"));
    return false;
  }
  if (value.kind == Yaml::Kind::Map) {
    return misfit(context, value, path,
                  "a share of the documents, a path, a list of named sets or {folds: 5}", "");
  }
  return read_sources(context, value, path, out.sets);
}

bool read_automatic(ReadContext& context, const Yaml& value, const std::string& path,
                    std::optional<std::int64_t>& out, const Constraint& limits) {
  if (value.kind == Yaml::Kind::Scalar && value.text == "auto") {
    out.reset();
    return true;
  }
  std::int64_t number = 0;
  if (!read_numeric(context, value, path, number, limits, "an integer or auto", parse_integer)) return false;
  out = number;
  return true;
}

SectionReader::SectionReader(ReadContext& context, std::string path, const Yaml* section)
    : context_(context), path_(std::move(path)) {
  if (!section) return;
  if (section->incomplete) context.broken.insert(path_);
  for (const YamlEntry& entry : section->entries)
    items_.push_back({entry.key, entry.key_place, &entry.value});
}

SectionReader::SectionReader(ReadContext& context, const RawSection& section)
    : context_(context), path_(section.path), known_(section.siblings) {
  for (const auto& entry : section.entries) items_.push_back({entry.key, entry.key_place, entry.value.get()});
}

const Yaml* SectionReader::take(const std::string& key) {
  known_.push_back(key);
  const std::string path = dotted(key);
  const auto item = std::find_if(items_.begin(), items_.end(), [&](const Item& i) { return i.key == key; });
  if (item == items_.end()) {
    context_.source.emplace(path, "default");
    return nullptr;
  }
  item->taken = true;
  context_.source[path] = source_text(item->value->place);
  context_.places[path] = item->value->place;
  if (item->value->kind == Yaml::Kind::Null) {
    context_.problem(item->key_place, path, cat("'", path, "' has no value; give one, or remove the key"));
    return nullptr;
  }
  return item->value;
}

void SectionReader::rest(RawSection& out) {
  out.path = path_;
  out.entries.clear();
  out.siblings = known_;
  for (Item& item : items_) {
    if (item.taken) continue;
    item.taken = true;
    out.entries.push_back(
        {item.key, std::make_shared<const Yaml>(*item.value), item.key_place, item.value->place});
    context_.source[dotted(item.key)] = source_text(item.value->place);
    context_.places[dotted(item.key)] = item.value->place;
  }
}

// " (did you mean 'optimizer.learning_rate'?)" for a known key that stands in the wrong section.
std::string SectionReader::elsewhere(const std::string& key) const {
  if (!context_.all_keys) return "";
  for (const std::string& path : *context_.all_keys) {
    if (path.size() > key.size() && path.ends_with("." + key)) return cat(" (did you mean '", path, "'?)");
    if (path == key && !path_.empty()) return cat(" ('", key, "' belongs to the top level)");
  }
  return "";
}

void SectionReader::finish() {
  for (const Item& item : items_) {
    if (item.taken) continue;
    const std::string guess = nearest(item.key, known_);
    std::string hint = why_not_ours(path_, item.key);
    if (hint.empty()) hint = did_you_mean(item.key, known_);
    if (hint.empty()) hint = elsewhere(item.key);
    const std::string where = path_.empty() ? "" : cat(" in '", path_, "'");
    context_.problem(item.key_place, dotted(guess.empty() ? item.key : guess),
                     cat("unknown key '", item.key, "'", where, hint));
  }
}

RawSection parse_raw_section(const std::string& text, const std::string& file, const std::string& path,
                             std::vector<RecipeProblem>& problems) {
  RawSection section;
  section.path = path;
  const auto tree = parse_yaml(text, file, problems);
  if (!tree) return section;
  for (const YamlEntry& entry : tree->entries) {
    section.entries.push_back(
        {entry.key, std::make_shared<const Yaml>(entry.value), entry.key_place, entry.value.place});
  }
  return section;
}

}  // namespace lathe
