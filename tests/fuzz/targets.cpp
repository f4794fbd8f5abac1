#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/target.h"
#include "tests/places.h"

namespace lathe::fuzz {

Target safetensors_target();
Target json_target();
Target tokenizer_json_target();
Target sentencepiece_target();
Target recipe_target();
Target shard_target();
Target manifest_target();
Target lines_target();
Target chat_template_target();
Target gguf_target();
Target picture_target();
Target picture_shard_target();
Target encoding_shard_target();
Target pipeline_target();

const std::vector<Target>& targets() {
  static const std::vector<Target> all = {safetensors_target(),    json_target(),    tokenizer_json_target(),
                                          sentencepiece_target(),  recipe_target(),  shard_target(),
                                          manifest_target(),       lines_target(),   chat_template_target(),
                                          gguf_target(),           picture_target(), picture_shard_target(),
                                          encoding_shard_target(), pipeline_target()};
  return all;
}

namespace {

std::string scratch_root() {
  std::error_code error;
  const auto memory = std::filesystem::space("/dev/shm", error);
  constexpr std::uintmax_t kEnough = 64 << 20;
  return !error && memory.available > kEnough ? "/dev/shm" : std::filesystem::temp_directory_path().string();
}

}  // namespace

InputFolder::InputFolder() {
  path_ = scratch_root() + "/lathe-fuzz-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) std::abort();
}

InputFolder::~InputFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string InputFolder::put(const std::string& name, std::string_view bytes) const {
  const std::string file = path_ + "/" + name;
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return file;
}

std::string read_source_file(const std::string& path_in_source) {
  std::ifstream in(test::source_folder() + "/" + path_in_source, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace lathe::fuzz
