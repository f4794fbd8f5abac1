// The adapter of a text-to-picture model as a folder, and in the spellings of other programs: names, alphas
// and deltas against hand-computed ones.
#include "checkpoints/diffusion/lora_spelling.h"

#include <cmath>

#include "checkpoints/exporters/picture_lora.h"
#include "tests/unit/checkpoints/support.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

namespace lathe {
namespace {

using Values = std::vector<float>;

PeftAdapter adapter_on(const std::vector<std::string>& modules) {
  const PictureModel base = tiny::picture_model();
  PeftAdapter adapter;
  adapter.rank = 2;
  adapter.alpha = 3;
  adapter.base = "base";
  std::vector<ParameterInfo> infos = joint_transformer_parameters(base.transformer);
  for (ParameterInfo& info : infos) info.name = kTransformerPart + info.name;
  for (const ParameterInfo& info : clip_text_parameters(base.text_encoder))
    infos.push_back({kTextEncoderPart + info.name, info.shape});
  for (const std::string& module : modules)
    for (const ParameterInfo& info : infos) {
      if (info.name != module + ".weight") continue;
      const std::vector<ParameterInfo> factors{{module + ".lora_A.weight", {2, info.shape[1]}},
                                               {module + ".lora_B.weight", {info.shape[0], 2}}};
      for (BundleTensor& tensor :
           tiny::random_tensors(factors, static_cast<std::uint32_t>(adapter.tensors.size())))
        adapter.tensors.push_back(std::move(tensor));
    }
  REQUIRE(adapter.tensors.size() == 2 * modules.size());
  return adapter;
}

// scale * B A, row-major (out, in).
Values delta(const BundleTensor& a, const BundleTensor& b, double scale) {
  const Values av = values_of(a), bv = values_of(b);
  const auto r = static_cast<std::size_t>(a.shape[0]), in = static_cast<std::size_t>(a.shape[1]),
             out = static_cast<std::size_t>(b.shape[0]);
  Values sum(out * in);
  for (std::size_t o = 0; o < out; ++o)
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t k = 0; k < r; ++k)
        sum[o * in + i] += static_cast<float>(scale) * bv[o * r + k] * av[k * in + i];
  return sum;
}

Values delta_of(const std::vector<BundleTensor>& tensors, const std::string& a, const std::string& b,
                double scale) {
  return delta(find_tensor(tensors, a), find_tensor(tensors, b), scale);
}

void check_near(const Values& found, const Values& wanted) {
  REQUIRE(found.size() == wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - wanted[i]) < 1e-5F);
}

const std::string kBlock = "transformer.transformer_blocks.";

TEST_CASE(
    "queries, keys and values are one matrix in SD3's own names; one that has no adapter adds nothing") {
  const PeftAdapter adapter =
      adapter_on({kBlock + "0.attn.to_q", kBlock + "0.attn.to_v", kBlock + "0.ff.net.2"});
  const LoraFile kohya = spell_lora(adapter, tiny::picture_model(), LoraSpelling::Kohya, {"t", "", ""});
  const std::string fused = "lora_unet_joint_blocks_0_x_block_attn_qkv";
  const double alpha = values_of(find_tensor(kohya.tensors, fused + ".alpha")).at(0);
  CHECK(alpha == 6);  // 3 / 2 a rank, of 2 + 2 ranks
  const Values joined =
      delta_of(kohya.tensors, fused + ".lora_down.weight", fused + ".lora_up.weight", alpha / 4);
  const Values q = delta(adapter.tensors[0], adapter.tensors[1], 1.5),
               v = delta(adapter.tensors[2], adapter.tensors[3], 1.5);
  Values wanted = q;
  wanted.insert(wanted.end(), q.size(), 0.0F);
  wanted.insert(wanted.end(), v.begin(), v.end());
  check_near(joined, wanted);
  const std::string narrow = "lora_unet_joint_blocks_0_x_block_mlp_fc2";
  CHECK(values_of(find_tensor(kohya.tensors, narrow + ".alpha")) == Values{3});
  CHECK(values_of(find_tensor(kohya.tensors, narrow + ".lora_up.weight")) ==
        values_of(adapter.tensors[5]));  // bit for bit
  CHECK(kohya.metadata.at("ss_network_dim") == "2");
  CHECK(kohya.tensors.size() == 6);
}

