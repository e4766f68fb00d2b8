#version 450
// scaled_dot_product_attention, 32 rows a group: keys pass in tiles of 32 with a running maximum and
// sum (arXiv 1805.02867), so that scores exist for one tile only. A row is a query of one head; rows
// that share a key head stand together. Wide values are cut into slices, long keys into parts that
// attention_combine.comp brings together.
#include "attention.glsl"

layout(constant_id = 16) const bool VECTOR = false;  // rows of q, k and v are whole vec4
layout(constant_id = 17) const uint DIM = 64;        // of q and k
layout(constant_id = 18) const uint CHUNKS = 2;      // of 32 columns of v in a slice
layout(constant_id = 19) const bool CAUSAL = false;
layout(constant_id = 20) const bool HAS_LENGTHS = false;
layout(constant_id = 21) const bool HAS_MASK = false;
layout(constant_id = 22) const bool IN_PARTS = false;

OPERAND(0)  // q [B, N, H, D]
OPERAND(1)  // k [B, M, Hkv, D]
OPERAND(2)  // v [B, M, Hkv, E]
OPERAND(3)  // key_lengths [B]
OPERAND(4)  // mask
OPERAND(5)  // output [B, N, H, E], or [part, B, N, H, E] not yet divided by the sums
OPERAND(6)  // maximum and sum [part, B, N, H]

#define FETCH(K)                                                      \
  vec4 fetch_##K(uint row, uint column, uint width) {                 \
    if (column >= width) return vec4(0);                              \
    if (VECTOR) return load4_##K(row * width + column);               \
    vec4 v = vec4(0);                                                 \
    for (uint i = 0; i < 4 && column + i < width; ++i)                \
      v[i] = load_##K(row * width + column + i);                      \
    return v;                                                         \
  }
FETCH(0)
FETCH(1)
FETCH(2)

// 32 rows of 32, four to a vec4 and one of padding: neighbouring rows lie in other banks.
const uint kPitch = 9;
shared vec4 q_tile[32 * kPitch], kv_tile[32 * kPitch], p_tile[32 * kPitch];
shared vec4 partial[32 * 2];  // of each row, from the eight invocations that hold it

// Of eight invocations' values for each of four rows.
vec4 gather_max(uvec4 rows) {
  vec4 result;
  for (uint i = 0; i < 4; ++i) {
    vec4 m = max(partial[rows[i] * 2], partial[rows[i] * 2 + 1]);
    result[i] = max(max(m.x, m.y), max(m.z, m.w));
  }
  return result;
}
vec4 gather_sum(uvec4 rows) {
  vec4 result;
  for (uint i = 0; i < 4; ++i)
    result[i] = dot(partial[rows[i] * 2] + partial[rows[i] * 2 + 1], vec4(1));
  return result;
}

