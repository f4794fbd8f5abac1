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

PeftAdapter adapter_on(const Bundle& base, const std::vector<std::string>& modules,
                       const std::string& kind = "lora") {
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
    if (kind == "dora")
      adapter.tensors.push_back(counting(module + ".lora_magnitude_vector.weight", {shape[0]}, 1));
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
  const TemporaryFolder folder;
  const Bundle base = base_of("llama");
  const PeftAdapter adapter = adapter_on(base, on_every_layer(base, "self_attn.q_proj"), "dora");
  export_peft(base, adapter, options_for(folder / "out"));
  const Json config = Json::parse(read_bytes(folder / "out/adapter_config.json"));
  CHECK(config["peft_type"] == "LORA");
  CHECK(config["task_type"] == "CAUSAL_LM");
  CHECK(config["base_model_name_or_path"] == "org/base");
  CHECK(config["r"] == 2);
  CHECK(config["lora_alpha"].dump() == "3");  // PEFT declares an integer
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
  CHECK(peft_targets(adapter_on(base, modules), *base.family, base.spec) ==
        std::vector<std::string>{"up_proj"});
  modules.push_back("model.layers.0.mlp.down_proj");
  const auto targets = peft_targets(adapter_on(base, modules), *base.family, base.spec);
  CHECK(targets.size() == modules.size());
  CHECK(targets.front() == "model.layers.0.mlp.down_proj");
}

// (rows, columns) values of `tensor` from (row, column) on.
std::vector<float> block_of_values(const BundleTensor& tensor, std::int64_t row, std::int64_t rows,
                                   std::int64_t column, std::int64_t columns) {
  const std::vector<float> all = values_of(tensor);
  std::vector<float> out;
  for (std::int64_t i = row; i < row + rows; ++i) {
    for (std::int64_t j = column; j < column + columns; ++j)
      out.push_back(all[static_cast<std::size_t>(i * tensor.shape[1] + j)]);
  }
  return out;
}

TEST_CASE("GPT-2's queries, keys and values become one adapter of c_attn along the diagonal") {
  const TemporaryFolder folder;
  const Bundle base = base_of("gpt2");
  const std::int64_t width = base.spec.hidden_size;
  std::vector<std::string> modules = on_every_layer(base, "mlp.down_proj");
  for (const char* part : {"self_attn.q_proj", "self_attn.v_proj"}) {
    for (const std::string& name : on_every_layer(base, part)) modules.push_back(name);
  }
  const PeftAdapter adapter = adapter_on(base, modules);
  export_peft(base, adapter, options_for(folder / "out"));
  const Json config = Json::parse(read_bytes(folder / "out/adapter_config.json"));
  CHECK(config["fan_in_fan_out"] == true);
  CHECK(config["r"] == 2);
  CHECK(config["rank_pattern"].dump() == R"({"c_attn":6})");
  CHECK(config["alpha_pattern"].dump() == R"({"c_attn":9.0})");
  // c_proj is the attention's last name, too, and that one has no adapter.
  CHECK(config["target_modules"].size() == 2 * static_cast<std::size_t>(base.spec.num_layers));
  CHECK(config["target_modules"][0] == "transformer.h.0.attn.c_attn");
  const auto tensors = read_safetensors(folder / "out/adapter_model.safetensors").tensors;
  const BundleTensor a = find_tensor(tensors, "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"),
                     b = find_tensor(tensors, "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight");
  REQUIRE(a.shape == std::vector<std::int64_t>{6, width});
  REQUIRE(b.shape == std::vector<std::int64_t>{3 * width, 6});
  const auto part = [&](const char* name) {
    return find_tensor(adapter.tensors, cat("model.layers.0.self_attn.", name));
  };
  CHECK(block_of_values(a, 0, 2, 0, width) == values_of(part("q_proj.lora_A.weight")));
  CHECK(block_of_values(a, 4, 2, 0, width) == values_of(part("v_proj.lora_A.weight")));
  CHECK(block_of_values(a, 2, 2, 0, width) == std::vector<float>(static_cast<std::size_t>(2 * width)));
  CHECK(block_of_values(b, 0, width, 0, 2) == values_of(part("q_proj.lora_B.weight")));
  CHECK(block_of_values(b, 2 * width, width, 4, 2) == values_of(part("v_proj.lora_B.weight")));
  CHECK(block_of_values(b, 0, width, 2, 4) == std::vector<float>(static_cast<std::size_t>(4 * width)));
  CHECK(find_tensor(tensors, "base_model.model.transformer.h.1.mlp.c_proj.lora_A.weight").shape ==
        std::vector<std::int64_t>{2, 4 * width});
  const PeftAdapter back = read_peft(folder / "out", *base.family, base.spec);
  CHECK(back.tensors.size() == adapter.tensors.size());
  for (const BundleTensor& tensor : adapter.tensors)
    CHECK(values_of(find_tensor(back.tensors, tensor.name)) == values_of(tensor));
}

