#include "checkpoints/bundle/bundle.h"

#include <bit>
#include <cmath>

#include "checkpoints/formats/safetensors.h"
#include "tests/shared_data.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

const char* kTinyGpt2 =
    R"({"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"vocab_size":5,"n_embd":2,"n_layer":1,
                            "n_head":1,"n_positions":3,"n_inner":3})";
const char* kTinyLlama =
    R"({"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":5,"hidden_size":4,
  "intermediate_size":6,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"tie_word_embeddings":true})";

// Every tensor that transformers stores for kTinyGpt2, in its shapes.
std::vector<BundleTensor> gpt2_on_disk(const std::string& prefix = "transformer.") {
  const std::string h = prefix + "h.0.";
  return {counting(prefix + "wte.weight", {5, 2}),
          counting(prefix + "wpe.weight", {3, 2}, 100),
          counting(h + "ln_1.weight", {2}),
          counting(h + "ln_1.bias", {2}, 5),
          counting(h + "attn.c_attn.weight", {2, 6}),
          counting(h + "attn.c_attn.bias", {6}),
          counting(h + "attn.c_proj.weight", {2, 2}),
          counting(h + "attn.c_proj.bias", {2}),
          counting(h + "ln_2.weight", {2}),
          counting(h + "ln_2.bias", {2}),
          counting(h + "mlp.c_fc.weight", {2, 3}),
          counting(h + "mlp.c_fc.bias", {3}),
          counting(h + "mlp.c_proj.weight", {3, 2}, 50),
          counting(h + "mlp.c_proj.bias", {2}),
          counting(prefix + "ln_f.weight", {2}),
          counting(prefix + "ln_f.bias", {2})};
}
std::vector<BundleTensor> llama_on_disk() {
  const std::string layer = "model.layers.0.";
  return {counting("model.embed_tokens.weight", {5, 4}),
          counting(layer + "input_layernorm.weight", {4}),
          counting(layer + "self_attn.q_proj.weight", {4, 4}),
          counting(layer + "self_attn.k_proj.weight", {2, 4}),
          counting(layer + "self_attn.v_proj.weight", {2, 4}),
          counting(layer + "self_attn.o_proj.weight", {4, 4}),
          counting(layer + "post_attention_layernorm.weight", {4}),
          counting(layer + "mlp.gate_proj.weight", {6, 4}),
          counting(layer + "mlp.up_proj.weight", {6, 4}),
          counting(layer + "mlp.down_proj.weight", {4, 6}),
          counting("model.norm.weight", {4})};
}
Bundle read_folder(const char* config, const std::vector<BundleTensor>& tensors) {
  TemporaryFolder folder;
  write_text(folder / "config.json", config);
  write_sharded(folder.path(), tensors, 1 << 30);
  return read_bundle(folder.path());  // the mapping outlives the folder
}
std::string refusal(const char* config, const std::vector<BundleTensor>& tensors) {
  return error_of([&] { read_folder(config, tensors); });
}

TEST_CASE("GPT-2's fused and transposed tensors become ours") {
  for (const std::string prefix : {"transformer.", ""}) {
    auto tensors = gpt2_on_disk(prefix);
    tensors.push_back(memory_tensor(prefix + "h.0.attn.bias", DType::U8, {1, 1, 3, 3},
                                    block_of(std::vector<std::uint8_t>(9))));
    tensors.push_back(counting(prefix + "h.0.attn.masked_bias", {}));
    const Bundle bundle = read_folder(kTinyGpt2, tensors);
    CHECK(bundle.family->name == "gpt2");
    CHECK(bundle.tensors.size() == decoder_parameters(bundle.spec).size());
    const auto values = [&](const char* name) { return values_of(find_tensor(bundle.tensors, name)); };
    // c_attn.weight is (in 2, out 6): rows 0..5 and 6..11; q takes output columns 0 and 1.
    CHECK(values("model.layers.0.self_attn.q_proj.weight") == std::vector<float>{0, 6, 1, 7});
    CHECK(values("model.layers.0.self_attn.k_proj.weight") == std::vector<float>{2, 8, 3, 9});
    CHECK(values("model.layers.0.self_attn.v_proj.weight") == std::vector<float>{4, 10, 5, 11});
    CHECK(values("model.layers.0.self_attn.k_proj.bias") == std::vector<float>{2, 3});
    CHECK(values("model.layers.0.self_attn.o_proj.weight") == std::vector<float>{0, 2, 1, 3});
    CHECK(values("model.layers.0.mlp.up_proj.weight") == std::vector<float>{0, 3, 1, 4, 2, 5});
    CHECK(find_tensor(bundle.tensors, "model.layers.0.mlp.up_proj.weight").shape ==
          std::vector<std::int64_t>{3, 2});
    CHECK(values("model.layers.0.mlp.down_proj.weight") == std::vector<float>{50, 52, 54, 51, 53, 55});
    CHECK(values("model.layers.0.input_layernorm.bias") == std::vector<float>{5, 6});
    CHECK(values("model.position_embeddings.weight") == std::vector<float>{100, 101, 102, 103, 104, 105});
  }
}

