// Attention of one document and head in 32 x 32 blocks (bf16), causal or of every token to every other. The
// document is copied into padded blocks, so nothing of its neighbours is ever read and its result cannot
// depend on them; blocks outside a window are not computed. Softmax is over whole rows: memory is linear in
// the document's length, which is what FlashAttention (arXiv 2205.14135) is for; its backward recomputation
// is used as is.
#include "models/ops/blocks.h"
#include "models/ops/kernels.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

#if defined(__AVX512F__)

// Hands out 64-byte aligned arrays of one block of memory.
class Arena {
 public:
  explicit Arena(void* memory) : next_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(std::int64_t count) {
    T* result = reinterpret_cast<T*>(next_);
    next_ += (count * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
    return result;
  }

 private:
  char* next_;
};

std::int64_t padded(std::int64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }

// length x size of a head's rows into padded(length) x padded(size), zeros around.
void copy_padded(const Bfloat* from, std::int64_t row, std::int64_t length, std::int64_t size, Bfloat* to) {
  const std::int64_t width = padded(size);
  std::memset(to, 0, static_cast<std::size_t>(padded(length) * width) * sizeof(Bfloat));
  for (std::int64_t i = 0; i < length; ++i)
    std::memcpy(to + i * width, from + i * row, static_cast<std::size_t>(size) * sizeof(Bfloat));
}

// A row of `count` words or halves plus a cache line: rows a power of two apart would share the few sets of a
// cache.
std::int64_t spread_words(std::int64_t count) { return count + 16; }
std::int64_t spread_halves(std::int64_t count) { return count + 32; }

// Rows of bf16 as words of two neighbours, transposed: paired B of the transpose, rows spread_words(rows)
// apart.
void pair_transposed(const Bfloat* from, std::int64_t rows, std::int64_t columns, std::uint32_t* to) {
  transpose_matrix(reinterpret_cast<const std::uint32_t*>(from), columns / 2, rows, columns / 2, to,
                   spread_words(rows));
}

void store_row(Bfloat* to, const float* from, std::int64_t count, float factor) {
  each_vector(count,
              [&](std::int64_t i, auto width) { store(to + i, load(from + i, width) * factor, width); });
}

constexpr float kLog2E = 1.44269504088896341F;

// 2^(scale * (s - max)) of the first `valid` scores as bf16, zeros up to `width`; returns {max * scale, sum}.
struct RowSoftmax {
  float top, sum;
};
RowSoftmax softmax_row(const float* scores, Bfloat* weights, std::int64_t valid, std::int64_t width,
                       float scale) {
  const Floats lowest = splat(-3.0e38F);
  const std::int64_t whole = valid / 16 * 16;
  const auto rest = static_cast<__mmask16>((1U << (valid - whole)) - 1U);
  Floats largest = reinterpret_cast<Floats>(_mm512_mask_loadu_ps(lowest, rest, scores + whole));
  for (std::int64_t i = 0; i < whole; i += 16) {
    const Floats s = load(scores + i, Full{});
    largest = s > largest ? s : largest;
  }
  const float top = maximum(largest) * scale;
  Floats total{};
  for (std::int64_t i = 0; i < whole; i += 16) {
    const Floats p = power_of_two(fma(load(scores + i, Full{}), splat(scale), splat(-top)));
    total += p;
    store_bfloat(weights + i, p);
  }
  std::int64_t i = whole;
  if (rest != 0) {
    const Floats s = reinterpret_cast<Floats>(_mm512_maskz_loadu_ps(rest, scores + i));
    const Floats p =
        reinterpret_cast<Floats>(_mm512_maskz_mov_ps(rest, power_of_two(fma(s, splat(scale), splat(-top)))));
    total += p;
    store_bfloat(weights + i, p);
    i += 16;
  }
  for (; i < width; i += 16) store_bfloat(weights + i, Floats{});
  return {top, sum(total)};
}

// Gemma 2's cap (arXiv 2408.00118): c * tanh(scale * score / c).
inline Floats soft_cap(Floats scores, float scale, float cap) {
  const Floats twice = scores * (2 * scale / cap);
  return (1.0F - 2.0F / (exponential<5>(twice) + 1.0F)) * cap;
}

// A query's scores of the keys in its block row: `hidden` ones are before its window, `seen` is where the
// future begins.
struct RowRange {
  std::int64_t hidden, seen, width;
};
RowSoftmax softmax_range(const Attention& a, float* scores, Bfloat* weights, const RowRange& range) {
  constexpr float kNever = -1.0e30F;
  const std::int64_t skipped = range.hidden / 16 * 16;
  for (std::int64_t i = 0; i < skipped; i += 16) store_bfloat(weights + i, Floats{});
  if (a.softcap > 0)
    for (std::int64_t i = skipped; i < range.seen; i += 16)
      store(scores + i, soft_cap(load(scores + i, Full{}), a.scale, a.softcap), Full{});
  for (std::int64_t i = skipped; i < range.hidden; ++i) scores[i] = kNever;
  return softmax_row(scores + skipped, weights + skipped, range.seen - skipped, range.width - skipped,
                     (a.softcap > 0 ? 1.0F : a.scale) * kLog2E);
}

// The first key, by whole blocks, that any of the 32 queries from `first` on sees.
std::int64_t first_seen(const Attention& a, std::int64_t first) {
  const std::int64_t key = first - a.window + 1;
  return a.causal && a.window > 0 && key > 0 ? key / kBlock * kBlock : 0;
}

void attention_forward(const Attention& a, void* memory) {
  const BlockScope scope;
  const std::int64_t length = padded(a.length), keys = padded(a.keys), size = padded(a.size);
  Arena arena(memory);
  auto* q = arena.take<Bfloat>(length * size);
  auto* k = arena.take<Bfloat>(keys * size);
  auto* v = arena.take<Bfloat>(keys * size);
  auto* k_columns = arena.take<std::uint32_t>(spread_words(keys) * size / 2);
  auto* v_pairs = arena.take<std::uint32_t>(keys * size / 2);
  auto* scores = arena.take<float>(kBlock * spread_words(keys));
  auto* weights = arena.take<Bfloat>(kBlock * spread_halves(keys));
  auto* mixed = arena.take<float>(kBlock * size);
  copy_padded(static_cast<const Bfloat*>(a.q), a.q_row, a.length, a.size, q);
  copy_padded(static_cast<const Bfloat*>(a.k), a.k_row, a.keys, a.size, k);
  copy_padded(static_cast<const Bfloat*>(a.v), a.v_row, a.keys, a.size, v);
  pair_transposed(k, keys, size, k_columns);
  pair_rows(v, keys, size, v_pairs);
  const std::int64_t column_row = spread_words(keys);
  for (std::int64_t first = 0; first < length; first += kBlock) {
    const std::int64_t begin = first_seen(a, first), width = (a.causal ? first + kBlock : keys) - begin;
    const std::int64_t score_row = spread_words(width), weight_row = spread_halves(width);
    for (std::int64_t j = 0; j < width; j += kBlock)
      multiply_block(q + first * size, size, k_columns + begin + j, column_row, size, scores + j, score_row,
                     false);
    const std::int64_t rows = a.length - first < kBlock ? a.length - first : kBlock;
    float inverse[kBlock];
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t seen = (a.causal ? first + r + 1 : a.keys) - begin;
      const std::int64_t hidden = a.causal && a.window > 0 && seen > a.window ? seen - a.window : 0;
      const RowSoftmax row =
          softmax_range(a, scores + r * score_row, weights + r * weight_row, {hidden, seen, width});
      a.logsumexp[(first + r) * a.statistics_row] = row.top + std::log2(row.sum);
      inverse[r] = 1.0F / row.sum;
    }
    std::memset(weights + rows * weight_row, 0,
                static_cast<std::size_t>((kBlock - rows) * weight_row) * sizeof(Bfloat));
    for (std::int64_t d = 0; d < size; d += kBlock)
      multiply_block(weights, weight_row, v_pairs + begin / 2 * size + d, size, width, mixed + d, size,
                     false);
    for (std::int64_t r = 0; r < rows; ++r)
      store_row(static_cast<Bfloat*>(a.out) + (first + r) * a.out_row, mixed + r * size, a.size, inverse[r]);
  }
}

