// The config.json files of a diffusers pipeline. What is accepted, written and read again is the same.
#include "checkpoints/diffusion/autoencoder_kl.h"
#include "checkpoints/diffusion/clip_text.h"
#include "checkpoints/diffusion/dit.h"
#include "checkpoints/diffusion/joint_transformer.h"
#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/diffusion/scheduler_config.h"
#include "checkpoints/diffusion/unet_2d.h"
#include "data/io/json.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

template <class Spec>
void reads_what_it_writes(const Json& json, Spec (*read)(const Json&, const std::string&),
                          Json (*write)(const Spec&)) {
  const Json written = write(read(json, "fuzz"));
  promise(write(read(written, "written")) == written);
}

// The first byte says which file the rest is.
void run(std::string_view bytes) {
  if (bytes.empty()) return;
  const std::string_view content = bytes.substr(1);
  if (bytes[0] == 'p') {
    static const InputFolder folder;
    folder.put(kModelIndex, content);
    read_pipeline(folder.path());
    return;
  }
  const Json json = parse_json(content, "fuzz");
  if (bytes[0] == 't') reads_what_it_writes(json, read_joint_transformer, joint_transformer_config);
  if (bytes[0] == 'c') reads_what_it_writes(json, read_clip_text, clip_text_config);
  if (bytes[0] == 's') reads_what_it_writes(json, read_scheduler_config, scheduler_config);
  if (bytes[0] == 'u') reads_what_it_writes(json, read_unet_2d, unet_2d_config);
  if (bytes[0] == 'x') reads_what_it_writes(json, read_unet_2d_condition, unet_2d_config);
  if (bytes[0] == 'v') reads_what_it_writes(json, read_autoencoder, autoencoder_config);
  if (bytes[0] == 'd') reads_what_it_writes(json, read_dit, dit_config);
}

std::vector<std::string> seeds() {
  const NoiseProcess flow{{}, Prediction::Flow}, noise{{}, Prediction::Epsilon};
  return {
      "t" + joint_transformer_config({}).dump(),
      "c" + clip_text_config({}).dump(),
      "s" + scheduler_config(flow).dump(),
      "s" + scheduler_config(noise).dump(),
      "u" + unet_2d_config({}).dump(),
      "d" + dit_config({}).dump(),
      R"(x{"_class_name":"UNet2DConditionModel","attention_head_dim":[5,10,20,20],"cross_attention_dim":1024,)"
      R"("use_linear_projection":true})",
      "v" + autoencoder_config({}).dump(),
      R"(p{"_class_name":"StableDiffusionPipeline","unet":["diffusers","UNet2DConditionModel"],)"
      R"("vae":["diffusers","AutoencoderKL"],"text_encoder":["transformers","CLIPTextModel"]})",
      R"(p{"_class_name":"DiTPipeline","transformer":["diffusers","DiTTransformer2DModel"],)"
      R"("id2label":{"0":"a"},"scheduler":["diffusers","DDIMScheduler"]})",
      R"(p{"_class_name":"StableDiffusion3Pipeline","transformer":["diffusers","SD3Transformer2DModel"],)"
      R"("text_encoder":["transformers","CLIPTextModelWithProjection"],"vae":[null,null]})",
      "t{}",
      "u{}",
      "d{}",
      "s{}",
      "c{}",
      ""};
}

}  // namespace

Target pipeline_target() {
  return {"pipeline",
          run,
          seeds,
          {"\"_class_name\":", "null", "1e308", "-1", "0", "[]", "{}", "\"FlowMatchEulerDiscreteScheduler\"",
           "\"prediction_type\":\"v_prediction\"", "\"num_layers\":", "9223372036854775807", "true"},
          4000};
}

}  // namespace lathe::fuzz
