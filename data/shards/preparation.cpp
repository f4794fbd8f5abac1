#include "data/shards/preparation.h"

#include <filesystem>

#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/cache.h"
#include "data/shards/manifest.h"
#include "data/shards/tokenise.h"
#include "data/tokenizers/grow.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::size_t kNameDigits = 24;  // of a SHA-256 in a folder's name

std::string tokenizer_source(const Recipe& recipe) {
  if (!recipe.tokenizer.path.empty()) return recipe.tokenizer.path;
  return recipe.tokenizer.train.empty() ? recipe.model.path : "";
}

std::string file_name(const std::string& set) {
  if (set == "validation") return "validation.h5";
  std::string safe;
  for (const char c : set) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    safe += plain || c == '-' ? c : '_';
  }
  // Two names may become the same file name; their hashes differ.
  return "validation-" + (safe == set ? safe : safe + "-" + sha256_hex(set).substr(0, 8)) + ".h5";
}

// One file to make: its set, its place in data.train, its documents.
struct Job {
  std::string set, file;
  std::uint32_t source = 0;
  Selection selection;
};

class Preparation {
 public:
  Preparation(const Recipe& recipe, const PrepareProgress& progress, const PrepareTools& tools)
      : recipe_(recipe),
        progress_(progress),
        tools_(tools),
        files_(*tools.files),
        cache_(cache_directory(recipe)),
        index_path_(cache_ + "/index-" + quick_key(recipe).substr(0, kNameDigits) + ".json"),
        threads_(recipe.data.workers > 0 ? static_cast<int>(recipe.data.workers) : hardware_threads()) {}

  PreparedData run();

 private:
  std::optional<PreparedData> find_ready(const std::string& fingerprint);
  PreparedData make();
  void survey();
  void choose_tokenizer();
  std::optional<FimRule> fim_rule() const;
  std::vector<Job> list_jobs() const;
  std::pair<std::optional<ManifestShard>, TokenLedger> run_job(const Job& job, const Fraction& progress);
  std::optional<TokenLedger> finished_shard(const std::string& path, const ShardInfo& wanted);
  bool is_whole(const Manifest& manifest) const;
  std::shared_ptr<const Tokenizer> load_published(const std::string& folder) const;
  PreparedData describe(const Manifest& manifest) const;
  void check_training_set(const ManifestSet& train) const;
  void write_held_out_list() const;
  Fraction phase(const std::string& name, double begin = 0, double share = 1) const;

  const Recipe& recipe_;
  const PrepareProgress& progress_;
  const PrepareTools& tools_;
  FileSystem& files_;
  std::string cache_, index_path_;
  int threads_;

  std::vector<Corpus> corpora_;                // train first
  std::vector<Survey> surveys_;                // parallel
  std::vector<Fate> fates_;                    // of the training corpus' documents
  std::map<std::size_t, std::uint64_t> cuts_;  // where the held-out ends of those that are cut begin
  std::string data_sha256_;
  std::string tokenizer_id_;      // content key of the tokenizer
  std::string tokenizer_folder_;  // name in the cache
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string folder_;                     // full path of the data
  std::vector<std::string> made_again_;    // shards that were damaged
  std::vector<std::string> survey_notes_;  // for people: what the first pass saw
};

Fraction Preparation::phase(const std::string& name, double begin, double share) const {
  if (!progress_) return {};
  return [this, name, begin, share](double fraction) { progress_(name, begin + share * fraction); };
}

