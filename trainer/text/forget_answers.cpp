#include "trainer/text/forget_answers.h"

#include <filesystem>

#include "data/io/file_system.h"
#include "data/io/json.h"

namespace lathe {

namespace fs = std::filesystem;

void forget_answers(const std::string& run) {
  std::error_code none;
  for (const auto& part : fs::directory_iterator(run + "/parts", none)) forget_answers(part.path().string());
  fs::remove(run + "/answers.json", none);
  const std::string path = run + "/base.json";
  if (!fs::exists(path)) return;
  Json base = read_json(path);
  if (!base.contains("answers")) return;
  for (const char* key : {"answers", "few_shot"}) base.erase(key);
  base[kForgotten] = true;
  write_file_atomically(path, base.dump(1) + "\n");
}

bool answers_forgotten(const std::string& run) {
  const std::string path = run + "/base.json";
  if (fs::exists(path) && read_json(path).contains(kForgotten)) return true;
  std::error_code none;  // folds: the run itself holds nothing out and asks nothing
  for (const auto& part : fs::directory_iterator(run + "/parts", none))
    if (answers_forgotten(part.path().string())) return true;
  return false;
}

}  // namespace lathe
