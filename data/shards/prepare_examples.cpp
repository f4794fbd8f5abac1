#include "data/shards/prepare_examples.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/cache.h"
#include "data/shards/layout.h"
#include "data/shards/manifest.h"
#include "data/shards/writer.h"
#include "data/sources/example_split.h"
#include "data/templates/template_folder.h"
#include "data/tokenizers/grow.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::size_t kNameDigits = 24;
constexpr std::size_t kBlock = 1024;  // examples rendered at once

struct RenderedSet {
  std::string name;
  std::vector<Example> examples;  // those that are kept
  std::vector<TokenExample> tokens;
  TokenLedger ledger;
};

ColumnMap column_map(const ColumnsSection& columns) {
  ColumnMap map;
  const auto add = [&](const char* role, const std::string& column) {
    if (!column.empty()) map.emplace_back(role, column);
  };
  add("prompt", columns.prompt);
  add("completion", columns.completion);
  add("input", columns.input);
  add("system", columns.system);
  add("messages", columns.messages);
  add("tools", columns.tools);
  add("text", columns.text);
  add("choices", columns.choices);
  add("answer", columns.answer);
  return map;
}

std::uint64_t supervised_bytes(const TokenExample& example) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < example.ids.size(); ++i)
    bytes += example.supervised[i] != 0 ? example.pieces[i].size() : 0;
  return bytes;
}

class ExamplePreparation {
 public:
  ExamplePreparation(const Recipe& recipe, const PrepareProgress& progress)
      : recipe_(recipe), progress_(progress), cache_(cache_directory(recipe)) {}

  PreparedData run() {
    load_tokenizer_and_template();
    read_sets();
    for (RenderedSet& set : sets_) render(set);
    note_dropped();
    PreparedData data;
    data.tuning = tuning_;
    data.tokenizer = tokenizer_;
    publish(data);
    return data;
  }

 private:
  void load_tokenizer_and_template() {
    const std::string folder = recipe_.tokenizer.path.empty() ? recipe_.model.path : recipe_.tokenizer.path;
    require(!folder.empty(), "tuning needs a base: model.path");
    tokenizer_ = load_tokenizer(folder);
    const TokenizerSection& section = recipe_.tokenizer;
    if (!section.add_tokens.empty() || !section.add_special_tokens.empty())
      tokenizer_ = add_tokens(*tokenizer_, section.add_tokens, section.add_special_tokens);
    tuning_ = std::make_shared<TuningData>();
    tuning_->format = read_chat_format(folder);
  }

  void read_sets() {
    const DataSection& data = recipe_.data;
    if (progress_) progress_("reading", 0);
    ExampleSet all = read_recipe_examples(data, data.train);
    std::vector<ExampleSet> apart;
    for (const SourceSection& section : data.validation.sets)
      apart.push_back(read_recipe_examples(data, {section}));
    std::vector<ExampleSet*> sets = {&all};
    for (ExampleSet& set : apart) sets.push_back(&set);
    tell_files_apart(sets);
    require(!all.examples.empty(), "data.train: no example is in it");
    tuning_->files = all.files;
    tuning_->notes = all.notes;
    note_missing_separator(all.examples);
    // Templates that write today's date get that of the data: the same data gives the same rows tomorrow.
    tuning_->format.now = newest_change();
    tuning_->read = all.examples.size();
    sets_.push_back({"train", {}, {}, {}});
    if (const std::vector<bool> held = held_out(all.examples); !held.empty()) {
      sets_.push_back({"validation", {}, {}, {}});
      for (std::size_t i = 0; i < all.examples.size(); ++i)
        sets_[held[i] ? 1 : 0].examples.push_back(std::move(all.examples[i]));
      return;
    }
    sets_[0].examples = std::move(all.examples);
    for (std::size_t i = 0; i < apart.size(); ++i) {
      const SourceSection& section = data.validation.sets[i];
      const std::string name = apart.size() == 1 ? "validation" : section.name;
      sets_.push_back({name, std::move(apart[i].examples), {}, {}});
      require(!sets_.back().examples.empty(), "data.validation: no example is in ", section.path);
    }
  }

  // One an example; empty when nothing is held out of them, as in the run on all that follows the folds.
  std::vector<bool> held_out(const std::vector<Example>& examples) const {
    const ValidationSection& validation = recipe_.data.validation;
    const auto seed = static_cast<std::uint64_t>(recipe_.data.split_seed.value_or(recipe_.train.seed));
    if (validation.share > 0) return hold_out(examples, validation.share, seed).held;
    std::vector<bool> held;
    if (validation.folds.fold == 0) return held;
    for (const std::uint32_t fold :
         fold_examples(examples, static_cast<std::uint32_t>(validation.folds.folds), seed))
      held.push_back(static_cast<std::int64_t>(fold) + 1 == validation.folds.fold);
    return held;
  }

