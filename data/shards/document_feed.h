#pragma once
// The documents of many files as chunks, in order, read ahead by one thread: the consumer works on a chunk in
// parallel while the next ones are read. At most kFeedChunks chunks of about kFeedBytes wait at a time; of
// larger documents, each in a chunk of its own, one waits while the next is read.
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/sources/documents.h"

namespace lathe {

constexpr std::size_t kFeedBytes = std::size_t{4} << 20;
constexpr std::size_t kFeedChunks = 4;

struct FedDocument {
  Document document;
  std::size_t file = 0;   // index into the files
  std::size_t index = 0;  // of the document in that file
};

// Not thread-safe. Errors of reading are thrown by next().
class DocumentFeed {
 public:
  DocumentFeed(std::vector<SourceFile> files, std::vector<SourceSection> sections, std::string encoding);
  ~DocumentFeed();
  bool next(std::vector<FedDocument>& chunk);  // false at the end
  const std::vector<SourceCounts>& counts() const {
    return counts_;
  }  // one a section; complete after the end

 private:
  struct Stopped {};
  void work();
  void push(std::vector<FedDocument>&& chunk, std::size_t bytes);

  std::vector<SourceFile> files_;
  std::vector<SourceSection> sections_;
  std::string encoding_;
  std::vector<SourceCounts> counts_;
  std::mutex mutex_;
  std::condition_variable changed_;
  struct Chunk {
    std::vector<FedDocument> documents;
    std::size_t bytes;
  };
  std::deque<Chunk> ready_;
  std::size_t ready_bytes_ = 0;
  std::exception_ptr error_;
  bool finished_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace lathe
