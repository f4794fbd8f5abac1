// Stable Diffusion: its folder, its single file under the original names, and the sizes that were published.
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "checkpoints/diffusion/lora_spelling.h"
#include "checkpoints/diffusion/original_names.h"
#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/diffusion/single_file.h"
#include "checkpoints/exporters/picture_lora.h"
#include "tests/unit/checkpoints/support.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

namespace lathe {
namespace {

std::int64_t size_of(const std::vector<ParameterInfo>& infos) {
  std::int64_t sum = 0;
  for (const ParameterInfo& info : infos) {
    std::int64_t size = 1;
    for (const std::int64_t side : info.shape) size *= side;
    sum += size;
  }
  return sum;
}

UNet2DSpec published_unet() {
  return read_unet_2d_condition(Json{{"cross_attention_dim", 768}, {"attention_head_dim", 8}}, "here");
}

void check_same_tensors(PictureModel found, PictureModel wanted) {
  const auto a = found.parts(), b = wanted.parts();
  REQUIRE(a.size() == 3);
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].tensors->size() == b[i].tensors->size());
    for (std::size_t k = 0; k < a[i].tensors->size(); ++k) {
      INFO((*b[i].tensors)[k].name);
      CHECK((*a[i].tensors)[k].shape == (*b[i].tensors)[k].shape);
      CHECK(values_of((*a[i].tensors)[k]) == values_of((*b[i].tensors)[k]));
    }
  }
}

// A single file and its tokenizer in a folder; returns the file.
std::string write_single(const std::string& folder, const PictureModel& model,
                         const std::vector<BundleTensor>& tensors) {
  std::vector<CheckpointFile> files;
  for (const CheckpointFile& file : pipeline_files(model))
    if (file.name.starts_with("tokenizer/")) files.push_back(file);
  tiny::write_folder(folder, files);
  write_safetensors(folder + "/model.safetensors", tensors, single_file_metadata(model, "tiny"));
  return folder + "/model.safetensors";
}

TEST_CASE("Stable Diffusion 1 has as many parameters as were published") {
  const auto unet = unet_2d_parameters(published_unet());
  CHECK(unet.size() == 686);
  CHECK(size_of(unet) == 859'520'964);
  AutoencoderSpec vae;
  CHECK(autoencoder_parameters(vae).size() == 248);
  CHECK(size_of(autoencoder_parameters(vae)) == 83'653'863);
  ClipTextSpec text;
  text.hidden_size = 768;
  text.intermediate_size = 3072;
  text.num_heads = 12;
  CHECK(clip_text_parameters(text).size() == 196);
  CHECK(size_of(clip_text_parameters(text)) == 123'060'480);
  const Json second{{"cross_attention_dim", 1024},
                    {"attention_head_dim", {5, 10, 20, 20}},
                    {"use_linear_projection", true}};
  CHECK(size_of(unet_2d_parameters(read_unet_2d_condition(second, "here"))) == 865'910'724);
  text.hidden_size = 1024;
  text.intermediate_size = 4096;
  text.num_layers = 23;
  CHECK(size_of(clip_text_parameters(text)) == 340'387'840);
}