void main() {
  const uint id = gl_LocalInvocationIndex, tx = id % 8, ty = id / 8;
  const Block block = block_of(group_id(), 32, CHUNKS * 32);
  const uint keys = HAS_LENGTHS ? uint(clamp(iload_3(block.batch), 0, int(KEYS))) : KEYS;
  const uint last = visible_keys(min(block.row + 31, ROWS - 1), keys, CAUSAL);
  const uint end = min(last, block.key + SPAN);

  const uvec4 rows = ty + uvec4(0, 8, 16, 24);
  uvec4 limits;
  for (uint i = 0; i < 4; ++i)
    limits[i] = visible_keys(min(block.row + rows[i], ROWS - 1), keys, CAUSAL);
  vec4 most = vec4(-kMost), sums = vec4(0);
  vec4 acc[4 * CHUNKS];
  for (uint i = 0; i < 4 * CHUNKS; ++i) acc[i] = vec4(0);

  for (uint key = block.key; key < end; key += 32) {
    vec4 scores[4] = {vec4(0), vec4(0), vec4(0), vec4(0)};  // [row][column tx + 8j]
    for (uint d = 0; d < DIM; d += 32) {
      barrier();
      for (uint i = id; i < 256; i += 64) {
        uint row = i / 8, column = d + i % 8 * 4;
        if (DIM > 32 || key == block.key)
          q_tile[row * kPitch + i % 8] =
              block.row + row < ROWS ? fetch_0(query_row(block, block.row + row), column, DIM)
                                     : vec4(0);
        kv_tile[row * kPitch + i % 8] =
            key + row < keys ? fetch_1(key_row(block, key + row), column, DIM) : vec4(0);
      }
      barrier();
      for (uint x = 0; x < 8; ++x) {
        vec4 k0 = kv_tile[tx * kPitch + x], k1 = kv_tile[(tx + 8) * kPitch + x];
        vec4 k2 = kv_tile[(tx + 16) * kPitch + x], k3 = kv_tile[(tx + 24) * kPitch + x];
        [[unroll]] for (uint i = 0; i < 4; ++i) {
          vec4 q = q_tile[rows[i] * kPitch + x];
          scores[i] += vec4(dot(q, k0), dot(q, k1), dot(q, k2), dot(q, k3));
        }
      }
    }

    vec4 tile_most = vec4(-kMost);
    for (uint i = 0; i < 4; ++i) {
      for (uint j = 0; j < 4; ++j) {
        uint column = key + tx + 8 * j;
        float s = kHidden;
        if (column < limits[i]) {
          s = scores[i][j] * SCALE;
          if (HAS_MASK) s += load_4(mask_at(block, min(block.row + rows[i], ROWS - 1), column));
        }
        scores[i][j] = s;
        tile_most[i] = max(tile_most[i], s);
      }
      partial[rows[i] * 2 + tx / 4][tx % 4] = tile_most[i];
    }
    barrier();
    vec4 now = max(most, gather_max(rows)), shrink = exp(most - now);
    most = now;
    sums *= shrink;
    for (uint i = 0; i < 4; ++i) {
      for (uint j = 0; j < 4; ++j) {
        float s = scores[i][j], p = is_hidden(s) ? 0 : exp(s - most[i]);
        sums[i] += p;
        p_tile[rows[i] * kPitch + tx / 4 + 2 * j][tx % 4] = p;
      }
    }

    [[unroll]] for (uint c = 0; c < CHUNKS; ++c) {
      if (c > 0) barrier();
      for (uint i = id; i < 256; i += 64) {
        uint row = i / 8, column = block.column + c * 32 + i % 8 * 4;
        kv_tile[row * kPitch + i % 8] =
            key + row < keys ? fetch_2(key_row(block, key + row), column, VALUE_DIM) : vec4(0);
      }
      barrier();
      vec4 a0 = acc[c * 4] * shrink.x, a1 = acc[c * 4 + 1] * shrink.y;
      vec4 a2 = acc[c * 4 + 2] * shrink.z, a3 = acc[c * 4 + 3] * shrink.w;
      for (uint x = 0; x < 8; ++x) {
        vec4 p0 = p_tile[rows.x * kPitch + x], p1 = p_tile[rows.y * kPitch + x];
        vec4 p2 = p_tile[rows.z * kPitch + x], p3 = p_tile[rows.w * kPitch + x];
        [[unroll]] for (uint y = 0; y < 4; ++y) {
          vec4 v = kv_tile[(4 * x + y) * kPitch + tx];
          a0 += p0[y] * v;
          a1 += p1[y] * v;
          a2 += p2[y] * v;
          a3 += p3[y] * v;
        }
      }
      acc[c * 4] = a0;
      acc[c * 4 + 1] = a1;
      acc[c * 4 + 2] = a2;
      acc[c * 4 + 3] = a3;
    }
  }

  barrier();
  for (uint i = 0; i < 4; ++i) partial[rows[i] * 2 + tx / 4][tx % 4] = sums[i];
  barrier();
  sums = gather_sum(rows);
  for (uint i = 0; i < 4; ++i) {
    if (block.row + rows[i] >= ROWS) continue;
    const uint row = block.part * ALL_ROWS + query_row(block, block.row + rows[i]);
    if (IN_PARTS && tx == 0 && block.column == 0)
      put_pair_6(row, floatBitsToUint(vec2(most[i], sums[i])));
    const float factor = IN_PARTS ? 1.0 : sums[i] == 0 ? 0.0 : 1.0 / sums[i];
    for (uint c = 0; c < CHUNKS; ++c) {
      uint column = block.column + c * 32 + tx * 4;
      if (column >= VALUE_DIM) continue;
      vec4 v = acc[c * 4 + i] * factor;
      if (VECTOR) {
        store4_5(row * VALUE_DIM + column, v);
      } else {
        for (uint j = 0; j < 4 && column + j < VALUE_DIM; ++j)
          store_5(row * VALUE_DIM + column + j, v[j]);
      }
    }
  }
}
