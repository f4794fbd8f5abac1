#pragma once
// corpus -> tokenizer (if asked) -> shards. Idempotent and restartable; the cache is content-addressed, so
// any change of data, tokenizer or settings gives another name. The bytes do not depend on the number of
// threads.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/shards/shard.h"
#include "data/sources/examples.h"
#include "data/templates/render_example.h"
#include "data/tokenizers/tokenizer.h"
#include "recipes/schema/recipe.h"

namespace lathe {

struct PreparedSet {
  std::string name;                 // "train", "validation" or a named set
  std::vector<std::string> shards;  // one a source for train (mixing), else one
  std::vector<double> weights;      // of the sources, 0 for natural; parallel to shards
  std::uint64_t bytes = 0;          // of text kept
  TokenLedger ledger;
};

// What tuning keeps beside its shards, for previews, generated answers and reports.
struct TuningData {
  ChatFormat format;
  std::vector<ExampleFile> files;
  std::vector<std::string> notes;
  std::vector<std::string> dropped;  // what data.overlength left out: "a.jsonl:7 (812 tokens)"
  std::size_t read = 0;
  std::vector<Example> train;                    // in the order of the shard's documents
  std::vector<std::vector<Example>> validation;  // parallel to PreparedData::validation
};

struct PreparedData {
  std::string directory;       // content-addressed folder in the cache
  std::string tokenizer_path;  // folder with tokenizer.json
  std::shared_ptr<const Tokenizer> tokenizer;
  PreparedSet train;
  std::vector<PreparedSet> validation;  // empty when none is asked
  std::string data_sha256;              // of names, sizes and contents
  bool was_ready = false;               // everything was there already
  std::vector<std::string>
      notes;  // for people: files that are not read, documents that are cut to hold out a share
  std::shared_ptr<const TuningData> tuning;  // null when pretraining
};

// How far data that is found ready is looked at: sizes of files, or every shard's checksums too, which reads
// them (`lathe prepare`; those that train reads are checked as they are read). What is damaged is made again.
enum class ReadyCheck { Sizes, Checksums };

using PrepareProgress = std::function<void(const std::string& phase, double fraction)>;

PreparedData prepare_data(const Recipe& recipe, const PrepareProgress& progress = {},
                          ReadyCheck check = ReadyCheck::Sizes);

}  // namespace lathe