TEST_CASE("factors of c_attn that PEFT made give every part the same A; a mixture of ranks is an error") {
  const TemporaryFolder folder;
  const Bundle base = base_of("gpt2");
  const std::int64_t width = base.spec.hidden_size;
  const std::string place = "base_model.model.transformer.h.0.attn.c_attn";
  const auto read = [&](std::int64_t rank, std::int64_t written) {
    PeftAdapter adapter = adapter_on(base, {});
    adapter.rank = rank;
    write_text(folder / "adapter_config.json", peft_config(adapter).dump());
    write_safetensors(folder / "adapter_model.safetensors",
                      {counting(place + ".lora_A.weight", {written, width}, 1),
                       counting(place + ".lora_B.weight", {3 * width, written}, 1)},
                      {});
    return read_peft(folder.path(), *base.family, base.spec);
  };
  const PeftAdapter adapter = read(2, 2);
  CHECK(adapter.tensors.size() == 6);
  const BundleTensor whole = counting("b", {3 * width, 2}, 1);
  for (const auto& [part, row] :
       {std::pair<const char*, std::int64_t>{"q_proj", 0}, {"k_proj", width}, {"v_proj", 2 * width}}) {
    const std::string name = cat("model.layers.0.self_attn.", part);
    CHECK(values_of(find_tensor(adapter.tensors, name + ".lora_A.weight")) ==
          values_of(counting("a", {2, width}, 1)));
    CHECK(values_of(find_tensor(adapter.tensors, name + ".lora_B.weight")) ==
          block_of_values(whole, row, width, 0, 2));
  }
  CHECK(error_of([&] { read(2, 6); }).find("mixes its parts") != std::string::npos);
  CHECK(error_of([&] { read(2, 4); }).find("want rank 2 or 6") != std::string::npos);
}

TEST_CASE("DoRA on some parts of c_attn is refused, on all of them written; other places keep our names") {
  const TemporaryFolder folder;
  const Bundle base = base_of("gpt2");
  std::vector<std::string> parts = {"model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj"};
  const PeftAdapter some = adapter_on(base, parts, "dora");
  CHECK(error_of([&] { export_peft(base, some, options_for(folder / "out")); }).find("target all of them") !=
        std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "out"));
  CHECK(peft_tensors(some, *base.family, base.spec, false)[0].name ==
        cat("base_model.model.", parts[0], ".lora_A.weight"));
  parts.push_back("model.layers.0.self_attn.v_proj");
  const PeftAdapter all = adapter_on(base, parts, "dora");
  export_peft(base, all, options_for(folder / "out"));
  const auto tensors = read_safetensors(folder / "out/adapter_model.safetensors").tensors;
  CHECK(find_tensor(tensors, "base_model.model.transformer.h.0.attn.c_attn.lora_magnitude_vector").shape ==
        std::vector<std::int64_t>{3 * base.spec.hidden_size});
  const PeftAdapter back = read_peft(folder / "out", *base.family, base.spec);
  for (const BundleTensor& tensor : all.tensors)
    CHECK(values_of(find_tensor(back.tensors, tensor.name)) == values_of(tensor));
}

TEST_CASE("what would change the maths and is not supported is an error by name") {
  const TemporaryFolder folder;
  const Json plain = peft_config(adapter_on(base_of("llama"), {}));
  const std::pair<const char*, Json> changes[] = {{"bias", "all"},
                                                  {"rank_pattern", {{"q_proj", 8}}},
                                                  {"alpha_pattern", {{"q_proj", 8}}},
                                                  {"lora_bias", true},
                                                  {"modules_to_save", {"lm_head"}},
                                                  {"layer_replication", {{0, 1}}},
                                                  {"target_parameters", {"w"}},
                                                  {"alora_invocation_tokens", {1}},
                                                  {"use_qalora", true},
                                                  {"init_lora_weights", "pissa"},
                                                  {"arrow_config", {{"top_k", 1}}}};
  for (const auto& [key, value] : changes) {
    Json config = plain;
    config[key] = value;
    write_text(folder / "adapter_config.json", config.dump());
    const std::string error = error_of([&] { read_peft_config(folder.path()); });
    INFO(error);
    CHECK(error.find(cat("'", key, "' is ")) != std::string::npos);
    config[key] = nullptr;
    write_text(folder / "adapter_config.json", config.dump());
    CHECK(read_peft_config(folder.path()).rank == 2);
  }
}

