#include <algorithm>

#include "recipes/schema/rules.h"

namespace lathe {
namespace {

// name, model, tokenizer and data.
class DataRules : public Rules {
 public:
  using Rules::Rules;

  void run() {
    names();
    model();
    data();
  }

 private:
  void names() {
    if (!sound({"name"})) return;
    const std::string& name = r_.name;
    const bool bad =
        name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    if (bad)
      wrong(place("name"), cat("'name' wants a plain name, found '", name, "' ('directory' takes a path)"));
  }

  void model() {
    const ModelSection& m = r_.model;
    if (sound({"model"})) {
      if (m.path.empty() && m.family.empty()) {
        wrong(place({"model"}),
              "'model' wants 'family' (llama, gpt2) to train from scratch, or 'path' to start from a model");
      }
      for (const char* key : {"family", "size"}) {
        const std::string& value = std::string(key) == "family" ? m.family : m.size;
        if (m.path.empty() || value.empty()) continue;
        wrong(place(cat("model.", key)),
              cat("'model.", key, "' contradicts 'model.path', which brings its own; keep one"));
      }
    }
    for (const RawSection::Entry& entry : m.config.entries) {  // the family's keys: a base brings its own
      if (!m.path.empty())
        wrong(entry.key_place,
              cat("'", entry.key, "' has no meaning beside 'model.path': the base brings its own config",
                  did_you_mean(entry.key, {"path", "freeze", "quantization"})));
    }
    const TokenizerSection& t = r_.tokenizer;
    if (!sound({"tokenizer", "model"})) return;
    for (const auto* names : {&t.add_tokens, &t.add_special_tokens}) {
      const char* key = names == &t.add_tokens ? "tokenizer.add_tokens" : "tokenizer.add_special_tokens";
      if (std::any_of(names->begin(), names->end(), [](const std::string& name) { return name.empty(); }))
        wrong(place(key), cat("'", key, "' has an empty token"));
    }
    if (!t.path.empty() && !t.train.empty()) {
      wrong(place("tokenizer.train"), "'tokenizer.train' contradicts 'tokenizer.path'; keep one");
    }
    if (t.train == "clip_bpe" && sound({"task"}) && (r_.task == "pretrain" || r_.task == "sft")) {
      wrong(place("tokenizer.train"),
            "'clip_bpe' loses capitals and white space: it is for the text encoder of pictures, not for a "
            "model that "
            "writes text; take byte_bpe");
    }
    constexpr int kClipSmallest = 514;  // two alphabets of bytes, begin and end of text
    if (t.train == "clip_bpe" && t.vocab_size < kClipSmallest)
      wrong(place("tokenizer.vocab_size"),
            cat("'clip_bpe' needs 'vocab_size' of at least ", kClipSmallest, ", found ", t.vocab_size));
    if (m.path.empty() && !m.family.empty() && !draws_by_class(m.family) && t.path.empty() &&
        t.train.empty()) {
      wrong(place({"tokenizer", "model"}),
            "a model from scratch wants a tokenizer: 'tokenizer.train: byte_bpe', or 'tokenizer.path'");
    }
  }

  void data() {
    const DataSection& d = r_.data;
    if (sound({"data.fill_in_middle", "task"}) && d.fill_in_middle.rate > 0 && r_.task == "sft") {
      wrong(place("data.fill_in_middle"),
            "'data.fill_in_middle' is for plain texts: 'task: pretrain', with 'model.path' to go on from a "
            "base");
    }
    if (sound({"data.train"}) && d.train.empty()) {
      wrong(place({"data.train", "data"}),
            "'data.train' is missing: a path, or a list of sources {path, glob}");
    }
    if (sound({"data.encoding", "task"})) encoding(d.encoding);
    sources("data.train", d.train);
    sources("data.validation", d.validation.sets);
    if (given("data.validation") && sound({"data.validation"}) && d.validation.sets.empty() &&
        d.validation.share == 0 && d.validation.folds.folds == 0) {
      wrong(place("data.validation"),
            "'data.validation' is empty; give a share, a path or sets, or remove the key");
    }
    pictures(d);
    std::set<std::string> names;
    for (std::size_t i = 0; i < d.validation.sets.size(); ++i) {
      const std::string& name = d.validation.sets[i].name;
      if (name == "train" && (d.validation.sets.size() > 1 || r_.task != "sft"))
        wrong(place(cat("data.validation[", i, "].name")),
              "a validation set has the name 'train', which is what is trained on; give it another");
      if (name.empty() || names.insert(name).second) continue;
      wrong(place(cat("data.validation[", i, "].name")),
            cat("two validation sets have the name '", name, "'"));
    }
  }

  // Examples may come in any charset; a corpus is UTF-8.
  void encoding(const std::string& name) {
    const std::vector<std::string> rules = r_.task == "sft"
                                               ? std::vector<std::string>{"error", "replace"}
                                               : std::vector<std::string>{"error", "replace", "skip"};
    if (std::find(rules.begin(), rules.end(), name) != rules.end()) return;
    if (r_.task == "sft" && name != "skip" && !name.empty()) return;
    wrong(place("data.encoding"), cat("'data.encoding' wants ", one_of(rules),
                                      r_.task == "sft" ? " or a charset's name, found '" : ", found '", name,
                                      "'", did_you_mean(name, rules)));
  }

  void pictures(const DataSection& d) {
    if (sound({"data.resolution"}) && (d.resolution.empty() || d.resolution.size() > 2))
      wrong(place({"data.resolution"}), "'data.resolution' wants one number, or [width, height]");
    if (sound({"data.channels"}) && d.channels == 2)
      wrong(place({"data.channels"}), "'data.channels' wants 3 for colour or 1 for grey, found '2'");
  }

  void sources(const std::string& key, const std::vector<SourceSection>& list) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string item = cat(key, "[", i, "]");
      if (!sound({item.c_str()})) continue;
      const Place where = place(given(item) ? item : key);
      if (list[i].path.empty() && list[i].generate.empty()) wrong(where, cat("'", item, "' wants 'path'"));
      if (!list[i].path.empty() && !list[i].generate.empty())
        wrong(where, cat("'", item, "' has 'path' and 'generate'; keep one"));
    }
  }
};

}  // namespace

void check_model_and_data(const RuleInput& input) { DataRules(input).run(); }

}  // namespace lathe
