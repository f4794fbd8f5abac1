#include <algorithm>

#include "recipes/schema/describe.h"
#include "recipes/schema/reader.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

struct Made {
  Json config;
  std::vector<RecipeProblem> problems;
  DecoderSpec spec() const { return family_of_config(config, "made").describe(config, "made"); }
};

Made make(const std::string& family, const std::string& size, const std::string& yaml,
          std::int64_t vocab = 8192, std::int64_t length = 512) {
  Made made;
  const RawSection section = parse_raw_section(yaml, "r.yaml", "model", made.problems);
  REQUIRE(made.problems.empty());
  FamilyInput input{&section, size, vocab, length, -1, 0, -1};
  made.config = family_by_name(family).from_recipe(input, made.problems);
  return made;
}

std::string only_problem(const Made& made) {
  REQUIRE(made.problems.size() == 1);
  const RecipeProblem& p = made.problems[0];
  return cat(p.place.file, ":", p.place.line, ":", p.place.column, ": ", p.text);
}

TEST_CASE("presets have about the parameters of their names") {
  struct Row {
    const char* size;
    double millions;
    std::int64_t vocab;
  };
  for (const Row& row : {Row{"1m", 1, 8192}, Row{"5m", 5, 8192}, Row{"15m", 15, 8192}, Row{"60m", 60, 8192},
                         Row{"125m", 125, 50257}, Row{"350m", 350, 50257}, Row{"1b", 1000, 32000}})
    for (const std::string family : {"llama", "gpt2", "mistral", "qwen2", "qwen3", "gemma2", "gemma3"}) {
      const Made made = make(family, row.size, "", row.vocab);
      REQUIRE(made.problems.empty());
      const double millions = static_cast<double>(parameter_count(made.spec())) / 1e6;
      INFO(family << " " << row.size << ": " << millions << " M");
      CHECK(millions > 0.9 * row.millions);
      CHECK(millions < 1.12 * row.millions);
      CHECK(made.spec().hidden_size % 32 == 0);
    }
  CHECK(parameter_count(make("gpt2", "125m", "", 50257, 1024).spec()) == 124'439'808);  // GPT-2 small
}

TEST_CASE("a Llama recipe becomes a complete config.json") {
  const Made made = make("llama", "5m", "rope_theta: 50000\nhead_dim: 32\nnum_hidden_layers: 3");
  REQUIRE(made.problems.empty());
  CHECK(made.config == Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8192, "bos_token_id": null,
    "eos_token_id": 0, "pad_token_id": null, "torch_dtype": "float32", "dtype": "float32", "use_cache": true,
    "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
    "rope_theta": 50000.0, "rope_scaling": null, "attention_dropout": 0.0, "tie_word_embeddings": true,
    "initializer_range": 0.02, "hidden_act": "silu", "attention_bias": false, "mlp_bias": false,
    "pretraining_tp": 1})"));
  CHECK(made.config["rope_theta"].is_number_float());  // transformers 5 checks types
}

TEST_CASE("without a size the widths are written, the rest is derived") {
  const Made made =
      make("llama", "",
           "hidden_size: 100\nnum_hidden_layers: 2\nnum_attention_heads: 5\nmax_position_embeddings: 2048");
  REQUIRE(made.problems.empty());
  CHECK(made.config["intermediate_size"] == 320);  // 266.7, up to a multiple of 64
  CHECK(made.config["num_key_value_heads"] == 5);
  CHECK(made.config["head_dim"] == 20);
  CHECK(made.config["max_position_embeddings"] == 2048);
}

TEST_CASE("a section of rotary scaling is written in transformers' words") {
  const Made made =
      make("llama", "5m",
           "rope_scaling: {rope_type: llama3, factor: 8, low_freq_factor: 1, high_freq_factor: 4, "
           "original_max_position_embeddings: 512}\nmax_position_embeddings: 4096");
  REQUIRE(made.problems.empty());
  CHECK(made.config["rope_scaling"] ==
        Json::parse(R"({"rope_type":"llama3","factor":8.0,"original_max_position_embeddings":512,
      "low_freq_factor":1.0,"high_freq_factor":4.0})"));
  CHECK(made.spec().rotary.scaling == RotaryScaling::Llama3);
  CHECK(make("llama", "5m", "rope_scaling: {rope_type: llama3, factor: 8}").problems.size() == 3);
  CHECK(only_problem(make("llama", "5m", "rope_scaling: {rope_type: linear, factor: 2, beta_fast: 3}"))
            .find("'beta_fast' has no meaning") != std::string::npos);
  CHECK(only_problem(make("llama", "5m", "rope_scaling: {factor: 2}")).find("needs a rope_type") !=
        std::string::npos);
}

TEST_CASE("a GPT-2 recipe") {
  const Made made =
      make("gpt2", "5m", "n_head: 8\nactivation_function: relu\nscale_attn_weights: false", 8192, 100);
  REQUIRE(made.problems.empty());
  CHECK(made.config["architectures"][0] == "GPT2LMHeadModel");
  CHECK(made.config["n_inner"] == 1024);
  CHECK(made.config["n_positions"] == 100);
  CHECK(made.config["resid_pdrop"] == 0.0);
  CHECK(made.spec().activation == Activation::Relu);
  CHECK(made.spec().attention_scale == 1);
  CHECK(made.spec().head_size == 32);
}

TEST_CASE("impossible shapes are problems at the place of the key") {
  CHECK(only_problem(
            make("llama", "5m", "rms_norm_eps: 1e-6\nnum_attention_heads: 6\nnum_key_value_heads: 3")) ==
        "r.yaml:2:22: model.num_attention_heads: 6 heads do not divide hidden_size 256");
  CHECK(only_problem(make("llama", "5m", "num_key_value_heads: 3")) ==
        "r.yaml:1:22: model.num_key_value_heads: 3 does not divide num_attention_heads 4");
  CHECK(only_problem(make("llama", "5m", "head_dim: 63")).find("r.yaml:1:11: model.head_dim: 63 is odd") ==
        0);
  CHECK(only_problem(make("llama", "", "hidden_size: 64")).find("set 'size'") != std::string::npos);
  CHECK(only_problem(make("gpt2", "5m", "n_head: 7"))
            .find("r.yaml:1:9: model.n_head: 7 heads do not divide n_embd 256") == 0);
}

TEST_CASE("unknown keys, wrong types and ranges come from the strict reader") {
  CHECK(only_problem(make("llama", "5m", "hiden_size: 64")).find("hidden_size") != std::string::npos);
  CHECK(make("llama", "5m", "hidden_size: wide\nnum_hidden_layers: 0").problems.size() == 2);
  CHECK(only_problem(make("gpt2", "5m", "hidden_size: 64")).find("hidden_size") != std::string::npos);
  CHECK(only_problem(make("llama", "7b", "")).find("'7b' is not known") != std::string::npos);
}

TEST_CASE("a family tells its keys") {
  const auto has = [](const char* family, const std::string& key) {
    return std::ranges::any_of(family_by_name(family).keys(), [&](const Field& f) { return f.key == key; });
  };
  for (const char* key : {"hidden_size", "rope_scaling", "tie_word_embeddings", "initializer_range"})
    CHECK(has("llama", key));
  CHECK(has("gpt2", "n_embd"));
  CHECK_FALSE(has("gpt2", "hidden_size"));
}

}  // namespace
}  // namespace lathe