TEST_CASE("a tensor of another shape, or of a module that is not there, is an error") {
  const TemporaryFolder folder;
  const Bundle base = base_of("llama");
  PeftAdapter adapter = adapter_on(base, {"model.layers.0.mlp.up_proj"});
  write_text(folder / "adapter_config.json", peft_config(adapter).dump());
  const auto error_with = [&](const BundleTensor& tensor) {
    write_safetensors(folder / "adapter_model.safetensors", {tensor});
    return error_of([&] { read_peft(folder.path(), *base.family, base.spec); });
  };
  const std::string place = "base_model.model.model.layers.0.mlp.up_proj";
  CHECK(error_with(counting(place + ".lora_A.weight", {3, 5})).find("the base and r = 2 want (2, ") !=
        std::string::npos);
  CHECK(error_with(counting("base_model.model.model.layers.0.mlp.c_fc.lora_A.weight", {2, 5}))
            .find("adapts a module that the "
                  "base does not have") != std::string::npos);
  CHECK(error_with(counting(place + ".lora_B.bias", {5})).find("is no part of a LoRA adapter") !=
        std::string::npos);
}

TEST_CASE("the card's commands fit the adapter") {
  PeftAdapter adapter;
  adapter.base = "org/base";
  adapter.rank = 20;
  const CardPrompt text{false, "It's?", "Q: It's?\nA:"}, chat{true, "Hello", "Hello"};
  const std::string asked = peft_commands(adapter, text);
  CHECK(asked.find("tokenizer(\"Q: It's?\\nA:\", return_tensors") != std::string::npos);
  CHECK(asked.find("llama-cli -m base.gguf --lora adapter.gguf -no-cnv -p 'Q: It'\\''s?\nA:'") !=
        std::string::npos);
  CHECK(asked.find("lathe generate . --prompt 'It'\\''s?'") != std::string::npos);
  CHECK(peft_commands(adapter, text)
            .find("vllm serve org/base --enable-lora --max-lora-rank 32 --lora-modules tuned=.") !=
        std::string::npos);
  CHECK(peft_commands(adapter, text, true).find("vllm serve") == std::string::npos);
  adapter.kind = "dora";
  CHECK(peft_commands(adapter, text).find("--enable-lora") == std::string::npos);
  CHECK(peft_commands(adapter, text).find("export the merged model") != std::string::npos);
  CHECK(peft_commands(adapter, text).find("apply_chat_template") == std::string::npos);
  CHECK(peft_commands(adapter, chat).find("apply_chat_template") != std::string::npos);
}

TEST_CASE("trained rows of tokens are named as the base's modules are") {
  const TemporaryFolder folder;
  const Bundle base = base_of("gpt2");  // its table of tokens is wte
  PeftAdapter adapter = adapter_on(base, on_every_layer(base, "mlp.up_proj"));
  adapter.token_rows = {{"embed_tokens", {4, 5}}};
  adapter.tensors.push_back(counting("model.embed_tokens.trainable_tokens", {2, base.spec.hidden_size}));
  export_peft(base, adapter, options_for(folder / "out"));
  const Json config = Json::parse(read_bytes(folder / "out/adapter_config.json"));
  CHECK(config["trainable_token_indices"].dump() == R"({"wte":[4,5]})");
  CHECK(read_peft(folder / "out", *base.family, base.spec).token_rows == adapter.token_rows);
}

TEST_CASE("trained rows of tokens have PEFT's names and come back") {
  const TemporaryFolder folder;
  const Bundle base = base_of("llama");
  PeftAdapter adapter = adapter_on(base, on_every_layer(base, "mlp.up_proj"));
  adapter.token_rows = {{"embed_tokens", {4, 5, 6}}, {"lm_head", {4, 5, 6}}};
  adapter.tensors.push_back(counting("model.embed_tokens.trainable_tokens", {3, base.spec.hidden_size}));
  adapter.tensors.push_back(counting("lm_head.trainable_tokens", {3, base.spec.hidden_size}, 9));
  export_peft(base, adapter, options_for(folder / "out"));
  const Json config = Json::parse(read_bytes(folder / "out/adapter_config.json"));
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
    write_text(folder / "out/adapter_config.json", changed.dump());
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