PreparedData Preparation::run() {
  if (recipe_.data.train.empty()) fail_usage("data.train: no source is given");
  if (recipe_.tokenizer.train.empty() && tokenizer_source(recipe_).empty()) {
    fail_usage("tokenizer: give one (path: ...) or have one trained (train: byte_bpe)");
  }
  corpora_ = list_corpora(recipe_.data);
  if (auto ready = find_ready(fingerprint_files(corpora_, tokenizer_source(recipe_)))) return *ready;
  files_.make_directory(cache_);
  const CacheLock lock(cache_);
  wait_for_settled_times(corpora_, tokenizer_source(recipe_));
  corpora_ = list_corpora(recipe_.data);
  const std::string fingerprint = fingerprint_files(corpora_, tokenizer_source(recipe_));
  if (auto ready = find_ready(fingerprint)) return *ready;  // another process made it while this one waited
  PreparedData data = make();
  // A file that changed meanwhile must be read again next time.
  if (fingerprint_files(list_corpora(recipe_.data), tokenizer_source(recipe_)) == fingerprint) {
    write_quick_index(index_path_, {fingerprint, filesystem::path(folder_).filename().string()}, files_);
  }
  return data;
}

std::optional<PreparedData> Preparation::find_ready(const std::string& fingerprint) {
  const auto index = read_quick_index(index_path_);
  if (!index || index->fingerprint != fingerprint) return std::nullopt;
  folder_ = cache_ + "/" + index->folder;
  const auto manifest = read_manifest(cache_, folder_);
  if (!manifest || !is_whole(*manifest)) return std::nullopt;
  tokenizer_ = load_published(cache_ + "/" + manifest->tokenizer_folder);
  if (!tokenizer_) return std::nullopt;
  PreparedData data = describe(*manifest);
  data.was_ready = true;
  return data;
}

// By checksums, where they are to be read.
bool Preparation::is_whole(const Manifest& manifest) const {
  if (tools_.check == ReadyCheck::Sizes) return true;
  try {
    for (const ManifestSet& set : manifest.sets)
      for (const ManifestShard& shard : set.shards)
        TokenShard(folder_ + "/" + shard.file).verify();  // HDF5 may crash on what is damaged
  } catch (const Error&) {
    return false;
  }
  return true;
}

// Null when the cache's copy is damaged: it is made again.
std::shared_ptr<const Tokenizer> Preparation::load_published(const std::string& folder) const {
  if (!is_published_whole(folder)) return nullptr;
  try {
    return tools_.load_tokenizer(folder);
  } catch (const Error&) {  // one from before there were checksums
    return nullptr;
  }
}

void Preparation::survey() {
  for (std::size_t c = 0; c < corpora_.size(); ++c) {
    const bool split = c == 0 && recipe_.data.validation.share > 0;
    const double share = 1.0 / static_cast<double>(corpora_.size());
    surveys_.push_back(survey_corpus(
        corpora_[c], {.encoding = recipe_.data.encoding, .threads = threads_, .signatures = split},
        phase("reading", static_cast<double>(c) * share, share)));
    require(!surveys_.back().documents.empty(), "data: the ", corpora_[c].name,
            " set has no document: ", corpora_[c].files.size(),
            " file(s) were read, all empty or left out as invalid UTF-8");
    for (const SourceCounts& counts : surveys_.back().counts)
      if (counts.invalid_replaced > 0)
        survey_notes_.push_back(cat(corpora_[c].name, ": ", counts.invalid_replaced, " of ", counts.documents,
                                    " documents are not valid UTF-8; their wrong bytes became U+FFFD "
                                    "(data.encoding: replace)"));
  }
  data_sha256_ = hash_corpora(corpora_, surveys_);
  DocumentSplit split = select_documents(surveys_[0], {.deduplicate = recipe_.data.deduplicate,
                                                       .validation_share = recipe_.data.validation.share,
                                                       .threads = threads_});
  surveys_[0].signatures.clear();
  cuts_ = place_cuts(corpora_[0], surveys_[0], split, recipe_.data.encoding);
  fates_ = std::move(split.fates);
  for (std::size_t c = 1; c < corpora_.size(); ++c) {
    const bool drop = recipe_.data.deduplicate;
    const std::size_t shared = keep_apart(surveys_[0], surveys_[c], drop, fates_);
    if (shared == 0) continue;
    survey_notes_.push_back(
        cat(corpora_[c].name, ": ", shared, " of the training documents stand", shared == 1 ? "s" : "",
            " in this held-out set too; ",
            drop ? "left out of training"
                 : "trained on all the same (data.deduplicate is off), so its loss is of texts "
                   "that were seen"));
  }
}

