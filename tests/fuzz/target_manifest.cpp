// Files that name other files: a checkpoint's MANIFEST.json, a shard index of safetensors, the data cache's
// prepared.json. Whatever they say, no name that is accepted leads out of their folder.
#include "data/io/plain_name.h"
#include "checkpoints/formats/safetensors.h"
#include "checkpoints/store/manifest.h"
#include "checkpoints/store/store.h"
#include "data/shards/manifest.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

bool stays_inside(const std::string& name) {
  return name.find('/') == name.npos && name != ".." && name != "." && !name.empty();
}

// The first byte says which file the rest is.
void run(std::string_view bytes) {
  static const InputFolder folder;
  if (bytes.empty()) return;
  const std::string_view content = bytes.substr(1);
  if (bytes[0] == 'i') {
    folder.put("model.safetensors.index.json", content);
    read_sharded(folder.path());
  } else if (bytes[0] == 'p') {
    folder.put("prepared.json", content);
    if (const auto manifest = read_manifest(folder.path(), folder.path())) {
      promise(stays_inside(manifest->tokenizer_folder));
      for (const auto& set : manifest->sets)
        for (const auto& shard : set.shards) promise(stays_inside(shard.file));
    }
  } else {
    folder.put(kManifestName, content);
    CheckpointStore::check(folder.path());
    for (const ManifestFile& file : read_checkpoint_manifest(folder.path()).files) {
      promise(stays_inside(file.name) && is_plain_path(file.name));
      promise(file.sha256.size() == 64);
    }
  }
}

std::vector<std::string> seeds() {
  const auto manifest = [](const std::string& name) {
    return "m{\"format\":\"lathe-checkpoint\",\"version\":1,\"step\":10,\"files\":[{\"name\":\"" + name +
           "\",\"size\":8,\"sha256\":\"" + std::string(64, 'a') + "\"}]}";
  };
  const auto index = [](const std::string& name) {
    return R"(i{"metadata":{"total_size":8},"weight_map":{"a":")" + name +
           R"(","b":"model-00002-of-00002.safetensors"}})";
  };
  const std::string ledger =
      R"({"documents_read":1,"documents_kept":1,"documents_duplicate":0,"documents_dropped":0,"bytes_read":1,"bytes_kept":1,)"
      R"("tokens_read":2,"tokens_kept":2,"tokens_truncated":0,"tokens_dropped":0,"rows":1,"row_tokens":1,"padded":0})";
  const auto prepared = [&](const std::string& name) {
    return R"(p{"version":1,"data_sha256":"x","tokenizer":")" + name +
           R"(","tokenizer_sha256":"y","sets":[{"name":"train","shards":[{"file":")" + name +
           R"(","bytes":3,"sha256":"z","source":0}],"ledger":)" + ledger + "}]}";
  };
  std::vector<std::string> all;
  for (const char* name :
       {"model.safetensors", "..", "../x", "/etc/passwd", "a/../../b", "", "a\\\\b", "\\u0000", "."}) {
    all.push_back(manifest(name));
    all.push_back(index(name));
    all.push_back(prepared(name));
  }
  return all;
}

}  // namespace

Target manifest_target() {
  return {"manifest",
          run,
          seeds,
          {"..", "/", "../", "\\u002e\\u002e\\u002f", "\\u0000", "-1", "18446744073709551616", "1.5", "null",
           "[]", "{}", "\"weight_map\"", "\"files\"", "\"name\"", "\"size\""},
          20000};
}

}  // namespace lathe::fuzz