// What backward keeps of a document's queries, padded.
struct QueryStatistics {
  float* logsumexp;
  float* delta;  // sum over channels of out * dout: what softmax's backward subtracts
};

void query_statistics(const Attention& a, QueryStatistics statistics) {
  for (std::int64_t i = 0; i < padded(a.length); ++i) {
    statistics.logsumexp[i] = 1.0e30F;  // padding: weight 0
    statistics.delta[i] = 0;
    if (i >= a.length) continue;
    const auto* out = static_cast<const Bfloat*>(a.out) + i * a.out_row;
    const auto* dout = static_cast<const Bfloat*>(a.dout) + i * a.out_row;
    Floats total{};
    each_vector(a.size, [&](std::int64_t d, auto width) {
      total = fma(load(out + d, width), load(dout + d, width), total);
    });
    statistics.logsumexp[i] = a.logsumexp[i * a.statistics_row];
    statistics.delta[i] = sum(total);
  }
}

// Of 32 keys (rows) and the queries from them on: scores and dweights (fp32, transposed) become the weights
// and dscores in bf16 rows, and dscores in pairs of rows.
struct Strip {
  float* scores;
  float* dweights;
  Bfloat* weights;
  Bfloat* dscores;
  std::uint32_t* dscore_pairs;
  std::int64_t width, word_row, half_row;
};

