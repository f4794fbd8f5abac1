#include "data/shards/tokenise.h"

#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/document_feed.h"
#include "data/shards/writer.h"
#include "data/sources/split.h"

namespace lathe {
namespace {

// The documents a selection takes, chunk by chunk; files that hold none are not opened again.
class SelectedFeed {
 public:
  SelectedFeed(const Selection& selection, const std::string& encoding, const Fraction& progress)
      : selection_(selection),
        progress_(progress),
        files_(useful_files(selection)),
        feed_(chosen(selection, files_), selection.corpus->sections, encoding) {}

  // The chunk's documents that are taken; false at the end.
  bool next(std::vector<Document>& documents) {
    documents.clear();
    std::vector<FedDocument> chunk;
    if (!feed_.next(chunk)) return false;
    for (FedDocument& fed : chunk) {
      const std::size_t file = files_[fed.file];
      const std::size_t index = selection_.survey->first_document[file] + fed.index;
      check_unchanged(fed.document, index, selection_.survey->first_document[file + 1]);
      if (selection_.takes(index)) {
        const auto [begin, end] = selection_.part(index);
        fed.document.text.resize(end);  // in place: a document may be most of the memory
        fed.document.text.erase(0, begin);
        documents.push_back(std::move(fed.document));
      }
      if (progress_) last_ = fed.file;
    }
    if (progress_) progress_(static_cast<double>(last_) / static_cast<double>(files_.size()));
    return true;
  }

 private:
  static std::vector<std::size_t> useful_files(const Selection& selection) {
    std::vector<std::size_t> files;
    for (std::size_t f = 0; f < selection.corpus->files.size(); ++f) {
      bool useful = false;
      for (std::size_t d = selection.survey->first_document[f]; d < selection.survey->first_document[f + 1];
           ++d) {
        useful = useful || selection.takes(d);
      }
      if (useful) files.push_back(f);
    }
    return files;
  }

  static std::vector<SourceFile> chosen(const Selection& selection, const std::vector<std::size_t>& files) {
    std::vector<SourceFile> result;
    for (const std::size_t f : files) result.push_back(selection.corpus->files[f]);
    return result;
  }

  void check_unchanged(const Document& document, std::size_t index, std::size_t end) const {
    const bool known =
        index < end && selection_.survey->documents[index].bytes == document.text.size() &&
        selection_.survey->documents[index].xxh3 == xxh3(std::as_bytes(std::span(document.text)));
    require(known, document.origin,
            ": the file changed while it was being prepared; start again when it is still");
  }

  const Selection& selection_;
  Fraction progress_;
  std::vector<std::size_t> files_;
  DocumentFeed feed_;
  std::size_t last_ = 0;
};

class SelectedStream : public DocumentStream {
 public:
  SelectedStream(const Selection& selection, std::string encoding, Fraction progress)
      : selection_(selection), encoding_(std::move(encoding)), progress_(std::move(progress)) {
    reset();
  }
  bool next(std::string& text) override {
    while (at_ == documents_.size()) {
      at_ = 0;
      if (!feed_->next(documents_)) {
        documents_.clear();
        return false;
      }
    }
    text = std::move(documents_[at_++].text);
    return true;
  }
  void reset() override {
    feed_ = std::make_unique<SelectedFeed>(selection_, encoding_, progress_);
    documents_.clear();
    at_ = 0;
  }

