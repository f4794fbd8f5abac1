#include "data/shards/tokenise.h"

#include "data/io/hash.h"
#include "data/io/threads.h"
#include "data/shards/document_feed.h"
#include "data/shards/writer.h"

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
      if (selection_.takes(index)) documents.push_back(std::move(fed.document));
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
      for (std::size_t d = selection.survey->first_document[f]; d < selection.survey->first_document[f + 1]; ++d) {
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
    const bool known = index < end && selection_.survey->documents[index].bytes == document.text.size() &&
                       selection_.survey->documents[index].xxh3 == xxh3(std::as_bytes(std::span(document.text)));
    require(known, document.origin, ": the file changed while it was being prepared; start again when it is still");
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
  std::vector<TokenId> ids;
  std::size_t bytes_of_row = 0;  // of the text, that the first sequence_length + 1 ids cover
};

Encoded encode_document(const Tokenizer& tokenizer, const std::string& text, std::optional<TokenId> eos,
                        std::uint64_t sequence_length) {
  Encoding encoding = tokenizer.encode(text);
  Encoded encoded;
  encoded.bytes_of_row = encoding.ids.size() > sequence_length ? encoding.end[sequence_length] : text.size();
  encoded.ids = std::move(encoding.ids);
  if (eos) encoded.ids.push_back(*eos);
  return encoded;
}

}  // namespace

bool Selection::in_source(std::size_t document) const {
  return !source || survey->documents[document].source == *source;
}

bool Selection::takes(std::size_t document) const { return fates[document] == wanted && in_source(document); }

std::string Selection::sha256() const {
  Sha256 hash;
  for (std::size_t d = 0; d < fates.size(); ++d) {
    if (takes(d)) hash.update(survey->documents[d].sha256);
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
    ledger.bytes_read += survey->documents[d].bytes;
  }
  for (std::size_t s = 0; s < survey->counts.size() && wanted == Fate::Keep; ++s) {
    if (source && *source != s) continue;
    const std::uint64_t left_out = survey->counts[s].empty + survey->counts[s].invalid_skipped;
    ledger.documents_read += left_out;
    ledger.documents_dropped += left_out;
  }
  return ledger;
}

TokenLedger tokenise(const Selection& selection, const Tokenizer& tokenizer, const std::string& path,
                     const ShardInfo& info, const TokeniseOptions& options, const Fraction& progress) {
  const std::uint64_t width = options.packing.sequence_length;
  const std::optional<TokenId> eos = tokenizer.special().eos;
  ShardInfo complete = info;
  TokenLedger& ledger = complete.ledger = selection.counts();
  ShardWriter writer(path, tokenizer.vocab_size(), *options.files);
  SelectedFeed feed(selection, options.encoding, progress);
  std::vector<Document> documents;
  while (feed.next(documents)) {
    std::vector<Encoded> encoded(documents.size());
    parallel_for(documents.size(), options.threads, [&](std::size_t i) {
      encoded[i] = encode_document(tokenizer, documents[i].text, eos, width);
    });
    for (std::size_t i = 0; i < documents.size(); ++i) {
      const std::span<const TokenId> ids = encoded[i].ids;
      const std::uint64_t kept = kept_length(ids.size(), width, options.overlength, documents[i].origin);
      ledger.tokens_read += ids.size();
      if (kept == 0) {
        ++ledger.documents_dropped;
        ledger.tokens_dropped += ids.size();
        continue;
      }
      ledger.tokens_truncated += ids.size() - kept;
      ledger.bytes_kept += kept < ids.size() ? encoded[i].bytes_of_row : documents[i].text.size();
      writer.add_document(ids.first(kept), static_cast<std::uint16_t>(documents[i].source));
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
