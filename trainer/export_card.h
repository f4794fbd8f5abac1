#pragma once
// README.md of an export: what the model is, what it was made from, its limits, and the exact commands that
// use it.
#include <optional>
#include <string>

#include "checkpoints/exporters/exporter.h"
#include "trainer/model_source.h"
#include "trainer/session.h"
#include "trainer/text/asked_form.h"
#include "trainer/text/text_task.h"

namespace lathe {

// Everything up to the commands: of a run what it keeps of itself (recipe, run.json, metrics, report), of
// another model its name alone.
std::string card_heading(const ModelSource& source, const std::string& format);
// Exact commands for transformers, vLLM, llama.cpp, Ollama and lathe; peft_commands() are an adapter's.
std::string model_commands(const Bundle& model, const CardPrompt& prompt);
std::string gguf_commands(const Bundle& model, const CardPrompt& prompt, const std::string& quantize);
// What they ask: a chat where there is a template for one, else a question in the form that the run asked.
CardPrompt card_prompt(const Bundle& model, const std::optional<AskedForm>& form);

}  // namespace lathe