TEST_CASE("Stable Diffusion's folder carries diffusers' names and is read back") {
  const PictureModel model = tiny::stable_diffusion();
  std::map<std::string, CheckpointFile> files;
  for (const CheckpointFile& file : pipeline_files(model)) files.emplace(file.name, file);
  const Json index = Json::parse(files.at("model_index.json").text);
  CHECK(index["_class_name"] == "StableDiffusionPipeline");
  CHECK(index["unet"] == Json::array({"diffusers", "UNet2DConditionModel"}));
  CHECK(index["vae"] == Json::array({"diffusers", "AutoencoderKL"}));
  CHECK(index["text_encoder"] == Json::array({"transformers", "CLIPTextModel"}));
  CHECK(index["safety_checker"] == Json::array({nullptr, nullptr}));
  CHECK(index["scheduler"] == Json::array({"diffusers", "DDIMScheduler"}));
  const TemporaryFolder folder;
  tiny::write_folder(folder / "sd", pipeline_files(model));
  const PictureModel found = read_pipeline(folder / "sd");
  CHECK(unet_2d_config(*found.unet) == unet_2d_config(*model.unet));
  CHECK(autoencoder_config(*found.vae) == autoencoder_config(*model.vae));
  CHECK(clip_text_config(found.text_encoder) == clip_text_config(model.text_encoder));
  CHECK(found.channels() == 3);
  CHECK(found.sample_size() == 16);
  CHECK(found.by_text());
  check_same_tensors(found, model);

  // As transformers 5 saves a CLIPTextModel.
  std::vector<BundleTensor> shorter = model.text_tensors;
  for (BundleTensor& tensor : shorter) tensor.name = tensor.name.substr(std::string("text_model.").size());
  std::filesystem::remove(folder / "sd/text_encoder/model.safetensors");
  write_safetensors(folder / "sd/text_encoder/model.safetensors", shorter);
  check_same_tensors(read_pipeline(folder / "sd"), model);
}

TEST_CASE("parts of Stable Diffusion that do not fit are refused by what is wrong") {
  const auto changed = [](const std::function<void(PictureModel&)>& change) {
    PictureModel model = tiny::stable_diffusion();
    change(model);
    return error_of([&] { pipeline_files(model); });
  };
  CHECK_THAT(changed([](auto& m) { m.unet->in_channels = 8; }), testing::contains_text("masked pictures"));
  CHECK_THAT(changed([](auto& m) { m.unet->in_channels = 9; }), testing::contains_text("conv_in.weight"));
  CHECK_THAT(changed([](auto& m) { m.vae->latent_channels = 5; }), testing::contains_text("latent_channels"));
  CHECK_THAT(changed([](auto& m) { m.unet->cross->context_channels = 63; }),
             testing::contains_text("cross_attention_dim"));
  CHECK_THAT(changed([](auto& m) { m.vae_tensors.pop_back(); }), testing::contains_text("/vae"));
  CHECK_THAT(changed([](auto& m) { m.tokenizer = nullptr; }), testing::contains_text("tokenizer"));
}

TEST_CASE("parameters have the original names that were published") {
  const UNet2DSpec unet = published_unet();
  const std::pair<const char*, const char*> kUNet[] = {
      {"conv_in.weight", "input_blocks.0.0.weight"},
      {"time_embedding.linear_2.bias", "time_embed.2.bias"},
      {"down_blocks.0.resnets.0.norm1.weight", "input_blocks.1.0.in_layers.0.weight"},
      {"down_blocks.1.attentions.1.transformer_blocks.0.attn2.to_k.weight",
       "input_blocks.5.1.transformer_blocks.0.attn2.to_k.weight"},
      {"down_blocks.2.downsamplers.0.conv.weight", "input_blocks.9.0.op.weight"},
      {"down_blocks.3.resnets.1.conv2.bias", "input_blocks.11.0.out_layers.3.bias"},
      {"mid_block.attentions.0.proj_in.weight", "middle_block.1.proj_in.weight"},
      {"mid_block.resnets.1.time_emb_proj.weight", "middle_block.2.emb_layers.1.weight"},
      {"up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"},
      {"up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"},
      {"up_blocks.3.resnets.2.conv_shortcut.bias", "output_blocks.11.0.skip_connection.bias"},
      {"conv_norm_out.weight", "out.0.weight"},
      {"conv_out.bias", "out.2.bias"}};
  for (const auto& [name, original] : kUNet) CHECK(original_unet_name(name, unet) == original);
  const std::pair<const char*, const char*> kVae[] = {
      {"encoder.conv_in.weight", "encoder.conv_in.weight"},
      {"encoder.down_blocks.1.resnets.0.conv_shortcut.weight", "encoder.down.1.block.0.nin_shortcut.weight"},
      {"encoder.down_blocks.0.downsamplers.0.conv.bias", "encoder.down.0.downsample.conv.bias"},
      {"encoder.mid_block.resnets.1.conv2.weight", "encoder.mid.block_2.conv2.weight"},
      {"decoder.mid_block.attentions.0.to_out.0.weight", "decoder.mid.attn_1.proj_out.weight"},
      {"decoder.mid_block.attentions.0.group_norm.bias", "decoder.mid.attn_1.norm.bias"},
      {"decoder.up_blocks.0.resnets.2.norm1.weight", "decoder.up.3.block.2.norm1.weight"},
      {"decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.up.1.upsample.conv.weight"},
      {"encoder.conv_norm_out.bias", "encoder.norm_out.bias"},
      {"post_quant_conv.weight", "post_quant_conv.weight"}};
  for (const auto& [name, original] : kVae) CHECK(original_vae_name(name, AutoencoderSpec{}) == original);
  std::set<std::string> different;
  const auto all = unet_2d_parameters(unet);
  for (const ParameterInfo& info : all) different.insert(original_unet_name(info.name, unet));
  CHECK(different.size() == all.size());
}