TEST_CASE("internal tensors go back to disk as they came, one for one") {
  for (const bool gpt2 : {true, false}) {
    const auto before = gpt2 ? gpt2_on_disk() : llama_on_disk();
    const auto after = disk_tensors(read_folder(gpt2 ? kTinyGpt2 : kTinyLlama, before));
    REQUIRE(after.size() == before.size());
    for (const BundleTensor& tensor : before) {
      INFO(tensor.name);
      CHECK(find_tensor(after, tensor.name).shape == tensor.shape);
      CHECK(values_of(find_tensor(after, tensor.name)) == values_of(tensor));
    }
  }
}

TEST_CASE("a transpose larger than a tile, in two bytes an element") {
  const std::int64_t in = 70, out = 45;
  std::vector<std::uint16_t> values(static_cast<std::size_t>(in * 3 * out));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(i * 7);
  Family family;
  family.name = "test";
  family.names = [](const DecoderSpec&) {
    std::vector<NameRule> rules;
    for (const char* name : {"model.embed_tokens.weight", "model.norm.weight"})
      rules.push_back({name, {name}});
    rules.push_back({"qkv",
                     {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
                      "model.layers.0.self_attn.v_proj.weight"},
                     true});
    return rules;
  };
  DecoderSpec spec;
  spec.vocab_size = 1, spec.hidden_size = in, spec.num_layers = 1, spec.num_heads = spec.num_kv_heads = 1,
  spec.head_size = out;
  spec.intermediate_size = 1, spec.tie_embeddings = true;
  // Rules that leave parameters unnamed are an Error of the family; the parts named are looked at through
  // disk_tensors.
  std::map<std::string, BundleTensor> disk;
  disk["qkv"] = memory_tensor("qkv", DType::BF16, {in, 3 * out}, block_of(values));
  disk["model.embed_tokens.weight"] = counting("model.embed_tokens.weight", {1, in});
  disk["model.norm.weight"] = counting("model.norm.weight", {in});
  CHECK(error_of([&] { internal_tensors(family, spec, disk, "x"); }).find("names no tensor for") !=
        std::string::npos);
  family.names = [names = family.names](const DecoderSpec& s) {
    auto rules = names(s);
    for (const ParameterInfo& info : decoder_parameters(s)) {
      bool there = false;
      for (const NameRule& rule : rules)
        for (const std::string& name : rule.internal) there |= name == info.name;
      if (!there) rules.push_back({info.name, {info.name}});
    }
    return rules;
  };
  for (const ParameterInfo& info : decoder_parameters(spec))
    if (!disk.contains(info.name) && info.name.find("q_proj") == info.name.npos &&
        info.name.find("k_proj") == info.name.npos && info.name.find("v_proj") == info.name.npos)
      disk[info.name] = counting(info.name, info.shape);
  const auto tensors = internal_tensors(family, spec, disk, "x");
  const auto v = values_of<std::uint16_t>(find_tensor(tensors, "model.layers.0.self_attn.v_proj.weight"));
  std::size_t wrong = 0;
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t i = 0; i < in; ++i)
      wrong += v[static_cast<std::size_t>(o * in + i)] !=
               values[static_cast<std::size_t>(i * 3 * out + 2 * out + o)];
  CHECK(wrong == 0);
  Bundle bundle;
  bundle.family = &family;
  bundle.spec = spec;
  bundle.tensors = tensors;
  CHECK(values_of<std::uint16_t>(find_tensor(disk_tensors(bundle), "qkv")) == values);
}