// A trained tokenizer is named by what it is trained on, a given one by its content, so both are known before
// any work.
void Preparation::choose_tokenizer() {
  const TokenizerSection& section = recipe_.tokenizer;
  const std::size_t added = section.add_tokens.size() + section.add_special_tokens.size();
  if (section.train.empty()) {
    const std::string source = tokenizer_source(recipe_);
    tokenizer_ = tools_.load_tokenizer(source);
    if (added > 0) tokenizer_ = add_tokens(*tokenizer_, section.add_tokens, section.add_special_tokens);
    tokenizer_id_ = tokenizer_->fingerprint();
    tokenizer_folder_ = "tokenizer-" + tokenizer_id_.substr(0, kNameDigits);
    publish_tokenizer(*tokenizer_, cache_ + "/" + tokenizer_folder_, files_);
    return;
  }
  const Selection training{&corpora_[0], &surveys_[0], fates_, Fate::Keep, {}, cuts_};
  Json key = {{"train", section.train},
              {"vocab_size", section.vocab_size},
              {"pattern", section.pattern},
              {"documents", training.sha256()}};
  if (added > 0) key["added"] = {section.add_tokens, section.add_special_tokens};
  tokenizer_id_ = sha256_hex(key.dump());
  tokenizer_folder_ = "tokenizer-" + tokenizer_id_.substr(0, kNameDigits);
  const std::string folder = cache_ + "/" + tokenizer_folder_;
  if (filesystem::exists(folder)) tokenizer_ = load_published(folder);
  if (!tokenizer_) {
    const auto stream = document_stream(training, recipe_.data.encoding, phase("tokenizer"));
    auto trained =
        tools_.train_tokenizer(*stream, {.kind = section.train,
                                         .vocab_size = static_cast<std::size_t>(section.vocab_size) - added,
                                         .pattern = section.pattern,
                                         .threads = threads_});
    if (added > 0) trained = add_tokens(*trained, section.add_tokens, section.add_special_tokens);
    publish_tokenizer(*trained, folder, files_);
    tokenizer_ = tools_.load_tokenizer(folder);  // what is used is what was written
  }
}

std::optional<FimRule> Preparation::fim_rule() const {
  const FillInMiddleSection& section = recipe_.data.fill_in_middle;
  if (section.rate <= 0) return std::nullopt;
  const auto tokens = find_fim_tokens(*tokenizer_);
  if (!tokens) {
    fail_usage(
        "data.fill_in_middle: the tokenizer has no tokens for it (<|fim_prefix|>, <|fim_suffix|> and "
        "<|fim_middle|>, "
        "<fim_prefix> ..., <PRE> ..., [PREFIX] ...); take a base that has them, or add them with "
        "tokenizer.add_special_tokens: [<|fim_prefix|>, <|fim_suffix|>, <|fim_middle|>]");
  }
  require(tokenizer_->special().eos.has_value(),
          "data.fill_in_middle: the tokenizer names no end-of-text token");
  return FimRule{*tokens, section.rate, section.spm_rate, static_cast<std::uint64_t>(recipe_.train.seed)};
}

std::vector<Job> Preparation::list_jobs() const {
  std::vector<Job> jobs;
  for (std::uint32_t s = 0; s < corpora_[0].sections.size(); ++s) {
    jobs.push_back(
        {"train", cat("train-", s, ".h5"), s, {&corpora_[0], &surveys_[0], fates_, Fate::Keep, s, cuts_}});
  }
  if (recipe_.data.validation.share > 0) {
    jobs.push_back({"validation",
                    file_name("validation"),
                    0,
                    {&corpora_[0], &surveys_[0], fates_, Fate::HeldOut, {}, cuts_}});
  }
  for (std::size_t c = 1; c < corpora_.size(); ++c) {
    std::vector<Fate> all(surveys_[c].documents.size(), Fate::Keep);
    jobs.push_back({corpora_[c].name,
                    file_name(corpora_[c].name),
                    0,
                    {&corpora_[c], &surveys_[c], std::move(all), Fate::Keep, {}}});
  }
  return jobs;
}

