#include "data/sources/csv.h"

#include <algorithm>
#include <set>
#include <utility>

#include "data/sources/problems.h"

namespace lathe {
namespace {

struct Fault {
  std::size_t line = 0;  // 0: none
  std::string text;
};

// Splits text into rows; one pass, so that a quoted newline is never mistaken for the end of a row.
class Splitter {
 public:
  Splitter(std::string_view text, char separator, std::size_t line)
      : text_(text), separator_(separator), line_(line) {}

  std::vector<CsvRow> run(Fault& fault) {
    std::vector<CsvRow> rows;
    while (at_ < text_.size() && fault.line == 0) {
      CsvRow row{line_, {}};
      do {
        row.fields.push_back(field(fault));
      } while (fault.line == 0 && take(separator_));
      if (at_ < text_.size() && fault.line == 0) end_line();
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  bool at_end_of_field() const {
    return at_ >= text_.size() || text_[at_] == separator_ || text_[at_] == '\n' || text_[at_] == '\r';
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void end_line() {
    if (take('\r')) {
      take('\n');
    } else {
      take('\n');
    }
    ++line_;
  }

  std::string field(Fault& fault) {
    if (at_ < text_.size() && text_[at_] == '"') return quoted(fault);
    const std::size_t begin = at_;
    while (!at_end_of_field()) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted(Fault& fault) {
    const std::size_t opened = line_;
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
        ++at_;
      }
      if (c == '\n' || (c == '\r' && (at_ + 1 >= text_.size() || text_[at_ + 1] != '\n'))) ++line_;
      value += c;
    }
    if (at_ >= text_.size()) {
      fault = {opened, "a quote opens here and never closes; inside quotes write \"\" for one quote"};
      return value;
    }
    ++at_;
    if (!at_end_of_field()) {
      fault = {line_, "text behind a closing quote; inside quotes write \"\" for one quote"};
    }
    return value;
  }

  std::string_view text_;
  char separator_;
  std::size_t at_ = 0, line_;
};

struct Candidate {
  char separator = 0;
  double consistent = -1;  // share of rows with as many fields as the header
  std::size_t columns = 0;
};

bool is_blank(const CsvRow& row) {
  return std::all_of(row.fields.begin(), row.fields.end(),
                     [](const std::string& f) { return f.find_first_not_of(" \t") == f.npos; });
}

char detect_separator(std::string_view text) {
  Candidate best;
  for (const char separator : {',', ';', '\t', '|'}) {
    Fault fault;
    const auto rows = Splitter(text, separator, 1).run(fault);
    if (rows.empty() || rows[0].fields.size() < 2) continue;
    std::size_t equal = 0, filled = 0;
    for (const auto& row : rows) {
      if (is_blank(row)) continue;
      ++filled;
      equal += row.fields.size() == rows[0].fields.size();
    }
    const double share =
        fault.line ? 0.0 : static_cast<double>(equal) / static_cast<double>(std::max<std::size_t>(filled, 1));
    if (share > best.consistent || (share == best.consistent && rows[0].fields.size() > best.columns)) {
      best = {separator, share, rows[0].fields.size()};
    }
  }
  return best.separator ? best.separator : ',';
}

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

// Spreadsheets leave empty columns at the right: without a name and without a value they do not count.
void drop_empty_columns(CsvTable& table) {
  while (!table.columns.empty() && table.columns.back().empty()) {
    const std::size_t last = table.columns.size() - 1;
    for (const auto& row : table.rows) {
      if (row.fields.size() > last + 1 ||
          (row.fields.size() == last + 1 && !trimmed(row.fields[last]).empty()))
        return;
    }
    for (auto& row : table.rows) row.fields.resize(std::min(row.fields.size(), last));
    table.columns.pop_back();
  }
}

void check(const CsvTable& table, const std::string& path) {
  Problems problems;
  std::set<std::string> names;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].empty()) {
      problems.add(path, ":1: column ", i + 1, " has no name; the first row must name the columns");
    } else if (!names.insert(table.columns[i]).second) {
      problems.add(path, ":1: two columns are called '", table.columns[i], "'; rename one");
    }
  }
  for (const auto& row : table.rows) {
    if (row.fields.size() == table.columns.size()) continue;
    problems.add(path, ":", row.line, ": wanted ", table.columns.size(),
                 " fields as in the first row (separator: ", separator_name(table.separator), "), found ",
                 row.fields.size(), "; put a text that holds a ", separator_name(table.separator),
                 " in quotes");
  }
  problems.raise();
}

}  // namespace

std::string separator_name(char separator) {
  switch (separator) {
    case ',':
      return "comma";
    case ';':
      return "semicolon";
    case '\t':
      return "tab";
    case '|':
      return "bar";
    default:
      return std::string("'") + separator + "'";
  }
}

CsvTable parse_csv(std::string_view text, const std::string& path, char separator) {
  std::size_t line = 1;
  if (text.starts_with("sep=") && text.size() > 5 && (text[5] == '\r' || text[5] == '\n')) {
    if (!separator) separator = text[4];
    text.remove_prefix(text.substr(5).starts_with("\r\n") ? 7 : 6);
    line = 2;
  }
  CsvTable table;
  table.separator = separator ? separator : detect_separator(text);
  Fault fault;
  auto rows = Splitter(text, table.separator, line).run(fault);
  if (fault.line) fail_usage(path, ":", fault.line, ": ", fault.text);
  const auto all = rows.size();
  const auto first = std::find_if(rows.begin(), rows.end(), [](const CsvRow& row) { return !is_blank(row); });
  if (first == rows.end())
    fail_usage(path, ": the file is empty; wanted a first row of column names and a row an example");
  for (const auto& name : first->fields) table.columns.push_back(trimmed(name));
  rows.erase(rows.begin(), first + 1);
  std::erase_if(rows, is_blank);
  table.rows = std::move(rows);
  const std::size_t blank = all - 1 - table.rows.size();
  if (blank)
    table.notes.push_back(cat(path, ": ", blank, blank == 1 ? " empty row" : " empty rows", " left out"));
  drop_empty_columns(table);
  check(table, path);
  return table;
}

}  // namespace lathe
