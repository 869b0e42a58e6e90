// Makes blocks of 4 bits. There is one form for all processors: the choice depends on the order of sums.
#include <math.h>
#include <string.h>

#include "CSextantKernels.h"

// Nothing is fused, so that every machine makes the same blocks.
#pragma STDC FP_CONTRACT OFF

enum { LENGTH = 32, STEPS = 15 };

typedef struct q4_block {
  uint16_t scale, minimum;  // f16
  uint8_t bits[LENGTH / 2];
} q4_block;

static uint16_t half(float x) {
  const _Float16 rounded = (_Float16)x;
  uint16_t bits;
  memcpy(&bits, &rounded, sizeof bits);
  return bits;
}

static float rounded_to_half(float x) { return (float)(_Float16)x; }

// The number of steps from the minimum to each element, as the nearest ones.
static void choose_steps(float steps[LENGTH], const float x[LENGTH], float scale, float minimum) {
  const float inverse = scale > 0 ? 1 / scale : 0;
  for (int i = 0; i < LENGTH; i++) {
    // Adding 1.5 * 2^23 leaves no bit for a fraction.
    float s = (x[i] - minimum) * inverse;
    s = s < 0 ? 0 : s > STEPS ? STEPS : s;
    steps[i] = (s + 0x1.8p23f) - 0x1.8p23f;
  }
}

// The sum of the squared errors.
static float squared_error(
    const float steps[LENGTH], const float x[LENGTH], float scale, float minimum) {
  float sums[4] = {0, 0, 0, 0};
  for (int i = 0; i < LENGTH; i += 4)
    for (int j = 0; j < 4; j++) {
      const float error = steps[i + j] * scale + minimum - x[i + j];
      sums[j] += error * error;
    }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// The scale and minimum that are best for given steps: a straight line through (steps, x).
static int fit(float *scale, float *minimum, const float steps[LENGTH], const float x[LENGTH]) {
  double s = 0, ss = 0, t = 0, st = 0;
  for (int i = 0; i < LENGTH; i++) {
    s += (double)steps[i];
    ss += (double)steps[i] * (double)steps[i];
    t += (double)x[i];
    st += (double)steps[i] * (double)x[i];
  }
  const double spread = LENGTH * ss - s * s;
  if (spread <= 0) return 0;
  const double slope = (LENGTH * st - s * t) / spread;
  *scale = (float)slope;
  *minimum = (float)((t - slope * s) / LENGTH);
  return slope > 0;
}

typedef struct choice {
  float error, scale, minimum;
  float steps[LENGTH];
} choice;

// Takes a scale and a minimum, rounded to halves, if their error is smaller than the best so far.
static int improve(choice *best, const float x[LENGTH], float scale, float minimum) {
  choice own = {.scale = rounded_to_half(scale), .minimum = rounded_to_half(minimum)};
  if (!(own.scale <= 65504.0f) || !(fabsf(own.minimum) <= 65504.0f)) return 0;
  choose_steps(own.steps, x, own.scale, own.minimum);
  own.error = squared_error(own.steps, x, own.scale, own.minimum);
  if (!(own.error < best->error)) return 0;
  *best = own;
  return 1;
}

void sxk_q4_from_f32(void *y, const float *x, size_t count) {
  q4_block *to = y;
  for (; count >= LENGTH; count -= LENGTH, x += LENGTH, to++) {
    float low = x[0], high = x[0];
    int is_finite = 1;
    for (int i = 0; i < LENGTH; i++) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
      is_finite &= fabsf(x[i]) <= 65504.0f;
    }
    memset(to, 0, sizeof *to);
    if (!is_finite) {
      to->scale = to->minimum = 0x7e00;
      continue;
    }
    // The whole range, and ranges that cut off some of either end.
    choice best = {.error = INFINITY};
    const float range = high - low;
    improve(&best, x, range / STEPS, low);
    for (int a = 0; a < 5; a++)
      for (int b = 0; b < 5; b++) {
        const float first = low + range * 0.04f * (float)a, last = high - range * 0.04f * (float)b;
        float scale = (last - first) / STEPS, minimum = first, steps[LENGTH];
        choose_steps(steps, x, scale, minimum);
        if (fit(&scale, &minimum, steps, x)) improve(&best, x, scale, minimum);
      }
    for (int round = 0; round < 8; round++) {
      float scale, minimum;
      if (!fit(&scale, &minimum, best.steps, x) || !improve(&best, x, scale, minimum)) break;
    }
    to->scale = half(best.scale);
    to->minimum = half(best.minimum);
    for (int i = 0; i < LENGTH / 2; i++)
      to->bits[i] = (uint8_t)((int)best.steps[i] | (int)best.steps[i + LENGTH / 2] << 4);
  }
}