  void note_dropped() {
    const std::vector<std::string>& dropped = tuning_->dropped;
    if (dropped.empty()) return;
    constexpr std::size_t kNamed = 5;
    std::string named;
    for (std::size_t i = 0; i < std::min(kNamed, dropped.size()); ++i) named += (i ? ", " : "") + dropped[i];
    if (dropped.size() > kNamed) named += cat(" and ", dropped.size() - kNamed, " more");
    tuning_->notes.push_back(cat("left out, longer than data.sequence_length ", recipe_.data.sequence_length,
                                 " (data.overlength: drop): ", named));
  }

  void note_missing_separator(const std::vector<Example>& examples) {
    if (tuning_->format.chat_template) return;
    const std::size_t glued = prompts_without_end(examples);
    if (glued == 0) return;
    const auto pair = separating_template(tuning_->files);
    tuning_->notes.push_back(cat(glued,
                                 " prompts run straight into their answers, as in \"hiHello\": the base has "
                                 "no chat template; end prompts with a separator",
                                 pair ? cat(", e.g. data.template: {prompt: ", Json(pair->prompt).dump(),
                                            ", completion: ", Json(pair->completion).dump(), "}")
                                      : std::string(" (data.template)")));
  }

  std::int64_t newest_change() const {
    std::int64_t newest = 0;
    for (const ExampleFile& file : tuning_->files) {
      struct stat status {};
      if (stat(file.path.c_str(), &status) == 0) newest = std::max<std::int64_t>(newest, status.st_mtime);
    }
    return newest;
  }

  // Renders a block at a time in parallel, then decides what is kept in the order of the file. The pieces of
  // text behind the tokens take ten times their ids: they live as long as a block.
  void render(RenderedSet& set) {
    if (progress_) progress_("tokenising " + set.name, 0);
    const LossOn loss_on = parse_loss_on(recipe_.data.loss_on);
    std::vector<Example> kept;
    for (std::size_t first = 0; first < set.examples.size(); first += kBlock) {
      std::vector<TokenExample> rendered(std::min(kBlock, set.examples.size() - first));
      parallel_for(rendered.size(), static_cast<int>(recipe_.data.workers), [&](std::size_t i) {
        rendered[i] = render_example(set.examples[first + i], *tokenizer_, tuning_->format, loss_on);
      });
      for (std::size_t i = 0; i < rendered.size(); ++i) {
        Example& example = set.examples[first + i];
        if (!keep(std::move(rendered[i]), example, set)) continue;
        kept.push_back(std::move(example));
      }
    }
    if (kept.empty())
      fail_usage("data: nothing remains of the ", set.name,
                 " set: every example is longer than data.sequence_length ", recipe_.data.sequence_length);
    set.examples = std::move(kept);
  }

  // False when the example is left out.
  bool keep(TokenExample tokens, const Example& example, RenderedSet& set) {
    set.ledger.documents_read += 1;
    set.ledger.tokens_read += tokens.ids.size();
    if (!fit(tokens, example, set.ledger)) return false;
    set.ledger.documents_kept += 1;
    set.ledger.bytes_read += supervised_bytes(tokens);
    set.ledger.bytes_kept += supervised_bytes(tokens);
    set.tokens.push_back({std::move(tokens.ids), std::move(tokens.supervised), {}});
    set.tokens.back().ids.shrink_to_fit();
    set.tokens.back().supervised.shrink_to_fit();
    return true;
  }

  // Applies `overlength`; false when the example is left out.
  bool fit(TokenExample& tokens, const Example& example, TokenLedger& ledger) {
    const auto most = static_cast<std::size_t>(recipe_.data.sequence_length) + 1;
    if (tokens.ids.size() <= most) return true;
    const std::string& rule = recipe_.data.overlength;
    const std::string told = cat(example.origin, " (", tokens.ids.size() - 1, " tokens)");
    if (rule == "drop") {
      tuning_->dropped.push_back(told);
      ledger.documents_dropped += 1;
      ledger.tokens_dropped += tokens.ids.size();
      return false;
    }
    if (rule == "truncate") {
      ledger.tokens_truncated += tokens.ids.size() - most;
      cut_to_row(tokens, recipe_.data.sequence_length);
      for (std::size_t i = 1; i < most; ++i) {
        if (tokens.supervised[i] != 0) return true;
      }
      fail_usage(example.origin, ": cut to data.sequence_length ", recipe_.data.sequence_length,
                 " tokens nothing of the answer remains; raise it or choose data.overlength: drop");
    }
    fail_usage(example.origin, ": ", tokens.ids.size() - 1, " tokens do not fit data.sequence_length ",
               recipe_.data.sequence_length, "; raise it, or choose data.overlength: drop or truncate");
  }