TEST_CASE("a single file is read as what it was written from") {
  PictureModel model = tiny::stable_diffusion();
  const std::vector<BundleTensor> tensors = single_file_tensors(model);
  const auto query = std::find_if(tensors.begin(), tensors.end(), [](const BundleTensor& t) {
    return t.name == "first_stage_model.encoder.mid.attn_1.q.weight";
  });
  REQUIRE(query != tensors.end());
  CHECK(query->shape == std::vector<std::int64_t>{32, 32, 1, 1});
  const TemporaryFolder folder;
  const PictureModel found = read_pipeline(write_single(folder / "one", model, tensors));
  CHECK(unet_2d_config(*found.unet) == unet_2d_config(*model.unet));
  CHECK(autoencoder_config(*found.vae) == autoencoder_config(*model.vae));
  CHECK(found.prediction == Prediction::Epsilon);
  CHECK(found.schedule.beta_end == 0.012);
  check_same_tensors(found, model);
  model.prediction = Prediction::Velocity;
  CHECK(read_pipeline(write_single(folder / "two", model, tensors)).prediction == Prediction::Velocity);
}

TEST_CASE("version 2's single file has OpenCLIP's names, queries, keys and values below each other") {
  const PictureModel model = tiny::stable_diffusion(true);
  std::vector<BundleTensor> tensors = single_file_tensors(model);
  const std::string root = "cond_stage_model.model.", block = root + "transformer.resblocks.1.";
  std::set<std::string> names;
  for (const BundleTensor& tensor : tensors)
    if (tensor.name.starts_with(root)) names.insert(tensor.name.substr(root.size()));
  std::set<std::string> wanted{"token_embedding.weight", "positional_embedding", "ln_final.weight",
                               "ln_final.bias"};
  for (const char* layer : {"transformer.resblocks.0.", "transformer.resblocks.1."})
    for (const char* part : {"ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias", "attn.in_proj_weight",
                             "attn.in_proj_bias", "attn.out_proj.weight", "attn.out_proj.bias",
                             "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"})
      wanted.insert(std::string(layer) + part);
  CHECK(names == wanted);
  std::vector<float> rows;
  for (const char* part : {"q", "k", "v"}) {
    const auto some = values_of(
        find_tensor(model.text_tensors, cat("text_model.encoder.layers.1.self_attn.", part, "_proj.weight")));
    rows.insert(rows.end(), some.begin(), some.end());
  }
  CHECK(values_of(find_tensor(tensors, block + "attn.in_proj_weight")) == rows);

  const TemporaryFolder folder;
  const PictureModel found = read_pipeline(write_single(folder / "one", model, tensors));
  CHECK(unet_2d_config(*found.unet) == unet_2d_config(*model.unet));
  CHECK(clip_text_config(found.text_encoder)["hidden_act"] == "gelu");
  CHECK(found.prediction == Prediction::Velocity);
  check_same_tensors(found, model);
  PictureModel noise = model;
  noise.prediction = Prediction::Epsilon;
  CHECK(read_pipeline(write_single(folder / "noise", noise, tensors)).prediction == Prediction::Epsilon);

  // The whole of OpenCLIP, as it was published: the last layer and what stands behind it are not read.
  const std::size_t written = tensors.size();
  for (std::size_t i = 0; i < written; ++i)
    if (tensors[i].name.starts_with(block)) {
      BundleTensor last = tensors[i];
      last.name = cat(root, "transformer.resblocks.2.", last.name.substr(block.size()));
      tensors.push_back(last);
    }
  tensors.push_back(floats(root + "text_projection", {1, 1}, {1}));
  tensors.push_back(floats(root + "logit_scale", {1}, {1}));
  check_same_tensors(read_pipeline(write_single(folder / "whole", model, tensors)), model);
}

