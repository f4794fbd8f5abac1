#include <utility>

#include "recipes/schema/error.h"
#include "trainer/plan/network_memory.h"

namespace lathe {

namespace {

using Value = LayerTape::Value;

constexpr std::int64_t kTimeChannels = 256;

// Rows of a stream and what the last product adds to them (models/diffusion/joint_block.h).
struct Stream {
  Value rows, branch;
};

Value two_layers(LayerTape& tape, Value x, const std::string& name) {
  x = tape.linear(x, name + "linear_1");
  return tape.linear(tape.pointwise(x), name + "linear_2");
}

// The MLP of a block on the modulated norm of its stream.
void feed_forward(LayerTape& tape, Stream& stream, const std::string& name, const Value& by) {
  const Value wide =
      tape.linear(tape.modulated(stream.rows, std::exchange(stream.branch, {}), by), name + ".net.0.proj");
  stream.branch = tape.linear(tape.pointwise(wide), name + ".net.2");
}

// models/text_encoders/clip_text.cpp; what the layer before the last says of the tokens, and the pooled text.
std::pair<Value, Value> texts(LayerTape& tape, const ClipTextSpec& spec, std::int64_t batch) {
  const std::string model = "text_encoder.text_model.";
  const std::int64_t length = spec.max_positions;
  const PlannedAttention shape{batch, length, length, spec.num_heads, spec.hidden_size};
  Value x = tape.add(tape.table(batch * length, model + "embeddings.token_embedding"),
                     tape.table(length, model + "embeddings.position_embedding"));
  Value before_last;
  for (std::int64_t i = 0; i < spec.num_layers; ++i) {
    const std::string layer = cat(model, "encoder.layers.", i, ".");
    before_last = x;
    Value y = tape.group(tape.norm(x, layer + "layer_norm1"),
                         {layer + "self_attn.q_proj", layer + "self_attn.k_proj", layer + "self_attn.v_proj"},
                         true);
    y = tape.document_attention(y, shape);
    x = tape.add(x, tape.linear(y, layer + "self_attn.out_proj"));
    y = tape.linear(tape.norm(x, layer + "layer_norm2"), layer + "mlp.fc1");
    x = tape.add(x, tape.linear(tape.pointwise(y), layer + "mlp.fc2"));
  }
  Value pooled = tape.resized(tape.norm(x, model + "final_layer_norm"), batch * spec.hidden_size);
  if (spec.projection_dim > 0) pooled = tape.linear(pooled, "text_encoder.text_projection");
  return {before_last, pooled};
}

std::vector<std::string> projections(const std::string& name, const std::vector<std::string>& parts) {
  std::vector<std::string> modules;
  for (const std::string& part : parts) modules.push_back(name + part);
  return modules;
}

}  // namespace

// models/diffusion/joint_transformer.cpp, joint_block.cpp
Value plan_joint_transformer(LayerTape& tape, const PictureModel& model, const PlannedBatch& batch) {
  const JointTransformerSpec& spec = model.transformer;
  const std::string name = "transformer.";
  const std::int64_t channels = spec.hidden_size(), length = model.text_encoder.max_positions,
                     tokens = batch.height / spec.patch_size * (batch.width / spec.patch_size);
  auto [text, pooled] = texts(tape, model.text_encoder, batch.pictures);
  text = tape.joined(text, text);
  text = tape.resized(text, batch.pictures * length * spec.joint_attention_dim);
  pooled = tape.joined(pooled, pooled);
  const Value clock = two_layers(tape, tape.input(batch.pictures * kTimeChannels),
                                 name + "time_text_embed.timestep_embedder.");
  const Value condition = tape.pointwise(
      tape.add(clock, two_layers(tape, std::move(pooled), name + "time_text_embed.text_embedder.")));
  Stream picture{tape.patches(batch.pictures * tokens, name + "pos_embed.proj"), {}};
  Stream words{tape.linear(std::exchange(text, {}), name + "context_embedder"), {}};
  const PlannedAttention shape{batch.pictures, tokens + length, tokens + length, spec.num_heads, channels};
  for (std::int64_t i = 0; i < spec.num_layers; ++i) {
    const std::string block = cat(name, "transformer_blocks.", i, ".");
    const bool last = i + 1 == spec.num_layers;
    const Value ours = tape.linear(condition, block + "norm1.linear"),
                theirs = tape.linear(condition, block + "norm1_context.linear");
    const auto project = [&](Stream& stream, const Value& by, const std::vector<std::string>& parts) {
      return tape.group(tape.modulated(stream.rows, std::exchange(stream.branch, {}), by),
                        projections(block + "attn.", parts), false);
    };
    Value x = project(picture, ours, {"to_q", "to_k", "to_v"});
    x = tape.join_heads(x, project(words, theirs, {"add_q_proj", "add_k_proj", "add_v_proj"}),
                        block + "attn.");
    x = tape.attention({x}, shape);
    auto [seen, read] = tape.split(x, picture.rows.bytes);
    x = {};
    picture.branch = tape.linear(std::exchange(seen, {}), block + "attn.to_out.0");
    feed_forward(tape, picture, block + "ff", ours);
    if (last) continue;  // its text is only listened to
    words.branch = tape.linear(std::exchange(read, {}), block + "attn.to_add_out");
    feed_forward(tape, words, block + "ff_context", theirs);
  }
  words = {};
  const Value by = tape.linear(condition, name + "norm_out.linear");
  return tape.copy(
      tape.linear(tape.modulated(picture.rows, std::exchange(picture.branch, {}), by), name + "proj_out"));
}

// models/diffusion/dit.cpp
Value plan_dit(LayerTape& tape, const DiTSpec& spec, const PlannedBatch& batch) {
  const std::string name = "transformer.";
  const std::int64_t tokens = batch.height / spec.patch_size * (batch.width / spec.patch_size);
  const PlannedAttention shape{batch.pictures, tokens, tokens, spec.num_heads, spec.hidden_size()};
  Stream stream{tape.patches(batch.pictures * tokens, name + "pos_embed.proj"), {}};
  Value first;  // the first block's condition is the output's too
  for (std::int64_t i = 0; i < spec.num_layers; ++i) {
    const std::string block = cat(name, "transformer_blocks.", i, ".");
    const Value time =
        two_layers(tape, tape.input(batch.pictures * kTimeChannels), block + "norm1.emb.timestep_embedder.");
    const Value condition = tape.pointwise(
        tape.add(time, tape.table(batch.pictures, block + "norm1.emb.class_embedder.embedding_table")));
    if (!first.storage) first = condition;
    const Value by = tape.linear(condition, block + "norm1.linear");
    Value x = tape.group(tape.modulated(stream.rows, std::exchange(stream.branch, {}), by),
                         projections(block + "attn1.", {"to_q", "to_k", "to_v"}), tape.attention_apart());
    x = tape.attention({x}, shape);
    stream.branch = tape.linear(std::exchange(x, {}), block + "attn1.to_out.0");
    feed_forward(tape, stream, block + "ff", by);
  }
  const Value by = tape.linear(first, name + "proj_out_1");
  return tape.copy(
      tape.linear(tape.modulated(stream.rows, std::exchange(stream.branch, {}), by), name + "proj_out_2"));
}

Value plan_prediction(LayerTape& tape, const PictureModel& model, const PlannedBatch& batch) {
  if (model.unet) return plan_unet(tape, *model.unet, batch, model.text_encoder.max_positions);
  return model.dit ? plan_dit(tape, *model.dit, batch) : plan_joint_transformer(tape, model, batch);
}

}  // namespace lathe
