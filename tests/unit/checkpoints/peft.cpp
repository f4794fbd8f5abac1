#include "checkpoints/formats/peft.h"

#include "checkpoints/exporters/exporter.h"
#include "checkpoints/formats/safetensors.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

Bundle base_of(const std::string& family) {
  Bundle bundle;
  bundle.family = &family_by_name(family);
  std::vector<RecipeProblem> problems;
  bundle.config = bundle.family->from_recipe({nullptr, "1m", 7, 16, -1, 2, -1}, problems);
  REQUIRE(problems.empty());
  bundle.spec = bundle.family->describe(bundle.config, "test");
  return bundle;
}

std::vector<std::int64_t> shape_of(const Bundle& base, const std::string& name) {
  for (const ParameterInfo& info : decoder_parameters(base.spec))
    if (info.name == name) return info.shape;
  FAIL("no parameter " << name);
  return {};
}

PeftAdapter adapter_on(const Bundle& base, const std::vector<std::string>& modules, const std::string& kind = "lora") {
  PeftAdapter adapter;
  adapter.kind = kind;
  adapter.rank = 2;
  adapter.alpha = 3;
  adapter.base = "org/base";
  adapter.targets = {"all-linear"};
  for (const std::string& module : modules) {
    const auto shape = shape_of(base, module + ".weight");
    adapter.tensors.push_back(counting(module + ".lora_A.weight", {2, shape[1]}));
    adapter.tensors.push_back(counting(module + ".lora_B.weight", {shape[0], 2}, 5));
    if (kind == "dora") adapter.tensors.push_back(counting(module + ".lora_magnitude_vector.weight", {shape[0]}, 1));
  }
  return adapter;
}

std::vector<std::string> on_every_layer(const Bundle& base, const std::string& module) {
  std::vector<std::string> names;
  for (std::int64_t layer = 0; layer < base.spec.num_layers; ++layer)
    names.push_back("model.layers." + std::to_string(layer) + "." + module);
  return names;
}

ExportOptions options_for(const std::string& directory) {
  ExportOptions options;
  options.directory = directory;
  options.dtype = DType::F32;
  return options;
}

TEST_CASE("an adapter folder has PEFT's names, keys and values") {
  const ScratchFolder folder;
  const Bundle base = base_of("llama");
  const PeftAdapter adapter = adapter_on(base, on_every_layer(base, "self_attn.q_proj"), "dora");
  export_peft(base, adapter, options_for(folder / "out"));
  const Json config = Json::parse(get_file(folder / "out/adapter_config.json"));
  CHECK(config["peft_type"] == "LORA");
  CHECK(config["task_type"] == "CAUSAL_LM");
  CHECK(config["base_model_name_or_path"] == "org/base");
  CHECK(config["r"] == 2);
  CHECK(config["lora_alpha"].dump() == "3");   // PEFT declares an integer
  CHECK(config["use_dora"] == true);
  CHECK(config["use_rslora"] == false);
  CHECK(config["target_modules"] == Json::array({"q_proj"}));
  const auto tensors = read_safetensors(folder / "out/adapter_model.safetensors").tensors;
  CHECK(tensors.size() == adapter.tensors.size());
  const std::string place = "base_model.model.model.layers.0.self_attn.q_proj";
  CHECK(values_of(find_tensor(tensors, place + ".lora_A.weight")) == values_of(adapter.tensors[0]));
  CHECK(values_of(find_tensor(tensors, place + ".lora_B.weight")) == values_of(adapter.tensors[1]));
  CHECK(values_of(find_tensor(tensors, place + ".lora_magnitude_vector")) == values_of(adapter.tensors[2]));
  const PeftAdapter back = read_peft(folder / "out", *base.family, base.spec);
  CHECK(back.kind == "dora");
  CHECK(values_of(find_tensor(back.tensors, "model.layers.1.self_attn.q_proj.lora_B.weight")) ==
        values_of(find_tensor(adapter.tensors, "model.layers.1.self_attn.q_proj.lora_B.weight")));
}

TEST_CASE("targets are last names where all such modules are adapted, else full names") {
  const Bundle base = base_of("llama");
  std::vector<std::string> modules = on_every_layer(base, "mlp.up_proj");
  CHECK(peft_targets(adapter_on(base, modules), *base.family, base.spec) == std::vector<std::string>{"up_proj"});
  modules.push_back("model.layers.0.mlp.down_proj");
  const auto targets = peft_targets(adapter_on(base, modules), *base.family, base.spec);
  CHECK(targets.size() == modules.size());
  CHECK(targets.front() == "model.layers.0.mlp.down_proj");
}

TEST_CASE("GPT-2's fused and transposed tensors are refused for PEFT and kept for ourselves") {
  const ScratchFolder folder;
  const Bundle base = base_of("gpt2");
  for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"}) {
    const PeftAdapter adapter = adapter_on(base, {module});
    const std::string error = error_of([&] { export_peft(base, adapter, options_for(folder / "out")); });
    CHECK(error.find(cat("'", module, "' is stored fused with others or transposed there")) != std::string::npos);
    CHECK(error.find("export the merged model instead") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(folder / "out"));
    CHECK(peft_tensors(adapter, *base.family, base.spec, false)[0].name == cat("base_model.model.", module, ".lora_A.weight"));
  }
}

