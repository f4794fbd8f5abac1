#pragma once
// The recipe's sections on data: sources, columns, templates, validation (recipes/schema/recipe.h).
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "recipes/schema/constraints.h"

namespace lathe {

// One source of documents or pictures.
struct SourceSection {
  std::string path;                  // a file or a folder
  std::string glob;                  // in a folder: default every file of a known text type ("**/*")
  std::string field = "text";        // jsonl: the key whose text is the document
  double weight = 0;                 // share of training tokens; 0: as large as it is
  std::string name;                  // validation sets: shown in reports
  std::vector<std::string> exclude;  // folder names or globs left out
  std::string generate;              // pictures: a procedural world instead of files; shapes
  std::int64_t count = 3000;         // of generated pictures
  std::int64_t repeats = 1;          // pictures: how often each is seen in an epoch
  std::string caption;               // pictures: of those that bring none
  std::string trigger;               // pictures: instead of data.trigger; none: no word
  static void fields(auto& f, auto& c) {
    f("path", c.path, "a file (.txt, .jsonl, source code, each also .gz) or a folder; pictures: a folder");
    f("glob", c.glob, "which files of a folder, e.g. '**/*.py'");
    f("field", c.field, "the key of a jsonl record that holds the document");
    f("weight", c.weight, "share of training tokens drawn from this source; 0 for its natural share",
      range(0.0, 1e9));
    f("name", c.name, "name in reports");
    f("exclude", c.exclude, "folder names or globs to leave out");
    f("generate", c.generate,
      "pictures: draw them instead of reading files; shapes: coloured shapes with captions",
      choice({"", "shapes"}));
    f("count", c.count, "with generate: how many pictures", range(1, std::int64_t{1} << 32));
    f("repeats", c.repeats, "pictures: how often each is seen in an epoch", range(1, 1 << 20));
    f("caption", c.caption, "pictures: the caption of those that have none of their own");
    f("trigger", c.trigger,
      "pictures: the word of this source instead of data.trigger; none for pictures that must not have it, "
      "such as DreamBooth's class pictures");
  }
};

// Which keys of a tuning record mean what; empty: found from the records (`lathe preview` shows how).
struct ColumnsSection {
  std::string prompt, completion, input, system, messages, tools, text, choices, answer;
  static void fields(auto& f, auto& c) {
    f("prompt", c.prompt, "key of the prompt");
    f("completion", c.completion, "key of the answer");
    f("input", c.input, "key of a text that follows the prompt");
    f("system", c.system, "key of the system text");
    f("messages", c.messages, "key of a conversation");
    f("tools", c.tools, "key of the tools a conversation may call");
    f("text", c.text, "key of a plain document");
    f("choices", c.choices, "key of the list of possible answers");
    f("answer", c.answer, "with choices: key of the right one, as text, index from 0, label or letter");
  }
};

// `data.template`: one string with {column} slots, or {prompt, completion} of them.
struct TemplateSection {
  std::string text, prompt, completion;
  static void fields(auto& f, auto& c) {
    f("text", c.text, "a plain document made of a record, with {column} slots");
    f("prompt", c.prompt, "the prompt made of a record, with {column} slots");
    f("completion", c.completion, "the answer made of a record, with {column} slots");
  }
};

// Fill-in-the-middle for code (arXiv 2207.14255): documents cut in three, the middle moved to the end.
struct FillInMiddleSection {
  double rate = 0;        // share of the documents; 0: off
  double spm_rate = 0.5;  // of those, suffix first
  static void fields(auto& f, auto& c) {
    f("rate", c.rate, "share of the documents whose middle is moved to the end; 0 for off", range(0.0, 1.0));
    f("spm_rate", c.spm_rate, "of those, the share written suffix first (SPM) instead of prefix first (PSM)",
      range(0.0, 1.0));
  }
};

// `data.validation: {folds: 5}`: every example is held out once, in one run of five; `fold` names one of
// them.
struct FoldsSection {
  std::int64_t folds = 0;  // 0: none
  std::int64_t fold = 0;   // 1 ... folds; 0: all of them, one run after another, then one on all examples
  static void fields(auto& f, auto& c) {
    f("folds", c.folds, "tuning: runs that each hold out another part, before one on all", range(2, 1000));
    f("fold", c.fold, "this one alone; 0 for all and the run on all examples", range(0, 1000));
  }
};

// `data.validation`: a share in (0, 1), a path, named sets, or folds.
struct ValidationSection {
  double share = 0;
  FoldsSection folds;
  std::vector<SourceSection> sets;
};

struct DataSection {
  std::vector<SourceSection> train;  // a single path is accepted and becomes one source
  ValidationSection validation;
  std::optional<std::int64_t> split_seed;  // of what is held out; absent: train.seed
  std::int64_t sequence_length = 512;
  bool packing = true;
  bool deduplicate = true;
  std::string overlength;  // split | error | drop | truncate; empty: split when pretraining, else error
  std::string encoding = "error";      // error | replace | skip: what invalid UTF-8 does; or a charset's name
  std::string cache;                   // folder of shards; default .lathe/cache beside `directory`'s parent
  std::int64_t workers = 0;            // 0: threads
  std::string format;                  // tuning: of the records; empty: detected from all of them
  std::string loss_on = "completion";  // tuning: completion | assistant | last_assistant | all
  ColumnsSection columns;
  TemplateSection template_;  // key `template`
  FillInMiddleSection fill_in_middle;
  std::vector<std::int64_t> resolution = {64};  // pictures: width and height, or one number for both
  std::int64_t channels = 3;                    // pictures: 1 or 3
  double background = 1;                        // pictures: what shows through alpha, 0 black to 1 white
  bool flip = false;                            // pictures: each also mirrored
  std::int64_t crops = 1;                       // pictures: places along the longer side
  std::int64_t bucket_step = 0;  // pictures: sizes of the aspect buckets are multiples; 0: one size
  std::string masks = "none";    // pictures: none | file | alpha
  std::string trigger;           // pictures: a word that every caption has
  bool cache_encodings = true;   // pictures: what frozen encoders make of them, on disk
  static void fields(auto& f, auto& c) {
    f.sources("train", c.train, "a path, or a list of sources {path, glob, field, weight}");
    f.validation("validation", c.validation,
                 "a share of the documents, a path, named sets [{name, path}], or for tuning {folds: 5}");
    f("split_seed", c.split_seed, "tuning: which examples are held out; default train.seed",
      range(0, std::int64_t{1} << 62));
    f("sequence_length", c.sequence_length, "tokens in the row that the model sees", range(8, 1 << 20));
    f("packing", c.packing, "several documents in one row, each seeing only itself");
    f("deduplicate", c.deduplicate, "drop exact duplicates");
    f("overlength", c.overlength, "documents longer than a row; default split when pretraining",
      choice({"", "split", "error", "drop", "truncate"}));
    f("encoding", c.encoding,
      "invalid UTF-8: error, replace the bytes, or skip the document (counted; not in tuning); tuning: or "
      "the "
      "charset's name, e.g. windows-1251");
    f("cache", c.cache, "where shards live; default .lathe_cache in the run directory's parent");
    f("workers", c.workers, "threads of preparation; 0 for all", range(0, 1024));
    f("format", c.format,
      "tuning: shape of the records (prompt_completion, alpaca, chat ...); default: detected");
    f("loss_on", c.loss_on,
      "tuning: what is learned: the completion, every assistant turn, the last one, or all",
      choice({"completion", "assistant", "last_assistant", "all"}));
    f("columns", c.columns, "tuning: which keys of a record mean what");
    f("fill_in_middle", c.fill_in_middle, "code: learn to insert; plain texts only");
    f("template", c.template_, "tuning: a string with {column} slots, or {prompt, completion} of them");
    f("resolution", c.resolution, "pictures: one number, or [width, height]", range(8, 1 << 14));
    f("channels", c.channels, "pictures: 3 for colour, 1 for grey", range(1, 3));
    f("background", c.background, "pictures: what shows through alpha, 0 for black to 1 for white",
      range(0.0, 1.0));
    f("flip", c.flip, "pictures: each is also seen mirrored, as a picture of its own");
    f("crops", c.crops,
      "pictures: so many crops along the longer side, each a picture of its own; 1: the middle",
      range(1, 16));
    f("bucket_step", c.bucket_step,
      "pictures: keep their shape, in sizes of about `resolution` whose sides are "
      "multiples of this; 0: all of one size",
      range(0, 1 << 10));
    f("masks", c.masks,
      "pictures: where the loss counts: everywhere, as <name>-mask.png says, or where alpha is",
      choice({"none", "file", "alpha"}));
    f("trigger", c.trigger,
      "pictures: a word put before every caption that lacks it; {trigger} in a caption is it");
    f("cache_encodings", c.cache_encodings,
      "pictures: keep what a frozen VAE and a frozen text encoder make of pictures and captions in the "
      "cache; "
      "false: in memory alone, made anew at every start");
  }
};

}  // namespace lathe
