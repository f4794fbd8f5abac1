// Trains CLIP's kind of tokenizer for tests/peers/test_clip_tokenizer.py and writes its files.
//   train_clip TEXTS.json VOCAB_SIZE FOLDER     (TEXTS.json: an array of strings; FOLDER exists)
#include <fstream>
#include <iostream>

#include "data/tokenizers/tokenizer.h"

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: train_clip TEXTS.json VOCAB_SIZE FOLDER\n";
    return 2;
  }
  try {
    const auto texts = lathe::read_json(arguments[1]).get<std::vector<std::string>>();
    lathe::TokenizerTraining options;
    options.kind = "clip_bpe";
    options.vocab_size = std::stoul(arguments[2]);
    for (const lathe::TokenizerFile& file : lathe::train_tokenizer(texts, options)->files())
      std::ofstream(std::string(arguments[3]) + "/" + file.name, std::ios::binary) << file.content;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