// How a score becomes a weight, and what that takes off its gradient.
struct ScoreRule {
  float scale, softcap;
};

// One vector of queries for a pair of keys; seen: which queries see each key.
template <bool capped>
inline void softmax_pair(const Strip& strip, std::int64_t key, std::int64_t query, const __mmask16 seen[2],
                         const Floats statistics[2], const ScoreRule& rule) {
  Halves rounded[2];
  for (int half = 0; half < 2; ++half) {
    const std::int64_t word = (key + half) * strip.word_row + query,
                       at = (key + half) * strip.half_row + query;
    Floats score = load(strip.scores + word, Full{}), slope = splat(rule.scale);
    if constexpr (capped) {
      score = soft_cap(score, rule.scale, rule.softcap);
      const Floats share = score * (1.0F / rule.softcap);
      slope *= 1.0F - share * share;
    }
    const Floats raw = power_of_two(fma(score, splat((capped ? 1.0F : rule.scale) * kLog2E), -statistics[0]));
    const Floats p = reinterpret_cast<Floats>(_mm512_maskz_mov_ps(seen[half], raw));
    const Floats ds = p * (load(strip.dweights + word, Full{}) - statistics[1]) * slope;
    store_bfloat(strip.weights + at, p);
    rounded[half] = round_bfloat(ds);
    std::memcpy(strip.dscores + at, &rounded[half], sizeof rounded[half]);
  }
  const Words words = pair(rounded[0], rounded[1]);
  std::memcpy(strip.dscore_pairs + (key / 2) * strip.word_row + query, &words, sizeof words);
}

// The first n lanes, n of any size.
inline __mmask16 first_lanes(std::int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffU : n <= 0 ? 0U : (1U << n) - 1U);
}

template <bool capped>
void softmax_strip(const Strip& strip, const float* logsumexp, const float* delta, const Attention& a,
                   std::int64_t keys) {
  const ScoreRule rule{a.scale, a.softcap};
  for (std::int64_t query = 0; query < strip.width; query += 16) {
    const Floats statistics[2] = {load(logsumexp + query, Full{}), load(delta + query, Full{})};
    for (std::int64_t key = 0; key < kBlock; key += 2) {
      __mmask16 seen[2] = {0xffff, 0xffff};
      for (int half = 0; !a.causal && half < 2; ++half)
        seen[half] = key + half < keys ? 0xffff : 0;  // not padding
      for (int half = 0; a.causal && query < kBlock && half < 2; ++half) {
        // queries before the key see nothing of it
        seen[half] = static_cast<__mmask16>(~first_lanes(key + half - query));
      }
      for (int half = 0; a.causal && a.window > 0 && half < 2;
           ++half)  // nor do those that it is too far behind
        seen[half] = static_cast<__mmask16>(seen[half] & first_lanes(a.window - (query - key - half)));
      softmax_pair<capped>(strip, key, query, seen, statistics, rule);
    }
  }
}

