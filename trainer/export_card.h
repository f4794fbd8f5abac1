#pragma once
// README.md of an export: what the model is, what it was made from, its limits, and the exact commands that
// use it.
#include <string>

#include "trainer/model_source.h"
#include "trainer/session.h"
#include "trainer/text/text_task.h"

namespace lathe {

// Everything up to the commands: of a run what it keeps of itself (recipe, run.json, metrics, report), of
// another model its name alone.
std::string card_heading(const ModelSource& source, const std::string& format);
// Exact commands for transformers, vLLM, llama.cpp, Ollama and lathe; peft_commands() are an adapter's.
std::string model_commands(const Bundle& model);
std::string gguf_commands(const Bundle& model, const std::string& quantize);

}  // namespace lathe
