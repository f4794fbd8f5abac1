#pragma once
// The cache of prepared data, one folder for any number of recipes:
//   tokenizer-<key>/        a tokenizer as it will be exported
//   data-<key>/             train-<source>.h5, validation[-name].h5, prepared.json
//   index-<key>.json        recipe settings -> fingerprint of the files and the data folder they gave
//   prepare.lock            held while something is made, so that ranks and runs wait instead of working
//   twice
// Keys are SHA-256 over all that shapes the content. A name without ".tmp-" is whole.
#include <string>

#include "data/io/file_system.h"
#include "data/shards/survey.h"
#include "data/tokenizers/tokenizer.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// data.cache, by default .lathe_cache in the parent of the run's directory; absolute.
std::string cache_directory(const Recipe& recipe);

// Exclusive among processes until destroyed; waits. Where the file system has no locks, two makers only waste
// work.
class CacheLock {
 public:
  explicit CacheLock(const std::string& cache);
  ~CacheLock();
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

 private:
  int descriptor_;
};

// Removes what a killed preparation left half-made in `folder`. Call under the lock.
void remove_temporaries(const std::string& folder, FileSystem& files);

// The recipe's training set, then its validation sets, with their files. Usage Errors for names given twice.
std::vector<Corpus> list_corpora(const DataSection& data);
// Sleeps until the newest file, the tokenizer's too, is older than a tick of the file system's clock, so that
// a later change of the same size must show in its time.
void wait_for_settled_times(const std::vector<Corpus>& corpora, const std::string& tokenizer_path);

// What shapes the rows beside documents and tokenizer; stored in every shard.
Json shard_settings(const Recipe& recipe);
// Everything of the recipe that prepare_data reads, places included: the key of the quick index.
std::string quick_key(const Recipe& recipe);
// SHA-256 over paths, sizes, inodes and times of modification and of change of the corpora's files and of the
// tokenizer's, if one is given.
std::string fingerprint_files(const std::vector<Corpus>& corpora, const std::string& tokenizer_path);

// Writes a tokenizer's files, and checksums.json with their SHA-256, to `folder` as a whole or not at all;
// does nothing when they are there, replaces what is damaged. Call under the lock.
void publish_tokenizer(const Tokenizer& tokenizer, const std::string& folder, FileSystem& files);
// Whether each file is what was published; of a folder without checksums.json, by an older program, whether
// it has a tokenizer.json.
bool is_published_whole(const std::string& folder);

}  // namespace lathe
