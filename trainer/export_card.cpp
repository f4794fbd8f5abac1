#include "trainer/export_card.h"

#include <filesystem>
#include <regex>
#include <sstream>

#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/gguf_model.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "trainer/state.h"
#include "data/io/file_system.h"
#include "recipes/schema/load.h"
#include "trainer/report/course.h"
#include "trainer/report/format.h"
#include "trainer/text/asked_form.h"

namespace lathe {

namespace {

// "license: apache-2.0" between the first two lines of dashes of a card; "" where it says nothing.
std::string licence_of(const std::string& folder) {
  const std::string path = folder + "/README.md";
  if (!std::filesystem::is_regular_file(path)) return "";
  std::istringstream lines(read_file(path, std::size_t{1} << 20));
  std::string line;
  if (!std::getline(lines, line) || line != "---") return "";
  const std::regex wanted("license: *[\"']?([\\w.-]+)[\"']? *");
  for (std::smatch found; std::getline(lines, line) && line != "---";)
    if (std::regex_match(line, found, wanted)) return found[1];
  return "";
}

std::string licence_of_base(const std::string& base) {
  try {
    return licence_of(resolve_model(base).folder);
  } catch (const Error&) {
    return "";  // it was moved since
  }
}

// By one of the two ways to name a base; by its folder where it was moved since, which loading it tells
// better.
std::string named_base(const std::string& base, std::string (*name)(const std::string&)) {
  try {
    return name(base);
  } catch (const Error&) {
    return std::filesystem::path(base).filename().string();
  }
}

std::string told_base(const std::string& base, const std::string& licence) {
  if (base.empty()) return "none, trained from scratch";
  return cat(named_base(base, shipped_base), licence.empty()
                                                 ? " (its licence holds for this model)"
                                                 : " (its licence, " + licence + ", holds for this model)");
}

// What held-out prompts said of this very step.
std::string told_results(const std::string& run, std::int64_t step) {
  std::string lines;
  if (const auto loss = held_loss_at(read_run_log(run + "/metrics.jsonl"), step))
    lines += cat("- validation loss: ", *loss, "\n");
  const std::string path = run + "/report.json";
  if (!std::filesystem::exists(path)) return lines;
  const Json report = read_json(path);
  if (report.value("step", std::int64_t{-1}) != step) return lines;
  const Json metrics = report.value("metrics", Json::object());
  for (const auto& [name, systems] : metrics.items()) {
    const auto score = [&](const char* system) {
      return format_fixed(systems.at(system).at("score").get<double>(), 3);
    };
    lines += cat("- ", name, " on ", report.value("examples", 0), " held-out prompts: base ", score("base"),
                 ", base shown examples ", score("few_shot"), ", tuned ", score("tuned"), "\n");
  }
  if (report.contains("verdict")) lines += cat("- ", report["verdict"].get<std::string>(), "\n");
  return lines;
}

}  // namespace

std::string card_heading(const ModelSource& source, const std::string& format) {
  const std::string recipe_file = source.folder + "/recipe.yaml", run_file = source.run + "/run.json";
  if (source.run.empty() || !std::filesystem::exists(recipe_file) || !std::filesystem::exists(run_file))
    return cat("# Export of ", shipped_description(source), "\n\n## Use\n\n");
  const Recipe recipe = load_recipe_text(read_file(recipe_file), recipe_file).recipe;
  const Json run = read_json(run_file);
  const TrainState state = read_train_state(source.folder);
  const bool alone = format == "peft";
  const std::string licence = recipe.model.path.empty() ? "" : licence_of_base(recipe.model.path);
  std::string card =
      cat("---\nlibrary_name: ", alone ? "peft" : "transformers", "\npipeline_tag: text-generation\n");
  if (!licence.empty()) card += cat("license: ", licence, "\n");
  if (alone) card += cat("base_model: ", Json(named_base(recipe.model.path, portable_base)).dump(), "\n");
  card += cat("---\n# ", recipe.name, "\n\n",
              alone ? "A low-rank adapter (" + recipe.adapter.kind + ") of a " : "A ",
              run.value("family", "model"), " of ", run.value("parameters", std::int64_t{0}),
              " parameters, trained with lathe; ", shipped_description(source), ".\n\n");
  card += cat("- base: ", told_base(recipe.model.path, licence),
              "\n- data: ", run.value("documents", std::int64_t{0}), " documents, ",
              run.value("training_tokens", std::int64_t{0}), " tokens, sha256 ", run.value("data_sha256", ""),
              "\n- steps: ", state.step, ", tokens seen: ", state.tokens, "\n");
  if (!recipe.model.quantization.kind.empty())
    card +=
        "- trained on the base in 4 bits (NF4), which is where the validation loss and the report were "
        "measured. The adapter is used "
        "and merged with the original weights, as its engines do; verification.json says by how much a logit "
        "changes by that "
        "(quantization_error). For the very model that was trained, load the base in NF4 under the adapter\n";
  if (const auto form = asked_form(source); form && !form->prompt_template.empty())
    card +=
        cat("- questions were written as ", Json(form->prompt_template).dump(), " and are to be asked so\n");
  card += told_results(source.run, source.step);
  if (recipe.task == "sft")
    return card +
           "\n## Limits\n\nTuned on the examples above only: outside of them it is its base, and it may "
           "repeat them "
           "verbatim.\n\n## Use\n\n";
  return card +
         "\n## Limits\n\nTrained on the data above only; it knows nothing else, may repeat it verbatim, and "
         "was not tuned "
         "to follow instructions.\n\n## Use\n\n";
}

namespace {

// A conversation in the file's own template, or a text to go on from.
std::string llama_cli(const std::string& file, const CardPrompt& prompt) {
  return cat("llama-cli -m ", file, llama_cli_prompt(prompt), "\n");
}

std::string lathe_commands(const std::string& model, const CardPrompt& prompt) {
  return cat("lathe ", prompt.chat ? "chat " + model : "generate " + model + lathe_prompt(prompt),
             "\nlathe verify .\n");
}

// Why llama.cpp cannot run a model; "" when it can.
std::string gguf_objection(const Bundle& model) {
  try {
    check_gguf_model(model);
    GgufMetadata metadata;
    add_gguf_tokenizer(model, metadata);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

CardPrompt card_prompt(const Bundle& model, const std::optional<AskedForm>& form) {
  if (model.tokenizer && !chat_template_of(*model.tokenizer).empty()) return {true, "Hello", "Hello"};
  const std::string question = form ? "Hello" : "def ";
  return {false, question, form ? form->prompt(question) : question};
}

std::string model_commands(const Bundle& model, const CardPrompt& prompt) {
  std::string text =
      cat("transformers:\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
          "tokenizer = AutoTokenizer.from_pretrained(\".\")\nmodel = "
          "AutoModelForCausalLM.from_pretrained(\".\")\n",
          generate_lines(prompt), "```\n\nvLLM, then lathe itself:\n\n```\nvllm serve .\n",
          lathe_commands(".", prompt), "```\n\n");
  if (const std::string objection = gguf_objection(model); !objection.empty())
    return text + "llama.cpp and Ollama do not run it: " + objection + ".\n";
  return text +
         cat("llama.cpp and Ollama, which read GGUF:\n\n```\nlathe export . --format gguf --output gguf\n",
             llama_cli("gguf/model-BF16.gguf", prompt), "llama-server -m gguf/model-BF16.gguf\n",
             "cd gguf && ollama create NAME -f Modelfile && ollama run NAME\n```\n");
}

std::string gguf_commands(const Bundle& model, const CardPrompt& prompt, const std::string& quantize) {
  const std::string file = cat("model-", gguf_mix_name(gguf_mix(quantize)), ".gguf");
  const std::string engines = cat(
      "llama.cpp, Ollama, lathe itself:\n\n```\n", llama_cli(file, prompt), "llama-server -m ", file,
      "\nollama create NAME -f Modelfile && ollama run NAME\n", lathe_commands(file, prompt),
      "```\n\nvLLM reads it beside a tokenizer's folder (its base, or an export in format huggingface):\n\n"
      "```\nvllm serve ./",
      file, " --tokenizer FOLDER\n```\n");
  // transformers 5.23 reads no number of positions from a GPT-2 in GGUF and takes 1024.
  if (model.family->name == "gpt2" && model.spec.max_positions != 1024) return engines;
  return cat(engines,
             "\ntransformers turns it back into plain weights (with the gguf package):\n\n```python\n"
             "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
             "tokenizer = AutoTokenizer.from_pretrained(\".\", gguf_file=\"",
             file, "\")\nmodel = AutoModelForCausalLM.from_pretrained(\".\", gguf_file=\"", file, "\")\n",
             generate_lines(prompt), "```\n");
}

}  // namespace lathe
