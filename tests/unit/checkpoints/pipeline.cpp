// The pipeline folder: what diffusers will find in it, and what is refused when one is read.
#include "checkpoints/diffusion/pipeline.h"

#include <cmath>
#include <functional>

#include "tests/unit/checkpoints/support.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

namespace lathe {
namespace {

namespace files = std::filesystem;

const CheckpointFile& file_of(const std::vector<CheckpointFile>& all, const std::string& name) {
  for (const CheckpointFile& file : all)
    if (file.name == name) return file;
  FAIL("no file " << name);
  return all.front();
}

bool same_tensors(const std::vector<BundleTensor>& a, const std::vector<BundleTensor>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || a[i].shape != b[i].shape || values_of(a[i]) != values_of(b[i]))
      return false;
  return true;
}

TEST_CASE("a pipeline's files carry diffusers' names") {
  const auto all = pipeline_files(tiny::picture_model());
  const Json index = Json::parse(file_of(all, "model_index.json").text);
  CHECK(index["_class_name"] == "StableDiffusion3Pipeline");
  CHECK(index["transformer"] == Json::array({"diffusers", "SD3Transformer2DModel"}));
  CHECK(index["scheduler"] == Json::array({"diffusers", "FlowMatchEulerDiscreteScheduler"}));
  CHECK(index["text_encoder_2"] == Json::array({"transformers", "CLIPTextModelWithProjection"}));
  for (const char* absent : {"vae", "text_encoder_3", "tokenizer_3", "image_encoder", "feature_extractor"})
    CHECK(index[absent] == Json::array({nullptr, nullptr}));
  const Json scheduler = Json::parse(file_of(all, "scheduler/scheduler_config.json").text);
  CHECK(scheduler["shift"] == 1.5);
  CHECK(scheduler["num_train_timesteps"] == 1000);
  const auto& network = file_of(all, "transformer/diffusion_pytorch_model.safetensors").tensors;
  const BundleTensor& table = find_tensor(network, "pos_embed.pos_embed");
  CHECK(table.shape == std::vector<std::int64_t>{1, 36, 16});
  // Place (1, 0): half of the channels are of the column, 4 sines and 4 cosines of 1 * 4 / 6 at 10000^(-k/4).
  const std::vector<float> values = values_of(table);
  CHECK(values[16 + 1] == Approx(std::sin(4.0 / 6 / 10)).epsilon(1e-6));
  CHECK(values[16 + 4] == Approx(std::cos(4.0 / 6)).epsilon(1e-6));
  CHECK(values[16 + 8] == 0);
  CHECK(values[16 + 12] == 1);
  CHECK(find_tensor(network, "pos_embed.proj.weight").shape == std::vector<std::int64_t>{16, 3, 2, 2});
  for (const std::string place : {"", "_2"}) {
    CHECK(file_of(all, "text_encoder" + place + "/model.safetensors").tensors.size() ==
          clip_text_parameters(tiny::picture_model().text_encoder).size());
    const Json config = Json::parse(file_of(all, "tokenizer" + place + "/tokenizer_config.json").text);
    CHECK(config["model_max_length"] == 10);
    CHECK(index["tokenizer" + place] == Json::array({"transformers", config["tokenizer_class"]}));
    CHECK_FALSE(file_of(all, "tokenizer" + place + "/tokenizer.json").text.empty());
  }
}

TEST_CASE("a checkpoint is a pipeline folder, and comes back from it") {
  TemporaryFolder folder;
  const PictureModel model = tiny::picture_model();
  const std::string path = CheckpointStore(folder.path()).save(3, pipeline_files(model), 1, {});
  CHECK(CheckpointStore::check(path).empty());
  CHECK(is_pipeline(path));
  CHECK_FALSE(is_pipeline(folder.path()));
  const PictureModel found = read_pipeline(path);
  CHECK(joint_transformer_config(found.transformer) == joint_transformer_config(model.transformer));
  CHECK(clip_text_config(found.text_encoder) == clip_text_config(model.text_encoder));
  CHECK(found.schedule.shift == 1.5);
  CHECK(found.schedule.kind == NoiseKind::Flow);
  CHECK(found.prediction == Prediction::Flow);
  CHECK(same_tensors(found.transformer_tensors, model.transformer_tensors));
  CHECK(same_tensors(found.text_tensors, model.text_tensors));
  CHECK(found.tokenizer->ids("a red cross") == model.tokenizer->ids("a red cross"));
  // And again: what was read is written to the same bytes.
  const auto first = pipeline_files(model), second = pipeline_files(found);
  REQUIRE(first.size() == second.size());
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(first[i].text == second[i].text);
}

TEST_CASE("weights of 16 bits, their table of positions too") {
  TemporaryFolder folder;
  PictureModel model = tiny::picture_model();
  for (auto* tensors : {&model.transformer_tensors, &model.text_tensors})
    for (BundleTensor& tensor : *tensors) tensor = convert_tensor(tensor, DType::BF16);
  const auto all = pipeline_files(model);
  CHECK(Json::parse(file_of(all, "text_encoder/config.json").text)["dtype"] == "bfloat16");
  tiny::write_folder(folder.path(), all);
  CHECK(read_pipeline(folder.path()).transformer_tensors.front().dtype == DType::BF16);
}

// Writes the folder, changes one JSON file and says what reading it answers.
std::string refusal(const std::string& name, const std::function<void(Json&)>& change) {
  TemporaryFolder folder;
  tiny::write_folder(folder.path(), pipeline_files(tiny::picture_model()));
  Json json = Json::parse(read_bytes(folder / name));
  change(json);
  write_text(folder / name, json.dump());
  return error_of([&] { read_pipeline(folder.path()); });
}

void check_refusal(const std::string& name, const std::function<void(Json&)>& change,
                   const std::vector<std::string>& phrases) {
  const std::string text = refusal(name, change);
  INFO(text);
  for (const std::string& phrase : phrases) CHECK(text.find(phrase) != std::string::npos);
}

TEST_CASE("what a pipeline holds beyond this program is refused by name") {
  const std::string index = "model_index.json", scheduler = "scheduler/scheduler_config.json";
  check_refusal(index, [](Json& j) { j["_class_name"] = "FluxPipeline"; },
                {"model_index.json", "FluxPipeline", "StableDiffusion3Pipeline"});
  check_refusal(index,
                [](Json& j) {
                  j["vae"] = Json::array({"diffusers", "AutoencoderKL"});
                },
                {"'vae'", "VAE"});
  check_refusal(index,
                [](Json& j) {
                  j["text_encoder_3"] = Json::array({"transformers", "T5EncoderModel"});
                },
                {"T5"});
  check_refusal(index, [](Json& j) { j.erase("transformer"); }, {"'transformer' is missing"});
  check_refusal(scheduler, [](Json& j) { j["use_dynamic_shifting"] = true; },
                {"scheduler_config.json", "use_dynamic_shifting"});
  check_refusal(scheduler, [](Json& j) { j["use_karras_sigmas"] = true; }, {"use_karras_sigmas"});
  check_refusal(scheduler, [](Json& j) { j["_class_name"] = "Mystery"; }, {"Mystery"});
  check_refusal("transformer/config.json", [](Json& j) { j["pos_embed_max_size"] = 4096; },
                {"pos_embed.pos_embed", "shape"});
  check_refusal("transformer/config.json", [](Json& j) { j["sample_size"] = 10; },
                {"pos_embed.pos_embed", "other tables"});
  check_refusal("transformer/config.json", [](Json& j) { j["num_layers"] = 3; },
                {"transformer_blocks.1.attn.to_add_out.weight' is missing"});
  check_refusal("transformer/config.json", [](Json& j) { j["pooled_projection_dim"] = 10; },
                {"pooled_projection_dim", "20"});
  check_refusal("text_encoder_2/config.json", [](Json& j) { j["hidden_act"] = "gelu"; },
                {"text_encoder_2", "two different encoders"});
  check_refusal("tokenizer/tokenizer_config.json", [](Json& j) { j["model_max_length"] = 77; },
                {"model_max_length", "10"});
}

TEST_CASE("tensors that are missing, misshapen, left over or of another encoder are named") {
  const auto answer = [](const std::string& file,
                         const std::function<void(std::vector<BundleTensor>&)>& change) {
    TemporaryFolder folder;
    auto all = pipeline_files(tiny::picture_model());
    for (CheckpointFile& one : all)
      if (one.name == file) change(one.tensors);
    tiny::write_folder(folder.path(), all);
    return error_of([&] { read_pipeline(folder.path()); });
  };
  const std::string network = "transformer/diffusion_pytorch_model.safetensors";
  using Tensors = std::vector<BundleTensor>;
  std::string text = answer(network, [](Tensors& t) { t.erase(t.begin()); });
  CHECK(text.find("'pos_embed.proj.weight' is missing") != std::string::npos);
  text = answer(network, [](Tensors& t) { t.push_back(floats("extra", {1}, {0})); });
  CHECK(text.find("'extra' is none of the network's") != std::string::npos);
  text = answer(network, [](Tensors& t) { t[1].shape = {4, 4}; });
  CHECK(text.find("'pos_embed.proj.bias' has shape (4, 4), wanted (16)") != std::string::npos);
  text = answer(network, [](Tensors& t) { t.pop_back(); });
  CHECK(text.find("'pos_embed.pos_embed' is missing") != std::string::npos);
  text = answer("text_encoder_2/model.safetensors", [](Tensors& t) {
    std::vector<float> values = values_of(t[0]);
    values[5] += 1;
    t[0] = floats(t[0].name, t[0].shape, values);
  });
  CHECK(text.find("token_embedding.weight' is not the one of text_encoder") != std::string::npos);
}

TEST_CASE("parts that do not fit are not written") {
  PictureModel model = tiny::picture_model();
  model.transformer.pooled_projection_dim = 10;
  CHECK(error_of([&] { pipeline_files(model); }).find("twice") != std::string::npos);
  model = tiny::picture_model();
  model.transformer_tensors.pop_back();
  CHECK(error_of([&] { pipeline_files(model); }).find("tensors, wanted") != std::string::npos);
  model = tiny::picture_model();
  model.tokenizer = nullptr;
  CHECK(error_of([&] { pipeline_files(model); }).find("no tokenizer") != std::string::npos);
  model = tiny::picture_model();
  model.text_encoder.eos_token_id -= 1;
  CHECK(error_of([&] { pipeline_files(model); }).find("end of text") != std::string::npos);
}

TEST_CASE("schedulers: flow, betas, and those that diffusers does not have") {
  NoiseProcess process;
  process.schedule = {
      .kind = NoiseKind::ScaledLinear, .beta_start = 0.00085, .beta_end = 0.012, .zero_terminal_snr = true};
  process.prediction = Prediction::Velocity;
  Json json = scheduler_config(process);
  CHECK(json["_class_name"] == "DDIMScheduler");
  CHECK(json["beta_schedule"] == "scaled_linear");
  CHECK(json["prediction_type"] == "v_prediction");
  CHECK(json["rescale_betas_zero_snr"] == true);
  CHECK(json["clip_sample"] == false);
  NoiseProcess found = read_scheduler_config(json, "s");
  CHECK(found.schedule.kind == NoiseKind::ScaledLinear);
  CHECK(found.schedule.beta_end == 0.012);
  CHECK(found.schedule.zero_terminal_snr);
  CHECK(found.prediction == Prediction::Velocity);
  // diffusers' defaults for what Stable Diffusion 1's config leaves out.
  found = read_scheduler_config(
      {{"_class_name", "PNDMScheduler"}, {"beta_schedule", "scaled_linear"}, {"beta_end", 0.012}}, "s");
  CHECK(found.prediction == Prediction::Epsilon);
  CHECK(found.schedule.beta_start == 1e-4);
  CHECK(found.schedule.train_timesteps == 1000);

  process = {.schedule = {.shift = 3}, .prediction = Prediction::Sample};
  CHECK_FALSE(runs_in_diffusers(process));
  json = scheduler_config(process);
  CHECK(json["_class_name"] == "LatheScheduler");
  found = read_scheduler_config(json, "s");
  CHECK(found.schedule.kind == NoiseKind::Flow);
  CHECK(found.schedule.shift == 3);
  CHECK(found.prediction == Prediction::Sample);

  const auto refused = [](Json config) { return error_of([&] { read_scheduler_config(config, "s"); }); };
  CHECK(refused({{"_class_name", "DDIMScheduler"}, {"beta_schedule", "sigmoid"}}).find("sigmoid") !=
        std::string::npos);
  CHECK(refused({{"_class_name", "DDIMScheduler"}, {"trained_betas", {0.1, 0.2}}}).find("trained_betas") !=
        std::string::npos);
  CHECK(refused({{"_class_name", "DDIMScheduler"}, {"prediction_type", "flow_prediction"}})
            .find("prediction_type") != std::string::npos);
  CHECK(refused(Json::object()).find("_class_name") != std::string::npos);
}

}  // namespace
}  // namespace lathe
