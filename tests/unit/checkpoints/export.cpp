#include "checkpoints/exporters/exporter.h"

#include <cerrno>
#include <set>

#include "checkpoints/formats/safetensors.h"
#include "checkpoints/store/manifest.h"
#include "data/io/faulty_file_system.h"
#include "data/io/hash.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

namespace files = std::filesystem;

// The exporter only copies a tokenizer's files and asks for its special ids.
class FakeTokenizer : public Tokenizer {
 public:
  Encoding encode(std::string_view, const EncodeOptions&) const override { return {}; }
  std::string decode(const std::vector<TokenId>&, bool) const override { return {}; }
  std::size_t vocab_size() const override { return size_; }
  SpecialTokens special() const override { return {.bos = {}, .eos = 4, .pad = 3, .unk = {}}; }
  bool is_special(TokenId) const override { return false; }
  std::string token_text(TokenId) const override { return {}; }
  std::optional<TokenId> token_id(std::string_view) const override { return {}; }
  std::vector<TokenizerFile> files() const override { return {{"tokenizer_config.json", "{}\n"}}; }
  std::size_t size_ = 7;
};

// A model from memory, as the trainer hands it over.
Bundle bundle_of(const std::string& family, const std::string& changes = "{}") {
  Bundle bundle;
  bundle.family = &family_by_name(family);
  std::vector<RecipeProblem> problems;
  bundle.config = bundle.family->from_recipe({nullptr, "1m", 7, 16, -1, 2, -1}, problems);
  REQUIRE(problems.empty());
  bundle.config.update(Json::parse(changes));
  bundle.spec = bundle.family->describe(bundle.config, "test");
  float start = 0;
  for (const ParameterInfo& info : decoder_parameters(bundle.spec)) {
    BundleTensor tensor = counting(info.name, info.shape, start++);
    auto values = values_of(tensor);
    for (float& value : values)
      value = static_cast<float>(static_cast<int>(value) % 251) / 64;  // exact in bf16
    bundle.tensors.push_back(floats(info.name, info.shape, values));
  }
  return bundle;
}
ExportOptions options_for(const std::string& directory) {
  ExportOptions options;
  options.directory = directory;
  options.card = "# A model\n";
  options.reference = Json{{"prompts", Json::array()}};
  return options;
}

TEST_CASE("an export reads back to the same values in the dtype asked for") {
  for (const std::string family : {"llama", "gpt2", "mistral", "qwen2", "qwen3", "gemma2", "gemma3"})
    for (const DType dtype : {DType::BF16, DType::F32}) {
      TemporaryFolder folder;
      const Bundle bundle = bundle_of(family);
      ExportOptions options = options_for(folder / "out");
      options.dtype = dtype;
      export_huggingface(bundle, options);
      const Json config = Json::parse(read_bytes(folder / "out/config.json"));
      CHECK(config["torch_dtype"] == torch_dtype_name(dtype));
      CHECK(config["dtype"] == torch_dtype_name(dtype));
      CHECK(config["architectures"] == bundle.config["architectures"]);
      const Bundle back = read_bundle(folder / "out");
      REQUIRE(back.tensors.size() == bundle.tensors.size());
      for (std::size_t i = 0; i < back.tensors.size(); ++i) {
        CHECK(back.tensors[i].dtype == dtype);
        CHECK(values_of(convert_tensor(back.tensors[i], DType::F32)) == values_of(bundle.tensors[i]));
      }
      CHECK(read_bytes(folder / "out/README.md") == "# A model\n");
      CHECK(Json::parse(read_bytes(folder / "out/reference.json")).contains("prompts"));
    }
}

TEST_CASE("a tied head is stored once") {
  TemporaryFolder folder;
  export_huggingface(bundle_of("llama"), options_for(folder / "out"));
  CHECK_FALSE(read_sharded(folder / "out").contains("lm_head.weight"));
  export_huggingface(bundle_of("llama", R"({"tie_word_embeddings":false})"), options_for(folder / "untied"));
  CHECK(read_sharded(folder / "untied").contains("lm_head.weight"));
}

TEST_CASE("the manifest lists every file with its hash") {
  TemporaryFolder folder;
  ExportOptions options = options_for(folder / "out");
  options.max_shard_bytes = 100'000;
  export_huggingface(bundle_of("llama"), options);
  std::set<std::string> listed{"MANIFEST.json"};
  for (const ManifestFile& file : read_checkpoint_manifest(folder / "out").files) {
    listed.insert(file.name);
    CHECK(sha256_hex(read_bytes(folder / ("out/" + file.name))) == file.sha256);
  }
  CHECK(listed.contains("model.safetensors.index.json"));
  for (const auto& entry : files::directory_iterator(folder / "out"))
    CHECK(listed.contains(entry.path().filename().string()));
}