void attention_backward(const Attention& a, void* memory) {
  const BlockScope scope;
  const std::int64_t length = padded(a.length), keys = padded(a.keys), size = padded(a.size),
                     area = length * size;
  Arena arena(memory);
  auto* q = arena.take<Bfloat>(area);
  auto* k = arena.take<Bfloat>(keys * size);
  auto* v = arena.take<Bfloat>(keys * size);
  auto* dout = arena.take<Bfloat>(area);
  const std::int64_t word_row = spread_words(length), half_row = spread_halves(length),
                     key_row = spread_halves(keys);
  auto* q_columns = arena.take<std::uint32_t>(word_row * size / 2);
  auto* dout_columns = arena.take<std::uint32_t>(word_row * size / 2);
  auto* q_pairs = arena.take<std::uint32_t>((length > keys ? length : keys) * size / 2);
  auto* dout_pairs = arena.take<std::uint32_t>(area / 2);
  auto* k_transposed = arena.take<std::uint32_t>(key_row * size / 2);  // (size, keys) bf16
  auto* dq = arena.take<float>(word_row * size);                       // (size, length), transposed
  auto* rows = arena.take<float>(area);
  const QueryStatistics statistics{arena.take<float>(length), arena.take<float>(length)};
  Strip strip{arena.take<float>(kBlock * word_row),
              arena.take<float>(kBlock * word_row),
              arena.take<Bfloat>(kBlock * half_row),
              arena.take<Bfloat>(kBlock * half_row),
              arena.take<std::uint32_t>(kBlock / 2 * word_row),
              0,
              word_row,
              half_row};
  copy_padded(static_cast<const Bfloat*>(a.q), a.q_row, a.length, a.size, q);
  copy_padded(static_cast<const Bfloat*>(a.k), a.k_row, a.keys, a.size, k);
  copy_padded(static_cast<const Bfloat*>(a.v), a.v_row, a.keys, a.size, v);
  copy_padded(static_cast<const Bfloat*>(a.dout), a.out_row, a.length, a.size, dout);
  query_statistics(a, statistics);
  pair_rows(k, keys, size, q_pairs);  // borrowed for a moment
  transpose_matrix(q_pairs, size, keys / 2, size, k_transposed, key_row / 2);
  pair_transposed(q, length, size, q_columns);
  pair_transposed(dout, length, size, dout_columns);
  pair_rows(q, length, size, q_pairs);
  pair_rows(dout, length, size, dout_pairs);
  std::memset(dq, 0, static_cast<std::size_t>(word_row * size) * sizeof(float));

  for (std::int64_t first = 0; first < keys;
       first += kBlock) {  // of keys; the queries that see them: from .. end
    const std::int64_t reach = padded(first + kBlock - 1 + a.window);
    const std::int64_t from = a.causal ? first : 0,
                       end = a.causal && a.window > 0 && reach < length ? reach : length;
    strip.width = end - from;
    for (std::int64_t i = from; i < end; i += kBlock) {
      multiply_block(k + first * size, size, q_columns + i, word_row, size, strip.scores + i - from, word_row,
                     false);
      multiply_block(v + first * size, size, dout_columns + i, word_row, size, strip.dweights + i - from,
                     word_row, false);
    }
    (a.softcap > 0 ? softmax_strip<true> : softmax_strip<false>)(strip, statistics.logsumexp + from,
                                                                 statistics.delta + from, a, a.keys - first);
    for (std::int64_t d = 0; d < size; d += kBlock) {
      multiply_block(strip.weights, half_row, dout_pairs + from / 2 * size + d, size, strip.width, rows + d,
                     size, false);
    }
    const std::int64_t count = a.keys - first < kBlock ? a.keys - first : kBlock;
    for (std::int64_t r = 0; r < count; ++r)
      store_row(static_cast<Bfloat*>(a.dv) + (first + r) * a.gradient_row, rows + r * size, a.size, 1.0F);
    for (std::int64_t d = 0; d < size; d += kBlock)
      multiply_block(strip.dscores, half_row, q_pairs + from / 2 * size + d, size, strip.width, rows + d,
                     size, false);
    for (std::int64_t r = 0; r < count; ++r)
      store_row(static_cast<Bfloat*>(a.dk) + (first + r) * a.gradient_row, rows + r * size, a.size, 1.0F);
    const Bfloat* k_rows = reinterpret_cast<const Bfloat*>(k_transposed) + first;
    for (std::int64_t d = 0; d < size; d += kBlock)
      for (std::int64_t i = from; i < end; i += kBlock)
        multiply_block(k_rows + d * key_row, key_row, strip.dscore_pairs + i - from, word_row, kBlock,
                       dq + d * word_row + i, word_row, true);
  }
  transpose_matrix(reinterpret_cast<const std::uint32_t*>(dq), word_row, size, length,
                   reinterpret_cast<std::uint32_t*>(rows), size);
  for (std::int64_t i = 0; i < a.length; ++i)
    store_row(static_cast<Bfloat*>(a.dq) + i * a.gradient_row, rows + i * size, a.size, 1.0F);
}

// Room for the arrays above, each rounded up to 64 bytes.
std::int64_t attention_memory(std::int64_t length, std::int64_t size) {
  const std::int64_t rows = padded(length) + 32, width = padded(size);
  return rows * (width * (4 * 2 + 5 * 2 + 2 * 4) + 2 * 4 + kBlock * (4 + 4 + 2 + 2 + 2)) +
         kBlock * width * 4 + 64 * 32;
}

#endif

}  // namespace

void add_attention_kernels(OpKernels& table) {
#if defined(__AVX512F__)
  table.attention_forward = attention_forward;
  table.attention_backward = attention_backward;
  table.attention_memory = attention_memory;
#else
  (void)table;
#endif
}

}  // namespace lathe::kernels::LATHE_ISA