// A shard that an interrupted preparation had finished already.
std::optional<TokenLedger> Preparation::finished_shard(const std::string& path, const ShardInfo& wanted) {
  if (!filesystem::exists(path)) return std::nullopt;
  try {
    const TokenShard shard(path);
    shard.verify();
    const ShardInfo& info = shard.info();
    if (info.source_sha256 == wanted.source_sha256 && info.tokenizer_sha256 == wanted.tokenizer_sha256 &&
        info.settings == wanted.settings) {
      return info.ledger;
    }
  } catch (const Error&) {
    made_again_.push_back(path);
  }
  return std::nullopt;
}

std::pair<std::optional<ManifestShard>, TokenLedger> Preparation::run_job(const Job& job,
                                                                          const Fraction& progress) {
  const DataSection& data = recipe_.data;
  const std::string path = folder_ + "/" + job.file;
  const ShardInfo info{.vocab_size = tokenizer_->vocab_size(),
                       .sequence_length = static_cast<std::uint64_t>(data.sequence_length),
                       .tokenizer_sha256 = tokenizer_->fingerprint(),
                       .source_sha256 = job.selection.sha256(),
                       .settings = shard_settings(recipe_),
                       .ledger = {}};
  auto ledger = finished_shard(path, info);
  if (!ledger) {
    ledger = tokenise(job.selection, *tokenizer_, path, info,
                      {.packing = {.sequence_length = info.sequence_length, .packing = data.packing},
                       .overlength = parse_overlength(data.overlength),
                       .encoding = data.encoding,
                       .fill_in_middle = fim_rule(),
                       .threads = threads_,
                       .files = &files_},
                      progress);
  }
  if (ledger->documents_kept == 0) return {std::nullopt, *ledger};
  return {ManifestShard{job.file, filesystem::file_size(path), sha256_file(path), job.source}, *ledger};
}

void Preparation::check_training_set(const ManifestSet& train) const {
  if (!train.shards.empty()) return;
  std::size_t held = 0;
  for (const Fate fate : fates_) held += fate == Fate::HeldOut ? 1 : 0;
  fail("data.train: nothing remains to train on: ", train.ledger.documents_read, " document(s) read, ",
       train.ledger.documents_duplicate, " duplicate, ", train.ledger.documents_dropped,
       " dropped (empty, invalid, too short or longer than data.sequence_length ",
       recipe_.data.sequence_length, "), ", held,
       " held out for validation; add data, or change data.overlength, data.encoding or data.deduplicate");
}

// The files whose documents are all held out, and of a file whose one document is cut the byte where its
// held-out end begins (after a tab): for people and for comparisons with other compressors of the same bytes.
void Preparation::write_held_out_list() const {
  std::string list;
  for (std::size_t f = 0; f < corpora_[0].files.size(); ++f) {
    const std::size_t begin = surveys_[0].first_document[f], end = surveys_[0].first_document[f + 1];
    bool all = begin < end;
    for (std::size_t d = begin; d < end; ++d) all = all && fates_[d] == Fate::HeldOut;
    if (all) list += corpora_[0].files[f].origin + "\n";
    if (begin + 1 == end && fates_[begin] == Fate::Cut)
      list += cat(corpora_[0].files[f].origin, '\t', cuts_.at(begin), '\n');
  }
  write_file_atomically(folder_ + "/held-out.txt", list, files_);
}