  std::string content_key() const {
    Sha256 hash;
    hash.update(cat("examples ", kShardVersion, ' ', recipe_.data.sequence_length, ' ', recipe_.data.packing,
                    ' ', tokenizer_->fingerprint(), '\n'));
    for (const RenderedSet& set : sets_) {
      hash.update(set.name + "\n");
      for (const TokenExample& example : set.tokens) {
        hash.update(std::as_bytes(std::span(example.ids)));
        hash.update(std::as_bytes(std::span(example.supervised)));
      }
    }
    return hash.hex();
  }

  void publish(PreparedData& data) {
    FileSystem& files = real_file_system();
    files.make_directory(cache_);
    const CacheLock lock(cache_);
    const std::string tokenizer_folder = "tokenizer-" + tokenizer_->fingerprint().substr(0, kNameDigits);
    publish_tokenizer(*tokenizer_, cache_ + "/" + tokenizer_folder, files);
    data.tokenizer_path = cache_ + "/" + tokenizer_folder;
    data.data_sha256 = content_key();
    data.directory = cache_ + "/data-" + data.data_sha256.substr(0, kNameDigits);
    data.was_ready = read_manifest(cache_, data.directory).has_value() && shards_are_whole(data.directory);
    if (!data.was_ready) {
      files.make_directory(data.directory);
      remove_temporaries(data.directory, files);
    }
    Manifest manifest{data.data_sha256, tokenizer_folder, tokenizer_->fingerprint(), {}};
    for (RenderedSet& set : sets_) {
      const std::string file = shard_name(set);
      const std::string path = data.directory + "/" + file;
      if (!data.was_ready) write_shard(set, path);
      const TokenShard shard(path, ShardTrust::Own);
      set.ledger = shard.info().ledger;
      if (!data.was_ready)
        manifest.sets.push_back(
            {set.name, {{file, filesystem::file_size(path), sha256_file(path), 0}}, set.ledger});
      PreparedSet prepared{set.name, {path}, {0.0}, set.ledger.bytes_kept, set.ledger};
      (set.name == "train" ? tuning_->train : tuning_->validation.emplace_back()) = std::move(set.examples);
      if (set.name == "train")
        data.train = std::move(prepared);
      else
        data.validation.push_back(std::move(prepared));
    }
    if (!data.was_ready) write_manifest(data.directory, manifest, files);
  }

  static std::string shard_name(const RenderedSet& set) {
    return set.name == "train" ? "train-0.h5" : "validation-" + sha256_hex(set.name).substr(0, 8) + ".h5";
  }

  // By their checksums: all rows are at hand, so damaged shards are simply written again.
  bool shards_are_whole(const std::string& folder) const {
    try {
      for (const RenderedSet& set : sets_) TokenShard(folder + "/" + shard_name(set)).verify();
    } catch (const Error&) {
      return false;
    }
    return true;
  }

  void write_shard(const RenderedSet& set, const std::string& path) const {
    ShardWriter writer(path, tokenizer_->vocab_size());
    for (const TokenExample& example : set.tokens) writer.add_document(example.ids, 0, example.supervised);
    const Json settings = {{"loss_on", recipe_.data.loss_on},
                           {"packing", recipe_.data.packing},
                           {"overlength", recipe_.data.overlength}};
    ShardInfo info;
    info.tokenizer_sha256 = tokenizer_->fingerprint();
    info.settings = settings;
    info.ledger = set.ledger;
    writer.finish(info, {.sequence_length = static_cast<std::uint64_t>(recipe_.data.sequence_length),
                         .packing = recipe_.data.packing});
  }

  const Recipe& recipe_;
  const PrepareProgress& progress_;
  std::string cache_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<TuningData> tuning_;
  std::vector<RenderedSet> sets_;
};

}  // namespace

ExampleOptions example_options(const DataSection& data) {
  return {.columns = column_map(data.columns),
          .text_template = data.template_.text,
          .prompt_template = data.template_.prompt,
          .completion_template = data.template_.completion,
          .format = data.format,
          .encoding = data.encoding};
}

ExampleSet read_recipe_examples(const DataSection& data, const std::vector<SourceSection>& sources) {
  std::vector<std::string> paths;
  for (const SourceSection& source : sources) paths.push_back(source.path);
  return read_examples(paths, example_options(data));
}

void cut_to_row(TokenExample& tokens, std::int64_t sequence_length) {
  const std::size_t most = std::min(tokens.ids.size(), static_cast<std::size_t>(sequence_length) + 1);
  tokens.ids.resize(most);
  tokens.supervised.resize(most);
  tokens.pieces.resize(most);
}

LossOn parse_loss_on(const std::string& name) {
  if (name == "assistant") return LossOn::Assistant;
  if (name == "last_assistant") return LossOn::LastAssistant;
  if (name == "all") return LossOn::All;
  require(name == "completion", "data.loss_on: wanted completion, assistant, last_assistant or all, found '",
          name, "'");
  return LossOn::Completion;
}

PreparedData prepare_examples(const Recipe& recipe, const PrepareProgress& progress) {
  return ExamplePreparation(recipe, progress).run();
}

}  // namespace lathe