TEST_CASE("a single file that cannot be read is refused by the tensor") {
  const PictureModel model = tiny::stable_diffusion();
  const TemporaryFolder folder;
  int number = 0;
  const auto changed = [&](const std::function<void(std::vector<BundleTensor>&)>& change) {
    std::vector<BundleTensor> tensors = single_file_tensors(model);
    change(tensors);
    const std::string file = write_single(folder / std::to_string(number++), model, tensors);
    return error_of([&] { read_pipeline(file); });
  };
  CHECK_THAT(changed([](auto& t) { t.erase(t.begin() + 8); }), testing::contains_text("is missing"));
  CHECK_THAT(changed([](auto& t) { t.front().name = "model.diffusion_model.more.weight"; }),
             testing::contains_text("input_blocks.0.0.weight"));
  CHECK_THAT(changed([](auto& t) {
               t.push_back(t.front());
               t.back().name = "control_model.weight";
             }),
             testing::contains_text("control_model.weight"));
  // What the training code kept beside the weights is nothing of the networks.
  std::vector<BundleTensor> more = single_file_tensors(model);
  more.push_back(more.front());
  more.back().name = "model_ema.decay";
  CHECK_NOTHROW(read_pipeline(write_single(folder / "more", model, more)));
  CHECK_THAT(error_of([&] {
               const std::string file = write_single(folder / "bare", model, single_file_tensors(model));
               std::filesystem::remove_all(folder / "bare/tokenizer");
               read_pipeline(file);
             }),
             testing::contains_text("tokenizer"));
}

TEST_CASE("an adapter of the UNet is spelled as each program names its modules") {
  const PictureModel base = tiny::stable_diffusion();
  const std::string block = "unet.up_blocks.1.attentions.1.transformer_blocks.0.";
  PeftAdapter adapter;
  adapter.rank = 2;
  adapter.alpha = 3;
  adapter.base = "base";
  float start = 1;
  const auto add = [&](const std::string& module, std::int64_t in, std::int64_t out) {
    adapter.tensors.push_back(counting(module + ".lora_A.weight", {2, in}, start += 1));
    adapter.tensors.push_back(counting(module + ".lora_B.weight", {out, 2}, start += 1));
  };
  add(block + "attn2.to_k", 64, 32);
  add("text_encoder.text_model.encoder.layers.0.mlp.fc1", 64, 24);
  const auto names = [&](LoraSpelling spelling) {
    std::set<std::string> found;
    for (const BundleTensor& tensor : spell_lora(adapter, base, spelling, {"t", "", ""}).tensors)
      found.insert(tensor.name);
    return found;
  };
  CHECK(names(LoraSpelling::Diffusers) ==
        std::set<std::string>{block + "attn2.to_k.lora_A.weight", block + "attn2.to_k.lora_B.weight",
                              "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight",
                              "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_B.weight"});
  const auto kohya = names(LoraSpelling::Kohya);
  CHECK(
      kohya.contains("lora_unet_up_blocks_1_attentions_1_transformer_blocks_0_attn2_to_k.lora_down.weight"));
  CHECK(kohya.contains("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha"));
  const auto comfy = names(LoraSpelling::ComfyUi);
  CHECK(comfy.contains("diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2.to_k.lora_A.weight"));
  CHECK(comfy.contains("text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.lora_B.weight"));
  const TemporaryFolder folder;
  tiny::write_folder(folder / "adapter", picture_adapter_files(adapter, base));
  CHECK(read_picture_adapter(folder / "adapter", base).tensors.size() == 4);
  for (const char* format : {"peft", "kohya", "comfyui"}) {
    INFO(format);
    const std::string path = folder / (std::string(format) + ".safetensors");
    write_safetensors(path, spell_lora(adapter, base, lora_spelling(format), {"t", "", ""}).tensors);
    CHECK(spelling_error(path, adapter, base, lora_spelling(format)) < 1e-6);
    PeftAdapter other = adapter;
    other.alpha = 3.3;
    CHECK(spelling_error(path, other, base, lora_spelling(format)) > 0.05);
  }
}

