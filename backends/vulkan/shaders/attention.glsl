// What the shaders of attention share: sizes, and which part of the problem a group treats.
#ifndef ATTENTION_GLSL
#define ATTENTION_GLSL

#include "tensor.glsl"

// attention.cc writes these.
#define QUERIES param(0)
#define KEYS param(1)
#define HEADS param(2)
#define KEY_HEADS param(3)
#define GROUPED param(4)  // query heads a key head
#define ROWS param(5)     // of one sample and key head: queries × GROUPED
#define TILES param(6)    // of rows
#define SLICES param(7)   // of the columns of v
#define SPAN param(8)     // keys of a part
#define PARTS param(9)
#define ALL_ROWS param(10)  // of q
#define VALUE_DIM param(11)
#define SCALE uintBitsToFloat(param(12))
#define MASK_STEP(D) param(13 + (D))  // by sample, head, query, key

const float kMost = 3.402823466e38;  // finite: the difference of two is never NaN
#define kHidden uintBitsToFloat(0xff800000u)  // minus infinity
// No comparison of floats: they need not know infinities.
bool is_hidden(float s) { return floatBitsToUint(s) == 0xff800000u; }

struct Block {
  uint batch, key_head, part;
  uint row, column, key;  // the first
};

// Neighbouring groups read the same keys.
Block block_of(uint group, uint tile_rows, uint slice_columns) {
  Block b;
  b.row = group % TILES * tile_rows;
  group /= TILES;
  b.part = group % PARTS;
  b.key = b.part * SPAN;
  group /= PARTS;
  b.column = group % SLICES * slice_columns;
  group /= SLICES;
  b.key_head = group % KEY_HEADS;
  b.batch = group / KEY_HEADS;
  return b;
}

// The head and the query of a row of this block's sample and key head.
uint row_head(Block b, uint row) { return b.key_head * GROUPED + row % GROUPED; }
uint row_query(uint row) { return row / GROUPED; }
// Which row of q and of the output; of k and v.
uint query_row(Block b, uint row) {
  return (b.batch * QUERIES + row_query(row)) * HEADS + row_head(b, row);
}
uint key_row(Block b, uint key) { return (b.batch * KEYS + key) * KEY_HEADS + b.key_head; }

// How many of the first `keys` keys a row sees.
uint visible_keys(uint row, uint keys, bool causal) {
  if (!causal) return keys;
  return uint(clamp(int(row_query(row)) + int(KEYS) - int(QUERIES) + 1, 0, int(keys)));
}

uint mask_at(Block b, uint row, uint key) {
  return b.batch * MASK_STEP(0) + row_head(b, row) * MASK_STEP(1) + row_query(row) * MASK_STEP(2) +
         key * MASK_STEP(3);
}

#endif  // ATTENTION_GLSL
