#pragma once
// The table of hot loops over raw memory, one table per instruction set (avx512, avx2, baseline) and element
// type; torch types never cross. Every function works on the rows or elements [begin, end) and writes nothing
// else, so that callers may split the work over threads without changing a bit of the result.
#include <cstdint>

namespace lathe::kernels {

struct NormForward {
  const void* x;       // (N, C)
  const void* branch;  // (N, C) added to x, or null
  const void* weight;  // (C)
  void* total;         // (N, C) x + branch, rounded to the element type; null without branch
  void* y;             // (N, C)
  float* inverse_rms;  // (N)
  std::int64_t channels;
  float eps, offset;  // y = x / rms * (offset + weight)
};

struct NormBackward {
  const void* x;  // (N, C) what was normalised
  const void* weight;
  const float* inverse_rms;
  const void* dy;
  const void* dtotal;  // (N, C) gradient of x + branch from elsewhere, or null
  void* dx;
  float* dweight;  // (C) of these rows alone, overwritten
  std::int64_t channels;
  float offset;
};

struct Swiglu {
  const void* gate;
  const void* up;
  void* out;         // forward
  const void* dout;  // backward: the rest
  void* dgate;
  void* dup;
};

struct Rotary {
  const void* x;     // (N, H, D), rows row_stride elements apart
  const float* cos;  // (P, D / 2)
  const float* sin;
  const std::int64_t* positions;  // (N)
  void* out;                      // (N, H, D) contiguous
  std::int64_t row_stride, heads, half;
  float direction;  // -1 turns back: the gradient
};

struct Dropout {
  const void* x;  // (N, C)
  void* out;
  const std::uint64_t* documents;  // (N)
  const std::int64_t* positions;   // (N) in the document; -1 for padding, which becomes 0
  std::uint32_t key[2];
  std::int64_t channels;
  std::uint32_t threshold;  // bits below it are dropped
  float keep_scale;
};

// One pass over rows of logits: losses, and the gradient softmax - one_hot written over `gradient` (may be
// logits).
struct SoftmaxLoss {
  const void* logits;           // (rows, V)
  void* gradient;               // (rows, V) or null
  const std::int64_t* targets;  // (rows), negative: ignored, loss 0 and gradient 0
  float* losses;                // (rows)
  std::int64_t vocabulary;
};

// Rows of pictures that a condition shifts, scales and gates (arXiv 2212.09748): one row of each a picture.
struct ModulatedNorm {
  const void* x;       // (B, T, C)
  const void* branch;  // (B, T, C), added to x times gate, or null
  const void* gate;    // (B, C), rows gate_row elements apart
  const void* shift;   // (B, C), rows shift_row apart; y = (x - mean) / deviation * (1 + scale) + shift
  const void* scale;   // (B, C), rows scale_row apart
  void* total;         // (B, T, C) x + gate * branch, rounded to the element type; null without branch
  void* y;             // (B, T, C)
  float* mean;         // (B, T)
  float* inverse;      // (B, T) 1 / deviation
  std::int64_t tokens, channels, gate_row, shift_row, scale_row;
  float eps;
};
struct ModulatedNormBackward {
  ModulatedNorm forward;  // its x is what was normalised; total and y are not looked at
  const void* dy;
  const void* dtotal;  // (B, T, C) gradient of x + gate * branch from elsewhere, or null
  void* dx;
  void* dbranch;
  void* dgate;  // (B, C) dense, as are the next two
  void* dshift;
  void* dscale;
  float* sums;  // (B, 3, C) working memory
};

// Pictures normed over their places and a group of channels, channels side by side in memory.
struct GroupNorm {
  const void* x;       // (B, places, C)
  const void* weight;  // (C)
  const void* bias;    // (C)
  void* y;             // forward
  float* mean;         // (B, groups); forward writes, backward reads
  float* inverse;      // (B, groups) 1 / deviation
  float* tables;       // (B, 4, C) working memory
  std::int64_t places, channels, groups;
  float eps;
  bool silu;  // y * sigmoid(y)
};
struct GroupNormBackward {
  GroupNorm forward;  // its y is not looked at
  const void* dy;
  void* dx;
  float* dweight;  // (B, C) of each picture, as the next
  float* dbias;
};

// RMSNorm of each head's channels: rows of heads * size elements, *_row elements apart. Without weight a
// copy.
struct HeadNorm {
  const void* x;
  const void* weight;  // (size) or null
  void* out;           // forward
  const void* dout;    // backward: the rest; rows out_row apart
  void* dx;
  float* dweight;  // (size), added to
  std::int64_t x_row, out_row, dx_row, heads, size;
  float eps;
};

// x * sigmoid(linear * x + cubic * x^3).
struct Gelu {
  const void* x;
  void* out;         // forward
  const void* dout;  // backward: the rest
  void* dx;
  float linear, cubic;
};

// (rows, group, size) summed over the group in fp32: the gradient of keys that several query heads share.
struct SumGroups {
  const void* x;
  void* out;  // (rows, size)
  std::int64_t group, size;
};

// One document and head of bf16 attention, causal or of every token to every other: rows of `size` elements,
// the next token's *_row elements on.
struct Attention {
  const void* q;
  const void* k;
  const void* v;
  void* out;         // forward writes, backward reads
  float* logsumexp;  // statistics_row apart; forward writes, backward reads
  const void* dout;  // backward: the rest; rows like out's
  void* dq;
  void* dk;
  void* dv;
  std::int64_t q_row, k_row, v_row, out_row, statistics_row, gradient_row;
  std::int64_t length, keys, size;  // keys: how many k and v have; causal: length
  float scale;
  bool causal;
  std::int64_t window;  // causal: a token sees so many, itself included; 0: all before it
  float softcap;        // scores become c * tanh(score / c); 0: they stay
};

// sum (a_columns, b_columns) fp32 of a (rows, a_columns)^T b (rows, b_columns), both bf16, over packed panels
// of b.
struct TransposedProduct {
  const void* a;
  const void* b;
  std::uint32_t* panels;  // padded32(rows) / 2 * padded32(b_columns) words
  float* sum;
  std::int64_t rows, a_row, a_columns, b_row, b_columns;
  bool add;  // onto what is there
};
struct TransposedPart {
  std::int64_t block, blocks, panel, panels;  // of 32 columns of a and of b
};

// a (rows, depth) and b (depth, columns), bf16. b's rows run along columns, or along its depth when b_turned
// (a weight as it is stored).
struct Factors {
  const void* a = nullptr;
  const void* b = nullptr;
  std::int64_t depth = 0, a_row = 0, b_row = 0;
  bool b_turned = false;
};
// out (rows, columns) = scale * (the main factors' product + that of `more`) + addend, bf16 with fp32 sums,
// rounded once.
struct Product {
  Factors main, more;  // more: none when its depth is 0, else a narrow one
  const void* addend;  // (rows, columns), addend_row apart (0: one row for all), or null
  void* out;
  std::int64_t rows, columns, addend_row, out_row;
  float scale;
};
struct ProductPart {
  std::int64_t row, rows, column, columns;  // columns a multiple of 32, possibly beyond the last one
};

// Weights in blocks of 64 to 4-bit codes, two a byte, the first in its high half (arXiv 2305.14314).
struct Nf4Quantise {
  const void* x;         // (count)
  std::uint8_t* packed;  // (count + 1) / 2
  float* largest;        // a block: magnitude of its largest value; NaN where one is not finite
  std::int64_t count;
};
struct Nf4Dequantise {
  const std::uint8_t* packed;
  const std::uint8_t*
      scale_codes;           // a block: its scale as an index of scale_table; null: scales has one a block
  const float* scale_table;  // (256)
  const float* scales;       // of 256 blocks: what their table entries are multiplied with
  void* out;                 // (count)
  std::int64_t count;
  float offset;  // added to each scale that is a code
};

struct OpKernels {
  const char* name;
  void (*norm_forward)(const NormForward&, std::int64_t begin, std::int64_t end);
  void (*norm_backward)(const NormBackward&, std::int64_t begin, std::int64_t end);
  void (*swiglu_forward)(const Swiglu&, std::int64_t begin, std::int64_t end);
  void (*swiglu_backward)(const Swiglu&, std::int64_t begin, std::int64_t end);
  void (*rotary)(const Rotary&, std::int64_t begin, std::int64_t end);
  void (*dropout)(const Dropout&, std::int64_t begin, std::int64_t end);
  void (*sum_groups)(const SumGroups&, std::int64_t begin, std::int64_t end);
  void (*modulated_norm_forward)(const ModulatedNorm&, std::int64_t begin, std::int64_t end);  // pictures
  void (*modulated_norm_backward)(const ModulatedNormBackward&, std::int64_t begin,
                                  std::int64_t end);                                            // pictures
  void (*group_norm_forward)(const GroupNorm&, std::int64_t begin, std::int64_t end);           // pictures
  void (*group_norm_backward)(const GroupNormBackward&, std::int64_t begin, std::int64_t end);  // pictures
  void (*head_norm_forward)(const HeadNorm&, std::int64_t begin, std::int64_t end);
  void (*head_norm_backward)(const HeadNorm&, std::int64_t begin, std::int64_t end);
  void (*gelu_forward)(const Gelu&, std::int64_t begin, std::int64_t end);
  void (*gelu_backward)(const Gelu&, std::int64_t begin, std::int64_t end);
  void (*softmax_loss)(const SoftmaxLoss&, std::int64_t begin, std::int64_t end);
  void (*nf4_quantise)(const Nf4Quantise&, std::int64_t begin, std::int64_t end);  // blocks of 64
  void (*nf4_dequantise)(const Nf4Dequantise&, std::int64_t begin, std::int64_t end);
  // With AMX or AVX512_BF16, else null. `memory` is attention_memory(the greater of length
  // and keys, size) bytes, 64-byte aligned.
  void (*attention_forward)(const Attention&, void* memory);
  void (*attention_backward)(const Attention&, void* memory);
  std::int64_t (*attention_memory)(std::int64_t length, std::int64_t size);
  // With AMX or AVX512_BF16, else null: first pack blocks of 32 rows of b, then the product by parts.
  void (*pack_panels)(const TransposedProduct&, std::int64_t begin, std::int64_t end);
  void (*transposed_product)(const TransposedProduct&, const TransposedPart&, void* memory);
  std::int64_t (*transposed_product_memory)(std::int64_t blocks, std::int64_t panels);
  void (*product)(const Product&, const ProductPart&, void* memory);  // likewise
  std::int64_t (*product_memory)(const Product&, const ProductPart&);
};

enum class InstructionSet { Baseline, Avx2, Avx512 };
InstructionSet instruction_set();  // of at::get_cpu_capability(), which ATEN_CPU_CAPABILITY lowers
// What multiplies blocks of bf16 where the set is Avx512: AMX, allowed by the system, else AVX512_BF16. A cap
// on the library's products, ONEDNN_MAX_CPU_ISA, holds for ours as well.
enum class BlockProducts { None, DotProducts, Tiles };
BlockProducts block_products();
const OpKernels& op_kernels(bool bfloat16);

}  // namespace lathe::kernels
