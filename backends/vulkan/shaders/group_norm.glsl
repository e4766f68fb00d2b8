// What the three shaders of group_norm share. A column is CHUNK neighbouring channels of one group; a
// block is a run of positions; means and sums of squared distances to them are merged as in Chan,
// Golub and LeVeque (1979), so that nothing cancels. A mean is two floats: of values that lie close
// together and far from zero one would round away what 1/√(variance + ε) then multiplies.
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
// param(12), param(13): GROUP_COLUMNS as a divisor; param(14), param(15): POSITIONS

struct Moments {
  float count;
  float mean, rest;  // the mean is their sum
  float squares;     // of distances to it
};

Moments merge(Moments a, Moments b) {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  float n = a.count + b.count, share = b.count / n;
  precise float delta = (b.mean - a.mean) + (b.rest - a.rest);
  precise float step = a.rest + delta * share;
  precise float mean = a.mean + step;
  precise float rest = step - (mean - a.mean);
  return Moments(n, mean, rest, a.squares + b.squares + delta * delta * a.count * share);
}

// As they lie in the workspace.
uvec4 pack(Moments m) { return floatBitsToUint(vec4(m.mean, m.rest, m.squares, 0)); }
Moments unpack(float count, uvec4 v) {
  vec4 m = uintBitsToFloat(v);
  return Moments(count, m.x, m.y, m.z);
}

#endif  // GROUP_NORM_GLSL