TEST_CASE("what would change the maths and is not supported is an error by name") {
  const ScratchFolder folder;
  const Json plain = peft_config(adapter_on(base_of("llama"), {}));
  const std::pair<const char*, Json> changes[] = {
      {"bias", "all"}, {"rank_pattern", {{"q_proj", 8}}}, {"alpha_pattern", {{"q_proj", 8}}}, {"lora_bias", true},
      {"modules_to_save", {"lm_head"}}, {"fan_in_fan_out", true}, {"layer_replication", {{0, 1}}},
      {"target_parameters", {"w"}}, {"alora_invocation_tokens", {1}}, {"use_qalora", true},
      {"init_lora_weights", "pissa"}, {"arrow_config", {{"top_k", 1}}}};
  for (const auto& [key, value] : changes) {
    Json config = plain;
    config[key] = value;
    put_file(folder / "adapter_config.json", config.dump());
    const std::string error = error_of([&] { read_peft_config(folder.path()); });
    INFO(error);
    CHECK(error.find(cat("'", key, "' is ")) != std::string::npos);
    config[key] = nullptr;
    put_file(folder / "adapter_config.json", config.dump());
    CHECK(read_peft_config(folder.path()).rank == 2);
  }
}

TEST_CASE("a tensor of another shape, or of a module that is not there, is an error") {
  const ScratchFolder folder;
  const Bundle base = base_of("llama");
  PeftAdapter adapter = adapter_on(base, {"model.layers.0.mlp.up_proj"});
  put_file(folder / "adapter_config.json", peft_config(adapter).dump());
  const auto error_with = [&](const BundleTensor& tensor) {
    write_safetensors(folder / "adapter_model.safetensors", {tensor});
    return error_of([&] { read_peft(folder.path(), *base.family, base.spec); });
  };
  const std::string place = "base_model.model.model.layers.0.mlp.up_proj";
  CHECK(error_with(counting(place + ".lora_A.weight", {3, 5})).find("the base and r = 2 want (2, ") != std::string::npos);
  CHECK(error_with(counting("base_model.model.model.layers.0.mlp.c_fc.lora_A.weight", {2, 5})).find("adapts a module that the "
        "base does not have") != std::string::npos);
  CHECK(error_with(counting(place + ".lora_B.bias", {5})).find("is no part of a LoRA adapter") != std::string::npos);
}

TEST_CASE("the card's commands fit the adapter") {
  PeftAdapter adapter;
  adapter.base = "org/base";
  adapter.rank = 20;
  CHECK(peft_commands(adapter, false)
            .find("vllm serve org/base --enable-lora --max-lora-rank 32 --lora-modules tuned=.") !=
        std::string::npos);
  adapter.kind = "dora";
  CHECK(peft_commands(adapter, false).find("--enable-lora") == std::string::npos);
  CHECK(peft_commands(adapter, false).find("export the merged model") != std::string::npos);
  CHECK(peft_commands(adapter, false).find("apply_chat_template") == std::string::npos);
  CHECK(peft_commands(adapter, true).find("apply_chat_template") != std::string::npos);
}

TEST_CASE("trained rows of tokens have PEFT's names and come back") {
  const ScratchFolder folder;
  const Bundle base = base_of("llama");
  PeftAdapter adapter = adapter_on(base, on_every_layer(base, "mlp.up_proj"));
  adapter.token_rows = {{"embed_tokens", {4, 5, 6}}, {"lm_head", {4, 5, 6}}};
  adapter.tensors.push_back(counting("model.embed_tokens.trainable_tokens", {3, base.spec.hidden_size}));
  adapter.tensors.push_back(counting("lm_head.trainable_tokens", {3, base.spec.hidden_size}, 9));
  export_peft(base, adapter, options_for(folder / "out"));
  const Json config = Json::parse(get_file(folder / "out/adapter_config.json"));
  CHECK(config["trainable_token_indices"].dump() == R"({"embed_tokens":[4,5,6],"lm_head":[4,5,6]})");
  CHECK(config["target_modules"] == Json::array({"up_proj"}));
  const auto tensors = read_safetensors(folder / "out/adapter_model.safetensors").tensors;
  const std::string end = ".token_adapter.trainable_tokens_delta";
  CHECK(values_of(find_tensor(tensors, "base_model.model.model.embed_tokens" + end)) ==
        values_of(find_tensor(adapter.tensors, "model.embed_tokens.trainable_tokens")));
  CHECK(values_of(find_tensor(tensors, "base_model.model.lm_head" + end)) ==
        values_of(find_tensor(adapter.tensors, "lm_head.trainable_tokens")));
  const PeftAdapter back = read_peft(folder / "out", *base.family, base.spec);
  CHECK(back.token_rows == adapter.token_rows);
  CHECK(values_of(find_tensor(back.tensors, "lm_head.trainable_tokens")) ==
        values_of(find_tensor(adapter.tensors, "lm_head.trainable_tokens")));

  // PEFT's other spelling is a plain list; ids without their rows, twice or of another table are errors.
  const auto with = [&](const Json& rows) {
    Json changed = config;
    changed["trainable_token_indices"] = rows;
    put_file(folder / "out/adapter_config.json", changed.dump());
    return read_peft(folder / "out", *base.family, base.spec);
  };
  CHECK_THROWS_AS(with(Json::array({4, 5, 6})), Error);  // the head's rows have no ids then
  CHECK_THROWS_AS(with({{"embed_tokens", {4, 5, 6}}, {"lm_head", {4, 5}}}), Error);
  CHECK_THROWS_AS(with({{"embed_tokens", {4, 5, 5}}, {"lm_head", {4, 5, 6}}}), Error);
  CHECK_THROWS_AS(with({{"embed_tokens", {4, 5, 6}}, {"q_proj", {4, 5, 6}}}), Error);
  CHECK_THROWS_AS(with({{"embed_tokens", {4, 5, -1}}, {"lm_head", {4, 5, 6}}}), Error);
}

}  // namespace
}  // namespace lathe
