#pragma once
// Line plots as inline SVG, coloured by the page's style sheet so that they follow light and dark.
#include <string>
#include <utility>
#include <vector>

namespace lathe {

using Points = std::vector<std::pair<double, double>>;  // x ascending; NaN breaks a line

struct Series {
  std::string name;
  std::string style;  // class of the style sheet: "train", "raw", "validation" ...
  Points points;
  bool markers = false;  // a dot with a tooltip at each point
};

struct Plot {
  std::string id, title, y_name;
  std::vector<Series> series;
  bool from_zero = false;     // the y axis starts at 0
  bool scientific = false;    // ticks as 1e-03
  double lowest_maximum = 0;  // the y axis reaches at least here
};

// <figure> with legend and <svg role="img"> that has a title and a description. Empty text when there is
// nothing to draw.
std::string render_plot(const Plot& plot);

// Exponential moving average without bias at the start (Adam's correction); NaN is skipped.
Points smoothed(const Points& points, double window);
// At most about `columns` pairs of lowest and highest, so that peaks stay visible.
Points thinned(const Points& points, std::size_t columns);
// 4 to 8 round positions (1, 2 or 5 times a power of ten) that cover [low, high] from inside.
std::vector<double> ticks(double low, double high, int wanted);

}  // namespace lathe
