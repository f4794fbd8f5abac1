// What a run of pictures keeps: a pipeline's folder, an adapter's or a new word's.
#include "checkpoints/diffusion/adapter_folder.h"
#include "models/adapters/pictures.h"
#include "trainer/pictures/picture_task.h"

namespace lathe {

namespace {

// The record of a new word's vectors, as ClipText::train_tokens names it.
constexpr const char* kNewRows = "text_encoder.text_model.embeddings.token_embedding.trainable_tokens";

}  // namespace

std::vector<CheckpointFile> PictureTask::model_files(std::vector<BundleTensor> weights) const {
  if (adapter) {
    PeftAdapter trained = *adapter;
    trained.tensors = std::move(weights);
    return picture_adapter_files(trained, plan);
  }
  if (new_word) {
    TextualInversion learned = new_word->settings;
    learned.vectors = std::move(weights.at(0));
    return textual_inversion_files(learned);
  }
  PictureModel kept = plan;
  std::map<std::string, BundleTensor> trained;
  for (BundleTensor& tensor : weights) trained.emplace(tensor.name, std::move(tensor));
  for (const PictureModel::Part& part : kept.parts()) {
    std::map<std::string, BundleTensor> base;  // of what is frozen
    for (BundleTensor& tensor : *part.tensors) base.emplace(tensor.name, std::move(tensor));
    part.tensors->clear();
    for (const ParameterInfo& info : part.parameters) {
      const auto found = trained.find(part.prefix + info.name);
      BundleTensor tensor =
          found != trained.end() ? found->second : convert_tensor(base.at(info.name), DType::F32);
      tensor.name = info.name;
      part.tensors->push_back(std::move(tensor));
    }
  }
  return pipeline_files(kept);
}

std::map<std::string, BundleTensor> PictureTask::read_weights(const std::string& checkpoint) const {
  std::map<std::string, BundleTensor> weights;
  if (adapter) {
    for (BundleTensor& tensor : read_picture_adapter(checkpoint, plan).tensors)
      weights.emplace(tensor.name, std::move(tensor));
    return weights;
  }
  if (new_word) {
    BundleTensor rows = read_textual_inversion(checkpoint).vectors;
    rows.name = kNewRows;
    weights.emplace(kNewRows, std::move(rows));
    return weights;
  }
  PictureModel kept = read_pipeline(checkpoint);
  for (const PictureModel::Part& part : kept.parts())
    for (BundleTensor& tensor : *part.tensors) {
      tensor.name = part.prefix + tensor.name;
      weights.emplace(tensor.name, std::move(tensor));
    }
  return weights;
}

}  // namespace lathe
