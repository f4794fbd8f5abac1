#pragma once
// config.json from a GGUF file's metadata: what llama.cpp's keys of each architecture mean in Hugging Face's
// words.
#include <optional>
#include <string>

#include "checkpoints/formats/gguf.h"

namespace lathe {

// Metadata of one architecture, keys without its name.
class GgufKeys {
 public:
  GgufKeys(const GgufFile& file, std::string where) : file_(file), where_(std::move(where)) {
    architecture_ = text("general.architecture");
  }
  const std::string& architecture() const { return architecture_; }
  const GgufValue* find(const std::string& key) const {
    return find_gguf(file_.metadata, architecture_ + "." + key);
  }
  bool has(const std::string& key) const { return find(key) != nullptr; }

  // A whole number from 0 to 2^31, a finite number, a string; Error when absent without a fallback.
  std::int64_t number(const std::string& key, std::optional<std::int64_t> absent = {}) const;
  double real(const std::string& key, std::optional<double> absent = {}) const;
  std::string text(const std::string& whole_key) const;
  const std::string& where() const { return where_; }

 private:
  const GgufFile& file_;
  std::string where_, architecture_;
};

const GgufTensor* find_gguf_tensor(const GgufFile& file, const std::string& name);
Json gguf_config(const GgufKeys& keys, const GgufFile& file);

}  // namespace lathe