 private:
  const Selection& selection_;
  std::string encoding_;
  Fraction progress_;
  std::unique_ptr<SelectedFeed> feed_;
  std::vector<Document> documents_;
  std::size_t at_ = 0;
};

struct Encoded {
  std::uint64_t read = 0, kept = 0;  // tokens; kept 0: left out
  std::size_t bytes = 0;             // of the text that is kept
  std::vector<std::vector<TokenId>> documents;
};

Encoded encode_document(const Tokenizer& tokenizer, const Document& document,
                        const TokeniseOptions& options) {
  const std::string& text = document.text;
  const std::uint64_t width = options.packing.sequence_length;
  // The bytes of each token take four times its id: only where a text is cut between tokens.
  const bool traced = options.fill_in_middle || options.overlength == Overlength::Truncate;
  Encoding encoding;
  if (traced)
    encoding = tokenizer.encode(text);
  else
    encoding.ids = tokenizer.ids(text);
  const std::optional<TokenId> eos = tokenizer.special().eos;
  Encoded encoded;
  encoded.read = encoding.ids.size() + (eos ? 1 : 0);
  encoded.kept = kept_length(encoded.read, width, options.overlength, document.origin);
  if (encoded.kept == 0) return encoded;
  const bool cut = encoded.kept < encoded.read;
  encoded.bytes = traced && cut && encoding.ids.size() > width ? encoding.end[width] : text.size();
  if (options.fill_in_middle && !cut) {
    encoded.documents = fim_documents(text, encoding, width + 1, *options.fill_in_middle, tokenizer);
    return encoded;
  }
  encoded.documents.push_back(std::move(encoding.ids));
  if (eos) encoded.documents[0].push_back(*eos);
  encoded.documents[0].resize(encoded.kept);
  return encoded;
}

}  // namespace

bool Selection::in_source(std::size_t document) const {
  return !source || survey->documents[document].source == *source;
}

bool Selection::takes(std::size_t document) const {
  const bool both = fates[document] == Fate::Cut && wanted != Fate::Duplicate;
  return (fates[document] == wanted || both) && in_source(document);
}

std::pair<std::uint64_t, std::uint64_t> Selection::part(std::size_t document) const {
  const std::uint64_t bytes = survey->documents[document].bytes;
  if (fates[document] != Fate::Cut || wanted == Fate::Cut) return {0, bytes};
  const std::uint64_t cut = cuts.at(document);
  return wanted == Fate::HeldOut ? std::pair{cut, bytes} : std::pair{std::uint64_t{0}, cut};
}

std::string Selection::sha256() const {
  Sha256 hash;
  for (std::size_t d = 0; d < fates.size(); ++d) {
    if (!takes(d)) continue;
    hash.update(hex(survey->documents[d].sha256));
    if (fates[d] == Fate::Cut) hash.update(cat(' ', part(d).first, '-', part(d).second));
  }
  return hash.hex();
}

TokenLedger Selection::counts() const {
  TokenLedger ledger;
  for (std::size_t d = 0; d < fates.size(); ++d) {
    const bool duplicate = wanted == Fate::Keep && fates[d] == Fate::Duplicate && in_source(d);
    if (!duplicate && !takes(d)) continue;
    ++ledger.documents_read;
    ledger.documents_duplicate += duplicate ? 1 : 0;
    ledger.documents_cut += fates[d] == Fate::Cut ? 1 : 0;
    const auto [begin, end] = part(d);
    ledger.bytes_read += end - begin;
  }
  for (std::size_t s = 0; s < survey->counts.size() && wanted == Fate::Keep; ++s) {
    if (source && *source != s) continue;
    const std::uint64_t left_out = survey->counts[s].empty + survey->counts[s].invalid_skipped;
    ledger.documents_read += left_out;
    ledger.documents_dropped += left_out;
  }
  return ledger;
}

std::map<std::size_t, std::uint64_t> place_cuts(const Corpus& corpus, const Survey& survey,
                                                const DocumentSplit& split, const std::string& encoding) {
  std::map<std::size_t, std::uint64_t> cuts;
  if (split.tails.empty()) return cuts;
  const Selection selection{&corpus, &survey, split.fates, Fate::Cut, {}};
  SelectedFeed feed(selection, encoding, {});
  auto tail = split.tails.begin();  // the feed gives the documents in their order
  for (std::vector<Document> documents; feed.next(documents);) {
    for (const Document& document : documents) {
      cuts[tail->first] = tail_begin(document.text, tail->second);
      ++tail;
    }
  }
  return cuts;
}

TokenLedger tokenise(const Selection& selection, const Tokenizer& tokenizer, const std::string& path,
                     const ShardInfo& info, const TokeniseOptions& options, const Fraction& progress) {
  ShardInfo complete = info;
  TokenLedger& ledger = complete.ledger = selection.counts();
  ShardWriter writer(path, tokenizer.vocab_size(), *options.files);
  SelectedFeed feed(selection, options.encoding, progress);
  std::vector<Document> documents;
  while (feed.next(documents)) {
    std::vector<Encoded> encoded(documents.size());
    parallel_for(documents.size(), options.threads, [&](std::size_t i) {
      encoded[i] = encode_document(tokenizer, documents[i], options);
      std::string().swap(documents[i].text);
    });
    for (std::size_t i = 0; i < documents.size(); ++i) {
      Encoded& one = encoded[i];
      ledger.tokens_read += one.read;
      if (one.kept == 0) {
        ++ledger.documents_dropped;
        ledger.tokens_dropped += one.read;
        continue;
      }
      std::uint64_t made = 0;
      for (const auto& ids : one.documents) made += ids.size();
      ledger.documents_read += one.documents.size() - 1;
      ledger.tokens_read += made - one.kept;  // markers
      ledger.tokens_truncated += one.read - one.kept;
      ledger.bytes_kept += one.bytes;
      for (const auto& ids : one.documents)
        writer.add_document(ids, static_cast<std::uint16_t>(documents[i].source));
    }
  }
  if (writer.documents() == 0) return ledger;
  return writer.finish(complete, options.packing);
}

std::unique_ptr<DocumentStream> document_stream(const Selection& selection, const std::string& encoding,
                                                const Fraction& progress) {
  return std::make_unique<SelectedStream>(selection, encoding, progress);
}

}  // namespace lathe