TEST_CASE("the last block's text is told its shift first") {
  const PeftAdapter adapter =
      adapter_on({kBlock + "1.norm1_context.linear", kBlock + "0.norm1_context.linear"});
  const LoraFile file = spell_lora(adapter, tiny::picture_model(), LoraSpelling::ComfyUi, {"t", "", ""});
  const auto up = [&](int layer) {
    return values_of(find_tensor(file.tensors, cat("diffusion_model.joint_blocks.", layer,
                                                   ".context_block.adaLN_modulation.1.lora_B.weight")));
  };
  const Values last = values_of(adapter.tensors[1]);
  const auto half = static_cast<std::ptrdiff_t>(last.size() / 2);
  const Values swapped = up(1);
  CHECK(Values(swapped.begin(), swapped.begin() + half) == Values(last.begin() + half, last.end()));
  CHECK(up(0) == values_of(adapter.tensors[3]));
}

TEST_CASE("the text encoder's adapter is told for both of its places") {
  const PeftAdapter adapter = adapter_on({"text_encoder.text_model.encoder.layers.1.self_attn.q_proj"});
  const PictureModel base = tiny::picture_model();
  const auto has = [&](LoraSpelling spelling, const std::vector<std::string>& names) {
    const LoraFile file = spell_lora(adapter, base, spelling, {"t", "", ""});
    for (const std::string& name : names) CHECK(find_tensor(file.tensors, name).element_count() > 0);
  };
  has(LoraSpelling::Kohya, {"lora_te1_text_model_encoder_layers_1_self_attn_q_proj.lora_down.weight",
                            "lora_te2_text_model_encoder_layers_1_self_attn_q_proj.alpha"});
  has(LoraSpelling::ComfyUi,
      {"text_encoders.clip_l.transformer.text_model.encoder.layers.1.self_attn.q_proj.lora_A.weight",
       "text_encoders.clip_g.transformer.text_model.encoder.layers.1.self_attn.q_proj.lora_B.weight"});
  has(LoraSpelling::Diffusers, {"text_encoder.text_model.encoder.layers.1.self_attn.q_proj.lora_A.weight",
                                "text_encoder_2.text_model.encoder.layers.1.self_attn.q_proj.lora_B.weight"});
}

TEST_CASE("diffusers' file has no alpha: it is folded into B, and the header says so") {
  PeftAdapter adapter = adapter_on({kBlock + "0.attn.to_k"});
  for (const bool stabilised : {false, true}) {
    adapter.rank_stabilised = stabilised;
    const LoraFile file = spell_lora(adapter, tiny::picture_model(), LoraSpelling::Diffusers, {"t", "", ""});
    const std::string name = kBlock + "0.attn.to_k";
    check_near(delta_of(file.tensors, name + ".lora_A.weight", name + ".lora_B.weight", 1),
               delta(adapter.tensors[0], adapter.tensors[1], stabilised ? 3 / std::sqrt(2.0) : 1.5));
    const Json header = Json::parse(file.metadata.at("lora_adapter_metadata"));
    CHECK(header["transformer.lora_alpha"] == 2);
    CHECK(header["transformer.target_modules"] == Json::array({"transformer_blocks.0.attn.to_k"}));
  }
}

