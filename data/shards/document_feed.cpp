#include "data/shards/document_feed.h"

namespace lathe {

DocumentFeed::DocumentFeed(std::vector<SourceFile> files, std::vector<SourceSection> sections,
                           std::string encoding)
    : files_(std::move(files)),
      sections_(std::move(sections)),
      encoding_(std::move(encoding)),
      counts_(sections_.size()),
      thread_([this] { work(); }) {}

DocumentFeed::~DocumentFeed() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool DocumentFeed::next(std::vector<FedDocument>& chunk) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || finished_; });
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(error_);
    return false;
  }
  chunk = std::move(ready_.front().documents);
  ready_bytes_ -= ready_.front().bytes;
  ready_.pop_front();
  changed_.notify_all();
  return true;
}

void DocumentFeed::push(std::vector<FedDocument>&& chunk, std::size_t bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return stop_ || ready_.empty() ||
           (ready_.size() < kFeedChunks && ready_bytes_ + bytes <= 2 * kFeedChunks * kFeedBytes);
  });
  if (stop_) throw Stopped();
  ready_.push_back({std::move(chunk), bytes});
  ready_bytes_ += bytes;
  changed_.notify_all();
}

void DocumentFeed::work() {
  std::exception_ptr error;
  try {
    std::vector<FedDocument> chunk;
    std::size_t bytes = 0;
    for (std::size_t f = 0; f < files_.size(); ++f) {
      std::size_t index = 0;
      const SourceFile& file = files_[f];
      read_documents(file, sections_.at(file.source), encoding_, counts_.at(file.source),
                     [&](Document&& document) {
                       bytes += document.text.size() + sizeof(FedDocument);
                       chunk.push_back({std::move(document), f, index++});
                       if (bytes < kFeedBytes) return;
                       push(std::move(chunk), bytes);
                       chunk.clear();
                       bytes = 0;
                     });
    }
    if (!chunk.empty()) push(std::move(chunk), bytes);
  } catch (const Stopped&) {  // the consumer left
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  error_ = error;
  finished_ = true;
  changed_.notify_all();
}

}  // namespace lathe
