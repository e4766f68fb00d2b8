// What the three shaders of group_norm share. A column is CHUNK neighbouring channels of one group; a
// block is a run of positions; means and sums of squared distances to them are merged as in Chan,
// Golub and LeVeque (1979), so that nothing cancels.
#ifndef GROUP_NORM_GLSL
#define GROUP_NORM_GLSL

#include "rows.glsl"

// norms.cc writes these.
#define POSITIONS param(0)
#define WIDTH param(1)
#define COLUMNS param(2)
#define TILE param(3)     // columns of a work group
#define ABREAST param(4)  // positions at once
#define TILES param(5)
#define BLOCK param(6)  // positions
#define BLOCKS param(7)
#define GROUPS param(8)
#define GROUP_COLUMNS param(9)
#define EPSILON uintBitsToFloat(param(10))
#define BATCH param(11)

// x: how many values, y: their mean, z: the sum of squared distances to it.
vec3 merge(vec3 a, vec3 b) {
  if (b.x == 0) return a;
  if (a.x == 0) return b;
  float n = a.x + b.x, delta = b.y - a.y, share = b.x / n;
  return vec3(n, a.y + delta * share, a.z + b.z + delta * delta * a.x * share);
}

#endif  // GROUP_NORM_GLSL