TEST_CASE(
    "a written file says the same changes; one that lacks a factor, scales otherwise or has more does not") {
  TemporaryFolder folder;
  const PictureModel network = tiny::picture_model();
  const PeftAdapter adapter =
      adapter_on({kBlock + "0.attn.to_q", kBlock + "0.attn.to_k", kBlock + "1.norm1_context.linear",
                  kBlock + "0.ff_context.net.0.proj", "text_encoder.text_model.encoder.layers.0.mlp.fc1"});
  for (const char* format : {"peft", "kohya", "comfyui"}) {
    INFO(format);
    const LoraSpelling spelling = lora_spelling(format);
    LoraFile file = spell_lora(adapter, network, spelling, {"t", "", ""});
    const std::string path = folder / (std::string(format) + ".safetensors");
    const auto error = [&](const std::vector<BundleTensor>& tensors, const PeftAdapter& wanted) {
      std::filesystem::remove(path);
      write_safetensors(path, tensors);
      return spelling_error(path, wanted, network, spelling);
    };
    CHECK(error(file.tensors, adapter) < 1e-6);
    PeftAdapter other = adapter;
    other.alpha = 3.3;
    CHECK(error(file.tensors, other) > 0.05);
    std::vector<BundleTensor> fewer = file.tensors, more = file.tensors;
    fewer.pop_back();
    more.push_back(counting("something.lora_A.weight", {2, 2}));
    CHECK_THROWS_WITH(error(fewer, adapter), testing::contains_text("lacks"));
    CHECK_THROWS_WITH(error(more, adapter), testing::contains_text("is nothing of the adapter"));
  }
}

TEST_CASE("a folder is read as it was written; what is not of the base is refused") {
  TemporaryFolder folder;
  const PictureModel base = tiny::picture_model();
  const PeftAdapter adapter =
      adapter_on({kBlock + "0.attn.to_k", "text_encoder.text_model.encoder.layers.0.mlp.fc1"});
  tiny::write_folder(folder.path(), picture_adapter_files(adapter, tiny::picture_model()));
  CHECK(is_picture_adapter(folder.path()));
  const PeftAdapter found = read_picture_adapter(folder.path(), base);
  CHECK(found.alpha == 3);
  CHECK(found.base == "base");
  REQUIRE(found.tensors.size() == 4);
  for (const BundleTensor& tensor : adapter.tensors)
    CHECK(values_of(find_tensor(found.tensors, tensor.name)) == values_of(tensor));

  const auto refused = [&](std::vector<BundleTensor> tensors, const std::string& why) {
    std::filesystem::remove(folder.path() + "/" + kPictureLora);
    write_safetensors(folder.path() + "/" + kPictureLora, tensors);
    CHECK_THROWS_WITH(read_picture_adapter(folder.path(), base), testing::contains_text(why));
  };
  const auto renamed = [&](std::size_t which, const std::string& name) {
    std::vector<BundleTensor> tensors = adapter.tensors;
    tensors[which].name = name;
    return tensors;
  };
  refused(renamed(0, kBlock + "7.attn.to_k.lora_A.weight"), "is of no layer of the base");
  refused(renamed(0, kBlock + "0.ff.net.2.lora_A.weight"), "has shape");
  refused(renamed(0, kBlock + "0.attn.to_k.weight"), "is no factor of an adapter");
  refused(renamed(2, "text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight"),
          "text encoders that differ");
}

TEST_CASE(
    "rounded to bf16 or fp16 the changes stay within half a unit in the last place; alphas are not rounded") {
  const TemporaryFolder folder;
  const PictureModel base = tiny::picture_model();
  PeftAdapter adapter = adapter_on({kBlock + "0.attn.to_q", kBlock + "1.norm1_context.linear",
                                    "text_encoder.text_model.encoder.layers.0.mlp.fc1"});
  adapter.rank_stabilised = true;  // an alpha that no short float has
  for (const auto& [dtype, most] :
       {std::pair(DType::BF16, 0x1p-8), {DType::F16, 0x1p-11}, {DType::F32, 1e-6}})
    for (const char* format : {"peft", "kohya", "comfyui"}) {
      INFO(format << " " << dtype_name(dtype));
      ExportOptions options;
      options.directory = folder / cat(format, dtype_name(dtype));
      options.dtype = dtype;
      const LoraSpelling spelling = lora_spelling(format);
      const double error = export_picture_lora(adapter, base, spelling, {"t", "", ""}, options);
      CHECK(error <= most);
      if (dtype != DType::F32) CHECK(error > most / 16);
      const bool peft = spelling == LoraSpelling::Diffusers;
      for (const BundleTensor& tensor :
           read_safetensors(options.directory + "/" + (peft ? kPictureLora : kSpelledLora)).tensors)
        CHECK(tensor.dtype == (tensor.name.ends_with(".alpha") ? DType::F32 : dtype));
    }
}

}  // namespace
}  // namespace lathe
