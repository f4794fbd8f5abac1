#pragma once
// The typed recipe. Keys equal members, letter for letter. Every section has one description, `fields(f, c)`,
// used by strict reading, unknown-key errors, the resolved dump (`lathe check`), the reference table and the
// JSON Schema.
//   f(key, member, help)             a value, a section, an optional, a list
//   f(key, member, help, constraint) with a Constraint from recipes/schema/constraints.h (range, choice)
// Plain data; no torch, no I/O.
#include <cstdint>
#include <string>
#include <vector>

#include "recipes/schema/data_sections.h"
#include "recipes/schema/diffusion_sections.h"
#include "recipes/schema/model_sections.h"
#include "recipes/schema/output_sections.h"
#include "recipes/schema/training_sections.h"

namespace lathe {

struct Recipe {
  std::string base;       // another recipe this one starts from (one level)
  std::string name;       // default: the file's name
  std::string directory;  // default runs/<name>
  std::string task = "pretrain";
  std::string device = "auto";
  ModelSection model;
  AdapterSection adapter;
  TokenizerSection tokenizer;
  DataSection data;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  TrainSection train;
  EmaSection ema;
  PriorSection prior;
  TextualInversionSection textual_inversion;
  DiffusionSection diffusion;
  EarlyStoppingSection early_stopping;
  EvaluateSection evaluate;
  CheckpointSection checkpoint;
  ReportSection report;
  ParallelSection parallel;
  std::vector<ExportSection> exports;  // key `export`
  static void fields(auto& f, auto& c) {
    f("base", c.base,
      "another recipe whose values this one starts from, one level; name and directory are not taken");
    f("name", c.name, "of the run; default the file's name");
    f("directory", c.directory, "of the run; default runs/<name>");
    f("task", c.task, "what is trained", choice({"pretrain", "sft", "diffusion"}));
    f("device", c.device, "auto, cpu", choice({"auto", "cpu"}));
    f("model", c.model, "what is trained, or what it starts from");
    f("adapter", c.adapter, "low-rank adapters on a frozen base");
    f("tokenizer", c.tokenizer, "given or trained");
    f("data", c.data, "what it reads");
    f("optimizer", c.optimizer, "how it steps");
    f("schedule", c.schedule, "the learning rate over the steps");
    f("train", c.train, "how long, how large, how precise");
    f("ema", c.ema, "moving averages of the weights");
    f("prior", c.prior, "tuning of pictures: the frozen base keeps what the tuned model must not forget");
    f("textual_inversion", c.textual_inversion,
      "tuning of pictures: a new word, of which only the vectors are trained");
    f("diffusion", c.diffusion, "task diffusion: what the network learns and how samples are drawn");
    f("early_stopping", c.early_stopping, "when to give up");
    f("evaluate", c.evaluate, "held-out loss and samples");
    f("checkpoint", c.checkpoint, "what is kept");
    f("report", c.report, "what the report shows");
    f("parallel", c.parallel, "ranks");
    f("export", c.exports, "what is written at the end");
  }
};

}  // namespace lathe
