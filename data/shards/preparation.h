#pragma once
// prepare_data with its tools given: for tests, which fail the file system and count the tokenizer's work.
#include <functional>
#include <memory>
#include <string>

#include "data/io/file_system.h"
#include "data/shards/prepare.h"

namespace lathe {

struct PrepareTools {
  FileSystem* files = &real_file_system();
  std::function<std::unique_ptr<Tokenizer>(const std::string& path)> load_tokenizer;
  std::function<std::unique_ptr<Tokenizer>(DocumentStream&, const TokenizerTraining&)> train_tokenizer;
  ReadyCheck check = ReadyCheck::Sizes;
};

PreparedData prepare_data_with(const Recipe& recipe, const PrepareProgress& progress,
                               const PrepareTools& tools);

}  // namespace lathe
