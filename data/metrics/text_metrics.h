#pragma once
// Scores of one answer against its reference, each with the values of the Python library that everybody
// quotes. Pure functions; texts are UTF-8, invalid bytes count as U+FFFD.
#include <string>
#include <string_view>

namespace lathe {

// 1 when the bytes are equal, else 0.
double exact_match(std::string_view prediction, std::string_view reference);
// The same after normalise_answer.
double exact_match_normalised(std::string_view prediction, std::string_view reference);
// ROUGE-L (Lin, 2004), F1 of the longest common subsequence: rouge_score's rougeL with use_stemmer=False, so
// words are runs of a-z and 0-9 in lower case, and an accented letter ends one. 0 to 1.
double rouge_l(std::string_view prediction, std::string_view reference);
// chrF2 (Popovic, 2015): sacrebleu's sentence_score with its defaults (characters 1 to 6, beta 2, no white
// space, no smoothing). 0 to 100.
double chrf(std::string_view prediction, std::string_view reference);
// Token F1 of SQuAD's evaluation script (Rajpurkar et al., 2016) over the words of normalise_answer; where
// either has no words, 1 when both have none, else 0 (version 2.0's rule).
double span_f1(std::string_view prediction, std::string_view reference);
// 1 when the prediction, white space around it aside, is one JSON text by RFC 8259.
double json_valid(std::string_view prediction);

// SQuAD's: lower case, without ASCII punctuation, without the words a, an, the, single spaces.
std::string normalise_answer(std::string_view text);

}  // namespace lathe
