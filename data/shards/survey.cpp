#include "data/shards/survey.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/document_feed.h"
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
      survey.documents[first + i] = {.sha256 = sha256(text),
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
      for (std::size_t d = begin; d < end; ++d) hash.update(hex(surveys[c].documents[d].sha256));
    }
  }
  return hash.hex();
}

namespace {

// Of equal texts the first is kept.
void mark_duplicates(const Survey& survey, std::vector<Fate>& fates) {
  const auto& documents = survey.documents;
  std::vector<std::uint32_t> order(documents.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const int sign =
        std::memcmp(documents[a].sha256.data(), documents[b].sha256.data(), sizeof(Sha256Digest));
    return sign != 0 ? sign < 0 : a < b;
  });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (documents[order[i]].sha256 == documents[order[i - 1]].sha256) fates[order[i]] = Fate::Duplicate;
}

// Documents that take part in the split, as their hashes, sizes and near-duplicates. Copies take no part:
// they would shift the shares.
std::vector<DocumentKey> keys_of(const Survey& survey, const std::vector<std::uint32_t>& candidates) {
  std::vector<DocumentKey> keys;
  keys.reserve(candidates.size());
  const std::vector<std::uint32_t> groups = near_duplicate_groups(survey.signatures, candidates);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const DocumentFacts& facts = survey.documents[candidates[i]];
    keys.push_back({.sha256 = facts.sha256, .bytes = facts.bytes, .group = groups[i]});
  }
  return keys;
}

}  // namespace

DocumentSplit select_documents(const Survey& survey, const SelectionOptions& options) {
  const std::size_t count = survey.documents.size();
  require(count < 0xFFFFFFFFU, "data: more than 2^32 documents");
  DocumentSplit split{std::vector<Fate>(count, Fate::Keep), {}};
  std::vector<Fate>& fates = split.fates;
  if (options.deduplicate) mark_duplicates(survey, fates);
  if (options.validation_share == 0) return split;

  std::vector<std::uint32_t> candidates;
  for (std::uint32_t d = 0; d < count; ++d)
    if (fates[d] == Fate::Keep) candidates.push_back(d);
  const std::vector<DocumentKey> keys = keys_of(survey, candidates);
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

std::size_t keep_apart(const Survey& training, const Survey& held, bool drop, std::vector<Fate>& fates) {
  std::set<Sha256Digest> out;
  for (const DocumentFacts& document : held.documents) out.insert(document.sha256);
  std::size_t shared = 0;
  for (std::size_t d = 0; d < fates.size(); ++d) {
    if (fates[d] != Fate::Keep || !out.contains(training.documents[d].sha256)) continue;
    ++shared;
    if (drop) fates[d] = Fate::Duplicate;
  }
  return shared;
}

}  // namespace lathe
