#pragma once
// The first pass over the data: what there is, by content. Holds facts of every document, never the texts:
// about 60 bytes each, and until the split is made 250 more (signatures, the selection's own).
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/io/hash.h"
#include "data/sources/documents.h"
#include "data/sources/near_duplicates.h"

namespace lathe {

// The sources of one set: "train", or one of validation.
struct Corpus {
  std::string name;
  std::vector<SourceSection> sections;
  std::vector<SourceFile> files;
  std::string left_out = {};  // for people: which files of its folders are not read
};

struct DocumentFacts {
  Sha256Digest sha256{};   // of the text
  std::uint64_t xxh3 = 0;  // of the text: the second pass checks that it reads the same
  std::uint64_t bytes = 0;
  std::uint32_t source = 0;
};

struct Survey {
  std::deque<DocumentFacts> documents;  // in order, over all files; a deque: no copy of all while it grows
  std::vector<std::size_t> first_document;  // of each file, then the total
  std::vector<SourceCounts> counts;         // one a section
  std::deque<MinHash> signatures;           // parallel to documents; empty unless asked for
};

struct SurveyOptions {
  std::string encoding = "error";
  int threads = 0;
  bool signatures = false;  // for near-duplicates: 128 bytes a document
};

using Fraction = std::function<void(double)>;  // progress in [0, 1]

Survey survey_corpus(const Corpus& corpus, const SurveyOptions& options, const Fraction& progress = {});

// SHA-256 over names, sizes and contents of all corpora, independent of the folder they lie in.
std::string hash_corpora(const std::vector<Corpus>& corpora, const std::vector<Survey>& surveys);

// Which documents go where.
enum class Fate : std::uint8_t { Keep, HeldOut, Duplicate, Cut };  // Cut: its end is held out, the rest kept

struct DocumentSplit {
  std::vector<Fate> fates;                     // parallel to the survey's documents
  std::map<std::size_t, std::uint64_t> tails;  // of those that are cut: the bytes wanted of their end
};

struct SelectionOptions {
  bool deduplicate = true;
  double validation_share = 0;  // 0: none; else the survey needs its signatures
  int threads = 0;
};

// Of equal texts the first is kept, over all sources. The split never separates near-duplicates; it cuts
// documents where whole ones cannot give about the share (data/sources/split.h).
DocumentSplit select_documents(const Survey& survey, const SelectionOptions& options);

// The training documents that are kept and equal one of the `held` set: they become duplicates when `drop` is
// set, so that what is held out is never trained on. Returns how many there are.
std::size_t keep_apart(const Survey& training, const Survey& held, bool drop, std::vector<Fate>& fates);

}  // namespace lathe