PreparedData Preparation::make() {
  remove_temporaries(cache_, files_);
  survey();
  choose_tokenizer();
  fim_rule();  // its error before any work
  Json key = {{"data", data_sha256_},
              {"tokenizer", tokenizer_->fingerprint()},
              {"settings", shard_settings(recipe_)}};
  for (const auto& [document, begin] : cuts_) key["cuts"].push_back({document, begin});
  folder_ = cache_ + "/data-" + sha256_hex(key.dump()).substr(0, kNameDigits);
  if (const auto manifest = read_manifest(cache_, folder_); manifest && is_whole(*manifest)) {
    PreparedData data = describe(*manifest);
    data.was_ready = true;
    return data;
  }
  files_.make_directory(folder_);
  files_.sync_directory(cache_);  // or a power cut loses the folder with all that is published in it
  remove_temporaries(folder_, files_);

  Manifest manifest{data_sha256_, tokenizer_folder_, tokenizer_->fingerprint(), {}};
  const std::vector<Job> jobs = list_jobs();
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    const double share = 1.0 / static_cast<double>(jobs.size());
    const auto [shard, ledger] = run_job(jobs[j], phase("tokenising", static_cast<double>(j) * share, share));
    if (manifest.sets.empty() || manifest.sets.back().name != jobs[j].set)
      manifest.sets.push_back({jobs[j].set, {}, {}});
    ManifestSet& set = manifest.sets.back();
    set.ledger += ledger;
    if (shard)
      set.shards.push_back(*shard);
    else
      require(jobs[j].set == "train", "data.validation: nothing remains of the set '", jobs[j].set,
              "': every document is too short or longer than data.sequence_length allows");
  }
  check_training_set(manifest.sets.front());
  if (recipe_.data.validation.share > 0) write_held_out_list();
  write_manifest(folder_, manifest, files_);
  return describe(manifest);
}

// Where documents were cut to hold out a share (data/sources/split.h).
std::string describe_cuts(const PreparedData& data) {
  const std::uint64_t cut = data.train.ledger.documents_cut;
  if (cut == 0 || data.validation.empty()) return "";
  return cat("held out: the last ", data.validation[0].ledger.bytes_read, " bytes of ", cut,
             cut == 1 ? " document, cut" : " documents, each cut",
             " at a blank line or a line's end, because whole documents cannot give the share that "
             "data.validation asks for");
}

PreparedData Preparation::describe(const Manifest& manifest) const {
  PreparedData data;
  data.directory = folder_;
  data.tokenizer_path = cache_ + "/" + manifest.tokenizer_folder;
  data.tokenizer = tokenizer_;
  data.data_sha256 = manifest.data_sha256;
  for (std::size_t s = 0; s < manifest.sets.size(); ++s) {
    PreparedSet set;
    set.name = manifest.sets[s].name;
    set.ledger = manifest.sets[s].ledger;
    set.bytes = set.ledger.bytes_kept;
    for (const ManifestShard& shard : manifest.sets[s].shards) {
      set.shards.push_back(folder_ + "/" + shard.file);
      const auto& sources = recipe_.data.train;
      set.weights.push_back(s == 0 && shard.source < sources.size() ? sources[shard.source].weight : 0.0);
    }
    if (s == 0)
      data.train = std::move(set);
    else
      data.validation.push_back(std::move(set));
  }
  for (const Corpus& corpus : corpora_)
    if (!corpus.left_out.empty()) data.notes.push_back(cat(corpus.name, ": ", corpus.left_out));
  if (const std::string cuts = describe_cuts(data); !cuts.empty()) data.notes.push_back(cuts);
  data.notes.insert(data.notes.end(), survey_notes_.begin(), survey_notes_.end());
  for (const std::string& path : made_again_) data.notes.push_back(cat(path, ": was damaged, made again"));
  return data;
}

}  // namespace

PreparedData prepare_data_with(const Recipe& recipe, const PrepareProgress& progress,
                               const PrepareTools& tools) {
  return Preparation(recipe, progress, tools).run();
}

}  // namespace lathe
