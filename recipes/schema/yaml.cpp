#include "recipes/schema/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "recipes/schema/error.h"
#include "recipes/schema/scalars.h"
#include "recipes/schema/yaml_text.h"

namespace lathe {

namespace {

// yaml-cpp 0.8 adds an anchor's name to this sentence, 0.7 does not; the place tells it.
std::string told(const std::string& message) {
  static const std::string anchor = "the referenced anchor is not defined";
  return message.starts_with(anchor) ? anchor : message;
}

// Ends the parse: the tree would be meaningless or too large.
struct Stop {
  Place place;
  std::string text;
};

std::size_t count_values(const Yaml& value) {
  std::size_t n = 1;
  for (const Yaml& item : value.items) n += count_values(item);
  for (const YamlEntry& entry : value.entries) n += count_values(entry.value);
  return n;
}

int depth_of(const Yaml& value) {
  int below = 0;
  for (const Yaml& item : value.items) below = std::max(below, depth_of(item));
  for (const YamlEntry& entry : value.entries) below = std::max(below, depth_of(entry.value));
  return value.items.empty() && value.entries.empty() ? 0 : below + 1;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const YamlText& text, std::vector<RecipeProblem>& problems, const Place* place_as)
      : text_(text), problems_(problems), place_as_(place_as) {}

  std::optional<Yaml> root;

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) throw Stop{place(mark), "a second YAML document ('---'); a recipe is one document"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(Yaml{}, mark, anchor); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    refuse_tag(mark, tag);
    if (tag != "?" && !text_.quote_closes(mark.line, mark.column))
      throw Stop{place(mark), "a quote that is never closed"};
    Yaml value;
    value.kind = Yaml::Kind::Scalar;
    value.text = text;
    value.quoted = tag == "!";
    leaf(std::move(value), mark, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (++aliases_ > kMaxYamlAliases) throw Stop{place(mark), cat("more than ", kMaxYamlAliases, " aliases")};
    auto found = anchored_.find(anchor);
    if (found == anchored_.end()) throw Stop{place(mark), "an alias inside the value it stands for: a cycle"};
    Yaml value = found->second;
    const std::size_t size = count_values(value);
    if (static_cast<int>(frames_.size()) + depth_of(value) > kMaxYamlDepth) too_deep(mark);
    count(size, mark);
    value.place = place(mark);
    place_value(std::move(value), mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Yaml::Kind::List, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Yaml::Kind::Map, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Yaml value;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    std::optional<std::string> key;  // empty: a key that was refused, its value is dropped
    Place key_place;
  };

  Place place(const YAML::Mark& mark) const {
    return place_as_ ? *place_as_ : text_.place(mark.line, mark.column);
  }

  void report(const Place& where, const std::string& text) { problems_.push_back({where, printable(text)}); }

  [[noreturn]] void too_deep(const YAML::Mark& mark) {
    throw Stop{place(mark), cat("more than ", kMaxYamlDepth, " levels of nesting")};
  }

  void count(std::size_t values, const YAML::Mark& mark) {
    values_ += values;
    if (values_ > kMaxYamlValues) throw Stop{place(mark), cat("more than ", kMaxYamlValues, " values")};
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    report(place(mark), cat("a YAML tag; write the value without it"));
  }

  void leaf(Yaml value, const YAML::Mark& mark, YAML::anchor_t anchor) {
    count(1, mark);
    value.place = place(mark);
    if (anchor) anchored_[anchor] = value;
    place_value(std::move(value), mark);
  }

  void open(Yaml::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    count(1, mark);
    if (static_cast<int>(frames_.size()) >= kMaxYamlDepth) too_deep(mark);
    Frame frame;
    frame.value.kind = kind;
    frame.value.place = place(mark);
    frame.mark = mark;
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (frame.anchor) anchored_[frame.anchor] = frame.value;
    place_value(std::move(frame.value), frame.mark);
  }

  void place_value(Yaml value, const YAML::Mark& mark) {
    if (frames_.empty()) {
      root = std::move(value);
      return;
    }
    Frame& parent = frames_.back();
    if (parent.value.kind == Yaml::Kind::List) {
      parent.value.items.push_back(std::move(value));
    } else if (!parent.has_key) {
      take_key(parent, value, place(mark));
    } else {
      if (parent.key) {
        if (value.kind == Yaml::Kind::Null) value.place = parent.key_place;
        parent.value.entries.push_back({*parent.key, parent.key_place, std::move(value)});
      }
      parent.has_key = false;
    }
  }

  void take_key(Frame& parent, const Yaml& key, const Place& where) {
    parent.has_key = true;
    parent.key.reset();
    parent.key_place = where;
    const bool was_incomplete = std::exchange(parent.value.incomplete, true);
    if (key.kind != Yaml::Kind::Scalar) return report(where, "a key must be a word");
    if (key.text == "<<" && !key.quoted) {
      return report(where,
                    "merge keys ('<<') are not read; write the keys out, or inherit a recipe with 'base'");
    }
    if (const YamlEntry* first = parent.value.find(key.text)) {
      const std::string on = first->key_place.line ? cat(" (first on line ", first->key_place.line, ")") : "";
      return report(where, cat("duplicate key '", key.text, "'", on));
    }
    parent.value.incomplete = was_incomplete;
    parent.key = key.text;
  }

  const YamlText& text_;
  std::vector<RecipeProblem>& problems_;
  const Place* place_as_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Yaml> anchored_;
  std::size_t values_ = 0;
  int aliases_ = 0, documents_ = 0;
};

}  // namespace

const YamlEntry* Yaml::find(const std::string& key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

YamlEntry* Yaml::find(const std::string& key) {
  return const_cast<YamlEntry*>(std::as_const(*this).find(key));
}

std::string place_text(const Place& place) {
  return place.line > 0 ? cat(place.file, ":", place.line, ":", place.column) : place.file;
}

std::string source_text(const Place& place) {
  return place.line > 0 ? cat(place.file, ":", place.line) : place.file;
}

std::optional<Yaml> parse_yaml(const std::string& raw, const std::string& file,
                               std::vector<RecipeProblem>& problems, const Place* place_as) {
  const auto at = [&](const Place& place) { return place_as ? *place_as : place; };
  YamlText text(raw, file);
  if (auto flaw = text.flaw()) {
    problems.push_back({at(flaw->place), flaw->text});
    return std::nullopt;
  }
  TreeBuilder builder(text, problems, place_as);
  try {
    std::istringstream in(text.text());
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    problems.push_back({stop.place, stop.text});
    return std::nullopt;
  } catch (const YAML::Exception& error) {
    problems.push_back(
        {at(text.place(error.mark.line, error.mark.column)), cat("this is not YAML: ", told(error.msg))});
    return std::nullopt;
  }
  if (!builder.root) builder.root = Yaml{};
  if (builder.root->place.file.empty()) builder.root->place = at({file, 1, 1});
  return std::move(builder.root);
}

}  // namespace lathe