TEST_CASE("what a single file cannot say is not written") {
  PictureModel model = tiny::stable_diffusion();
  model.unet->cross->heads = {4, 8};
  CHECK_THAT(error_of([&] { single_file_tensors(model); }), testing::contains_text("attention_head_dim"));
  model = tiny::stable_diffusion();
  model.text_encoder.activation = ClipActivation::Gelu;
  CHECK_THAT(error_of([&] { single_file_tensors(model); }), testing::contains_text("same version"));
  model = tiny::stable_diffusion(true);
  model.unet->cross->heads = {2, 1};
  CHECK_THAT(error_of([&] { single_file_tensors(model); }), testing::contains_text("attention_head_dim"));
  model.prediction = Prediction::Sample;
  CHECK_THAT(error_of([&] { single_file_tensors(model); }), testing::contains_text("predicts the sample"));
  CHECK_THAT(error_of([&] { single_file_tensors(tiny::picture_model()); }),
             testing::contains_text("Stable Diffusion"));
}

TEST_CASE("kohya's file tells its title, base, prediction, size and trigger, and no folder of this machine") {
  const PictureModel base = tiny::stable_diffusion(true);
  PeftAdapter adapter;
  adapter.rank = 2;
  const auto metadata = spell_lora(adapter, base, LoraSpelling::Kohya, {"my dog", "512x512", "sks"}).metadata;
  const std::map<std::string, std::string> wanted = {
      {"modelspec.title", "my dog"},        {"modelspec.prediction_type", "v"},
      {"modelspec.resolution", "512x512"},  {"modelspec.trigger_phrase", "sks"},
      {"ss_output_name", "my dog"},         {"ss_v2", "True"},
      {"ss_base_model_version", "sd_v2_v"}, {"modelspec.architecture", "stable-diffusion-v2/lora"}};
  for (const auto& [key, value] : wanted) {
    INFO(key);
    CHECK(metadata.at(key) == value);
  }
  CHECK(base_name("/home/me/bases/first/") == "first");
  CHECK(base_name("/c/models--org--a-name/snapshots/3f") == "org/a-name");
  CHECK(base_name("org/a-name") == "org/a-name");
}

TEST_CASE("a folder of the fp16 variant is read, pickles are not") {
  const TemporaryFolder folder;
  tiny::write_folder(folder.path(), pipeline_files(tiny::stable_diffusion()));
  const std::string stem = folder / "unet/diffusion_pytorch_model";
  std::filesystem::rename(stem + ".safetensors", stem + ".fp16.safetensors");
  CHECK_FALSE(read_pipeline(folder.path()).unet_tensors.empty());
  std::filesystem::rename(stem + ".fp16.safetensors", stem + ".bin");
  CHECK_THROWS_WITH(read_pipeline(folder.path()), testing::contains_text("is a pickle"));
}

TEST_CASE("the card says which kohya files diffusers does not read") {
  const PictureModel base = tiny::stable_diffusion();
  PeftAdapter adapter;
  const std::string layer = "text_encoder.text_model.encoder.layers.0.self_attn.";
  const auto card = [&](const std::string& module) {
    adapter.tensors = {floats(layer + module + ".lora_A.weight", {1, 1}, {1})};
    return picture_lora_commands(adapter, base, LoraSpelling::Kohya, {"a dog"});
  };
  CHECK_THAT(card("q_proj"), testing::contains_text("diffusers does not read it"));
  CHECK_THAT(card("out_proj"), !testing::contains_text("diffusers does not read it"));
}

}  // namespace
}  // namespace lathe