TEST_CASE("a missing, surplus, misshapen or oddly typed tensor is an error by name") {
  auto tensors = llama_on_disk();
  tensors.pop_back();
  CHECK(refusal(kTinyLlama, tensors).find("'model.norm.weight' is missing") != std::string::npos);
  tensors = llama_on_disk();
  tensors.push_back(counting("model.layers.1.input_layernorm.weight", {4}));
  CHECK(refusal(kTinyLlama, tensors)
            .find("'model.layers.1.input_layernorm.weight' is no part of a llama model") !=
        std::string::npos);
  tensors = llama_on_disk();
  tensors[3] = counting("model.layers.0.self_attn.k_proj.weight", {4, 4});
  CHECK(refusal(kTinyLlama, tensors).find("k_proj.weight' has shape (4, 4), config.json wants (2, 4)") !=
        std::string::npos);
  tensors = llama_on_disk();
  tensors[1] = memory_tensor(tensors[1].name, DType::I32, {4}, tensors[1].bytes());
  CHECK(refusal(kTinyLlama, tensors).find("is I32, wanted F32") != std::string::npos);
  tensors = gpt2_on_disk();
  tensors[4] = counting("transformer.h.0.attn.c_attn.weight", {6, 2});
  CHECK(refusal(kTinyGpt2, tensors).find("has shape (6, 2), config.json wants (2, 6)") != std::string::npos);
}

TEST_CASE(
    "tying: an absent head is tied, an equal one is dropped, another one is an error, an untied one is "
    "needed") {
  auto tensors = llama_on_disk();
  CHECK(read_folder(kTinyLlama, tensors).spec.tie_embeddings);
  tensors.push_back(counting("lm_head.weight", {5, 4}));
  tensors.push_back(counting("model.layers.0.self_attn.rotary_emb.inv_freq", {1}));
  const Bundle tied = read_folder(kTinyLlama, tensors);
  CHECK(tied.tensors.size() == 11);
  CHECK(disk_tensors(tied).size() == 11);
  tensors[11] = counting("lm_head.weight", {5, 4}, 1);
  CHECK(refusal(kTinyLlama, tensors).find("set tie_word_embeddings to false") != std::string::npos);
  std::string untied = kTinyLlama;
  untied.replace(untied.find("true"), 4, "false");
  CHECK(values_of(find_tensor(read_folder(untied.c_str(), tensors).tensors, "lm_head.weight"))[0] == 1);
  CHECK(refusal(untied.c_str(), llama_on_disk()).find("'lm_head.weight' is missing") != std::string::npos);
}

TEST_CASE("splitting is lazy") {
  int reads = 0;
  std::map<std::string, BundleTensor> disk;
  for (BundleTensor& tensor : gpt2_on_disk()) {
    tensor.bytes = [&reads, source = tensor.bytes] { return ++reads, source(); };
    const std::string name = tensor.name;
    disk.emplace(name, std::move(tensor));
  }
  const Json config = Json::parse(kTinyGpt2);
  const Family& family = family_by_name("gpt2");
  Bundle bundle;
  bundle.family = &family;
  bundle.spec = family.describe(config, "x");
  bundle.tensors = internal_tensors(family, bundle.spec, disk, "x");
  const auto back = disk_tensors(bundle);
  CHECK(reads == 0);
  find_tensor(bundle.tensors, "model.layers.0.self_attn.k_proj.weight").bytes();
  CHECK(reads == 1);
  find_tensor(back, "transformer.h.0.attn.c_attn.weight").bytes();
  CHECK(reads == 4);
}

TEST_CASE("parts of a fused tensor must have one dtype, and a bundle must be complete") {
  Bundle bundle = read_folder(kTinyGpt2, gpt2_on_disk());
  for (BundleTensor& tensor : bundle.tensors)
    if (tensor.name.ends_with("k_proj.weight")) tensor = convert_tensor(tensor, DType::BF16);
  CHECK(error_of([&] { disk_tensors(bundle); }).find("must have one dtype") != std::string::npos);
  bundle.tensors.pop_back();
  CHECK(error_of([&] { disk_tensors(bundle); }).size() > 0);
}

TEST_CASE("folders that are none") {
  TemporaryFolder folder;
  CHECK(error_of([&] { read_bundle(folder / "absent"); }).find("there is none") != std::string::npos);
  write_text(folder / "file", "");
  CHECK(error_of([&] { read_bundle(folder / "file"); }).find("found a file") != std::string::npos);
  CHECK(error_of([&] { read_bundle(folder.path()); }).find("config.json") != std::string::npos);
}

// llama2.c's smallest trained model, where the shared data are.
TEST_CASE("a real Llama folder") {
  const std::string folder = test::shared_data("weights/stories260K");
  if (test::skipped_without(folder)) return;
  const Bundle bundle = read_bundle(folder);
  CHECK(parameter_count(bundle.spec) == 260'032);
  CHECK(bundle.spec.num_kv_heads == 4);
  CHECK(bundle.spec.tie_embeddings);
  double sum = 0;
  for (const BundleTensor& tensor : bundle.tensors)
    for (const float value : values_of(tensor)) {
      REQUIRE(std::isfinite(value));
      sum += std::abs(static_cast<double>(value));
    }
  CHECK(sum > 0);
}

}  // namespace
}  // namespace lathe
