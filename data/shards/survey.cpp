#include "data/shards/survey.h"

#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/document_feed.h"
#include "data/sources/duplicates.h"
#include "data/sources/split.h"
#include "recipes/schema/error.h"

namespace lathe {

Survey survey_corpus(const Corpus& corpus, const SurveyOptions& options, const Fraction& progress) {
  Survey survey;
  std::uint64_t total = 0, read = 0;
  for (const SourceFile& file : corpus.files) total += file.bytes;
  DocumentFeed feed(corpus.files, corpus.sections, options.encoding);
  std::vector<FedDocument> chunk;
  while (feed.next(chunk)) {
    const std::size_t first = survey.documents.size();
    survey.documents.resize(first + chunk.size());
    if (options.signatures) survey.signatures.resize(first + chunk.size());
    parallel_for(chunk.size(), options.threads, [&](std::size_t i) {
      const std::string& text = chunk[i].document.text;
      survey.documents[first + i] = {.sha256 = sha256_hex(text),
                                     .xxh3 = xxh3(std::as_bytes(std::span(text))),
                                     .bytes = text.size(),
                                     .source = chunk[i].document.source};
      if (options.signatures) survey.signatures[first + i] = min_hash(text);
    });
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      while (survey.first_document.size() <=
             chunk[i].file) {  // files without a document begin where the next does
        if (!survey.first_document.empty()) read += corpus.files[survey.first_document.size() - 1].bytes;
        survey.first_document.push_back(first + i);
      }
    }
    if (progress && total > 0) progress(static_cast<double>(read) / static_cast<double>(total));
  }
  survey.first_document.resize(corpus.files.size() + 1, survey.documents.size());
  survey.counts = feed.counts();
  return survey;
}

std::string hash_corpora(const std::vector<Corpus>& corpora, const std::vector<Survey>& surveys) {
  Sha256 hash;
  for (std::size_t c = 0; c < corpora.size(); ++c) {
    hash.update(cat("set ", corpora[c].name, '\n'));
    for (std::size_t f = 0; f < corpora[c].files.size(); ++f) {
      const SourceFile& file = corpora[c].files[f];
      const std::size_t begin = surveys[c].first_document[f], end = surveys[c].first_document[f + 1];
      hash.update(cat("file ", file.source, ' ', file.bytes, ' ', end - begin, ' ', file.origin, '\n'));
      for (std::size_t d = begin; d < end; ++d) hash.update(surveys[c].documents[d].sha256);
    }
  }
  return hash.hex();
}

DocumentSplit select_documents(const Survey& survey, const SelectionOptions& options) {
  const auto& documents = survey.documents;
  DocumentSplit split{std::vector<Fate>(documents.size(), Fate::Keep), {}};
  std::vector<Fate>& fates = split.fates;
  if (options.deduplicate) {
    DuplicateFilter filter;
    for (std::size_t d = 0; d < documents.size(); ++d) {
      if (!filter.add_sha256(documents[d].sha256)) fates[d] = Fate::Duplicate;
    }
  }
  if (options.validation_share == 0) return split;

  std::vector<std::size_t> candidates;  // copies take no part: they would shift the shares
  NearDuplicates near;
  for (std::size_t d = 0; d < documents.size(); ++d) {
    if (fates[d] != Fate::Keep) continue;
    candidates.push_back(d);
    near.add(survey.signatures.at(d));
  }
  const std::vector<std::uint32_t> groups = near.groups();
  std::vector<DocumentKey> keys;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const DocumentFacts& facts = documents[candidates[i]];
    keys.push_back({.sha256 = facts.sha256, .bytes = facts.bytes, .group = groups[i]});
  }
  if (const auto tails = held_out_tails(keys, options.validation_share); !tails.empty()) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (tails[i] == 0) continue;
      fates[candidates[i]] = Fate::Cut;
      split.tails[candidates[i]] = tails[i];
    }
    return split;
  }
  const std::vector<bool> held = validation_split(keys, options.validation_share);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (held[i]) fates[candidates[i]] = Fate::HeldOut;
  }
  return split;
}

}  // namespace lathe
