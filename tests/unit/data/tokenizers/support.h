#pragma once
// Shared by the tokenizer tests.
#include <string>
#include <vector>

#include "data/tokenizers/tokenizer.h"

namespace lathe::test {

class Documents : public DocumentStream {
 public:
  explicit Documents(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  bool next(std::string& text) override {
    if (at_ == texts_.size()) return false;
    text = texts_[at_++];
    return true;
  }
  void reset() override { at_ = 0; }

 private:
  std::vector<std::string> texts_;
  std::size_t at_ = 0;
};

}  // namespace lathe::test