TEST_CASE("generation_config.json holds every stop id") {
  TemporaryFolder folder;
  Bundle bundle = bundle_of("llama", R"({"eos_token_id":[2,5],"bos_token_id":1})");
  auto tokenizer = std::make_shared<FakeTokenizer>();
  bundle.tokenizer = tokenizer;
  bundle.generation_config = Json{{"eos_token_id", 6}, {"temperature", 0.5}};
  export_huggingface(bundle, options_for(folder / "out"));
  CHECK(Json::parse(read_bytes(folder / "out/generation_config.json")) ==
        Json::parse(R"({"eos_token_id":[6,2,5,4],"temperature":0.5,"bos_token_id":1,"pad_token_id":3})"));
  CHECK(read_bytes(folder / "out/tokenizer_config.json") == "{}\n");
  tokenizer->size_ = 8;
  CHECK(error_of([&] { export_huggingface(bundle, options_for(folder / "out2")); }).find("only 7 rows") !=
        std::string::npos);
  export_huggingface(bundle_of("llama"), options_for(folder / "plain"));
  CHECK(Json::parse(read_bytes(folder / "plain/generation_config.json")) ==
        Json::parse(R"({"eos_token_id":2})"));
}

TEST_CASE("a config of transformers 5 gets the spelling of 4 as well") {
  TemporaryFolder folder;
  Bundle bundle = bundle_of("llama");
  bundle.config.erase("rope_theta");
  bundle.config.erase("rope_scaling");
  bundle.config["rope_parameters"] =
      Json::parse(R"({"rope_type":"linear","factor":2.0,"rope_theta":5000.0})");
  export_huggingface(bundle, options_for(folder / "out"));
  const Json config = Json::parse(read_bytes(folder / "out/config.json"));
  CHECK(config["rope_theta"] == 5000.0);
  CHECK(config["rope_scaling"] == Json::parse(R"({"rope_type":"linear","factor":2.0})"));
  CHECK(read_bundle(folder / "out").spec.rotary.theta == 5000);
}

TEST_CASE("what is there is not overwritten") {
  TemporaryFolder folder;
  const Bundle bundle = bundle_of("llama");
  const auto refused = [&](const std::string& name, bool overwrite) {
    ExportOptions options = options_for(folder / name);
    options.overwrite = overwrite;
    return error_of([&] { export_huggingface(bundle, options); });
  };
  files::create_directory(folder / "mine");
  write_text(folder / "mine/thesis.txt", "x");
  CHECK(refused("mine", true).find("not an export of this program") != std::string::npos);
  CHECK(read_bytes(folder / "mine/thesis.txt") == "x");
  write_text(folder / "file", "x");
  CHECK(refused("file", true).find("not a folder") != std::string::npos);
  files::create_directory_symlink(folder / "mine", folder / "link");
  CHECK(refused("link", true).find("not a folder") != std::string::npos);

  export_huggingface(bundle, options_for(folder / "out"));
  CHECK(refused("out", false).find("--overwrite") != std::string::npos);
  write_text(folder / "out/notes.txt", "x");
  CHECK(refused("out", true).find("notes.txt: is not part of the export") != std::string::npos);
  files::remove(folder / "out/notes.txt");
  ExportOptions options = options_for(folder / "out/");
  options.overwrite = true;
  options.card = "# Another\n";
  export_huggingface(bundle, options);
  CHECK(read_bytes(folder / "out/README.md") == "# Another\n");
  CHECK(std::distance(files::directory_iterator(folder.path()), files::directory_iterator()) == 4);
  files::create_directory(folder / "empty");
  export_huggingface(bundle, options_for(folder / "empty"));
  CHECK(files::exists(folder / "empty/model.safetensors"));
}

TEST_CASE("a disk that fails at any call leaves the old export and nothing else") {
  const Bundle bundle = bundle_of("llama");
  for (std::size_t n = 1;; ++n) {
    TemporaryFolder folder;
    export_huggingface(bundle, options_for(folder / "out"));
    FaultyFileSystem fs(folder.path());
    fs.fail_at(n, ENOSPC);
    ExportOptions options = options_for(folder / "out");
    options.overwrite = true;
    options.card = "# New\n";
    options.file_system = &fs;
    bool finished = true;
    try {
      export_huggingface(bundle, options);
    } catch (const Error&) {
      finished = false;
    }
    const std::string card = read_bytes(folder / "out/README.md");
    REQUIRE((card == "# New\n" || card == "# A model\n"));
    REQUIRE(check_manifest(folder / "out", read_checkpoint_manifest(folder / "out"), ManifestCheck::Hashes)
                .empty());
    if (n > fs.calls()) {
      REQUIRE(finished);
      REQUIRE(card == "# New\n");
      break;
    }
  }
}

TEST_CASE("a model that cannot be written leaves no folder") {
  TemporaryFolder folder;
  Bundle bundle = bundle_of("llama");
  bundle.tensors[3].bytes = []() -> ByteBlock { fail("the disk of the base is gone"); };
  CHECK(error_of([&] { export_huggingface(bundle, options_for(folder / "out")); }) ==
        "the disk of the base is gone");
  CHECK(files::is_empty(folder.path()));
}

}  // namespace
}  // namespace lathe
