#pragma once
// Folders of captioned pictures, or a procedural world -> picture shards. Idempotent and restartable; the
// cache is content-addressed (data/shards/cache.h), so any change of pictures, captions, masks or settings
// gives another name. The bytes do not depend on the number of threads.
#include <cstdint>
#include <string>
#include <vector>

#include "data/io/file_system.h"
#include "data/io/json.h"
#include "data/shards/prepare.h"
#include "recipes/schema/recipe.h"

namespace lathe {

struct PictureSet {
  std::string name;                 // "train", "validation" or a named set
  std::vector<std::string> shards;  // those of one size (bucket) follow each other
  std::uint64_t pictures = 0;
  bool flip = false;  // each is also a row mirrored
  std::vector<std::uint32_t> repeats =
      {};  // of each source, how often an epoch sees its pictures; empty: once
};

struct PreparedPictures {
  std::string directory;  // content-addressed folder in the cache
  PictureSet train;
  std::vector<PictureSet> validation;
  std::vector<std::string> captions;  // of the training pictures, in order
  std::int64_t channels = 3, height = 0,
               width = 0;   // as the recipe names them; buckets have sizes of their own
  std::string data_sha256;  // of names, captions, masks and contents
  bool was_ready = false;
  Json ledger;                     // an object a set: files = kept + held_out + duplicates + damaged; buckets
  std::vector<std::string> notes;  // for the user, a line each
};

// Usage Errors: no source, a folder without pictures. Error when no picture is left to train on.
PreparedPictures prepare_pictures(const Recipe& recipe, const PrepareProgress& progress = {},
                                  ReadyCheck check = ReadyCheck::Sizes);
// The same with a file system given, for tests that let it fail.
PreparedPictures prepare_pictures_with(const Recipe& recipe, const PrepareProgress& progress,
                                       FileSystem& files, ReadyCheck check = ReadyCheck::Sizes);

}  // namespace lathe
