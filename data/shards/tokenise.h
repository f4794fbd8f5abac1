#pragma once
// The second pass: documents -> ids -> one shard, and the same documents as a stream for the tokenizer's
// training.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/io/file_system.h"
#include "data/shards/packing.h"
#include "data/shards/survey.h"
#include "data/templates/fill_in_middle.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

// The documents of one set, or of one of its sources.
struct Selection {
  const Corpus* corpus = nullptr;
  const Survey* survey = nullptr;
  std::vector<Fate> fates;  // parallel to survey->documents
  Fate wanted = Fate::Keep;
  std::optional<std::uint32_t> source;             // only this one
  std::map<std::size_t, std::uint64_t> cuts = {};  // of documents that are cut: where the held-out end begins

  bool in_source(std::size_t document) const;
  bool takes(std::size_t document) const;
  std::pair<std::uint64_t, std::uint64_t> part(std::size_t document) const;  // [begin, end) of its bytes
  std::string sha256() const;                                                // over the texts taken, in order
  TokenLedger counts() const;  // documents and bytes read, duplicates, what reading left out
};

struct TokeniseOptions {
  PackingOptions packing;
  Overlength overlength = Overlength::Split;
  std::string encoding = "error";
  std::optional<FimRule> fill_in_middle = {};  // its pieces count as documents
  int threads = 0;
  FileSystem* files = nullptr;
};

// Reads the documents that `split` cuts once more and says where the end of each begins: at a blank line or a
// line's end (tail_begin), a function of the text and the bytes wanted alone.
std::map<std::size_t, std::uint64_t> place_cuts(const Corpus& corpus, const Survey& survey,
                                                const DocumentSplit& split, const std::string& encoding);

// Writes `path` with info and the completed ledger, which it returns; writes nothing when no document is left
// (documents_kept is 0 then). The bytes do not depend on the number of threads. Error when a text is not what
// the survey saw.
TokenLedger tokenise(const Selection& selection, const Tokenizer& tokenizer, const std::string& path,
                     const ShardInfo& info, const TokeniseOptions& options, const Fraction& progress = {});

// The documents taken, for train_tokenizer.
std::unique_ptr<DocumentStream> document_stream(const Selection& selection, const std::string& encoding,
                                                const Fraction& progress = {});

}  // namespace lathe
