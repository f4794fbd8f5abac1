#pragma once
// The text-to-picture model that a MODEL of the command line means: a diffusers folder, a run, or an adapter
// or a new word with the base that it names. Torch is needed for merging alone; any thread.
#include <optional>

#include "checkpoints/diffusion/adapter_folder.h"
#include "checkpoints/diffusion/textual_inversion.h"
#include "recipes/schema/diffusion_sections.h"
#include "trainer/model_source.h"

namespace lathe {

// Sides of a model's pictures are multiples of it.
std::int64_t side_step(const PictureModel& model);
// The class of the scheduler that a pipeline's folder names; that of the process where it names none.
std::string written_scheduler(const std::string& folder, const NoiseProcess& process);
// What of a base's way of drawing an exported pipeline does not keep: "PNDMScheduler, steps_offset 1"; empty
// for nothing.
std::string scheduler_left(const std::string& folder, const NoiseProcess& process);

// "2 of 40 captions are longer than the 77 tokens that the text encoder reads; ...": empty where all are read
// to their ends, and for models by class.
std::string cut_captions(const std::shared_ptr<const Tokenizer>& tokenizer, const ClipTextSpec& encoder,
                         const std::vector<std::string>& captions);

// How many of the captions have a textual inversion's word; usage Error when none has.
std::size_t captions_with_word(const std::string& word, const std::vector<std::string>& captions);

bool draws_pictures(const ModelSource& source);

// How the model in a folder is meant to be drawn with: as the run's recipe or the export's reference.json
// says.
SamplingSection usual_sampling(const std::string& folder);

// An adapter folder (a tuned run's checkpoint, or an export) gives its base with the adapter merged in fp32,
// that of a textual inversion its base with the new word.
PictureModel load_picture_model(const ModelSource& source);

// The base and the adapter of such a folder, apart. Error when it is none.
struct AdaptedPictureModel {
  PictureModel base;
  PeftAdapter adapter;
};
AdaptedPictureModel load_adapted_pictures(const ModelSource& source);

}  // namespace lathe
