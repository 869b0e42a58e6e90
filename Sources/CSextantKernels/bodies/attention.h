// Attention of some query rows to the positions before them, and rotary position embedding.
//
// Keys and values are in pages of SXK_PAGE positions. In a page of keys, a channel's positions are
// adjacent; in a page of values, a position's channels are. So both products run over whole vectors
// and nothing is summed across lanes. A tile of rows walks over the pages of a segment once, with the
// softmax kept up to date (its largest score so far, and sums relative to it). Then the segments are
// merged in their order. The result of a row does not depend on its tile, nor on who computed its
// segments: the same numbers are added in the same order.

#define TILE_ROWS 4

// Rows r0..<r0 + R of one key head; row r is the query t = r / group of head r % group.
typedef struct attention_tile {
  const float *q[TILE_ROWS];
  float slope[TILE_ROWS];
  size_t first[TILE_ROWS], end[TILE_ROWS];  // the positions that the row sees
  float largest[TILE_ROWS], total[TILE_ROWS], shrink[TILE_ROWS];
  float scores[TILE_ROWS][SXK_PAGE];
  float sums[TILE_ROWS][SXK_ATTENTION_MAX_WIDTH];
} attention_tile;

// scores[r][p] = q[r] . keys[:, p] for V vectors of positions.
INLINE void score_block(
    attention_tile *tile, const float *keys, size_t width, size_t p, const int R, const int V) {
  vf sums[TILE_ROWS][8];
#pragma clang loop unroll(full)
  for (int r = 0; r < R; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) sums[r][v] = vf_set(0);
  for (size_t c = 0; c < width; c++) {
    vf key[8];
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) key[v] = vf_load(keys + c * SXK_PAGE + p + v * VL);
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
      const vf q = vf_set(tile->q[r][c]);
#pragma clang loop unroll(full)
      for (int v = 0; v < V; v++) sums[r][v] = vf_fma(q, key[v], sums[r][v]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < R; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) vf_store(tile->scores[r] + p + v * VL, sums[r][v]);
}

// Vectors in one block of a full tile: as many sums as fit the registers.
#if VL == 16
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif

INLINE void score_page(attention_tile *tile, const float *keys, size_t width, const int R) {
  if (R == 1) {
    const int V = SXK_PAGE / VL < 8 ? SXK_PAGE / VL : 8;
    for (size_t p = 0; p < SXK_PAGE; p += (size_t)V * VL) score_block(tile, keys, width, p, 1, V);
  } else {
    for (size_t p = 0; p < SXK_PAGE; p += TILE_VECTORS * VL)
      score_block(tile, keys, width, p, R, TILE_VECTORS);
  }
}

// From products to e^(score - largest), 0 for positions that the row does not see.
static void weigh_page(attention_tile *tile, size_t r, size_t start, float scale) {
  float *const scores = tile->scores[r];
  float places[VL];
  for (size_t i = 0; i < VL; i++) places[i] = (float)i;
  // Distances and positions are below 2^24, and so exact.
  const float first = (float)tile->first[r], end = (float)tile->end[r];
  vf largest = vf_set(tile->largest[r]);
  for (size_t p = 0; p < SXK_PAGE; p += VL) {
    const vf position = vf_load(places) + (float)(start + p);
    const vf bias = tile->slope[r] * (position - (end - 1));
    vf score = vf_fma(vf_load(scores + p), vf_set(scale), bias);
    score = position < first ? vf_set(-INFINITY) : score;
    score = position < end ? score : vf_set(-INFINITY);
    vf_store(scores + p, score);
    largest = vf_max(score, largest);
  }
  const float before = tile->largest[r], now = vf_max_lane(largest);
  // As long as nothing was seen, everything is e^-infinity.
  const float shift = now == -INFINITY ? 0 : now;
  float change[VL] = {before - shift};
  vf_store(change, vf_exp(vf_load(change)));
  tile->shrink[r] = change[0];
  tile->largest[r] = now;
  tile->total[r] = tile->total[r] * change[0] + exp_sum(scores, scores, shift, SXK_PAGE);
}

// sums[r] = sums[r] * shrink[r] + sum over the page's positions of score * value.
INLINE void mix_block(
    attention_tile *tile, const float *values, size_t stride, size_t c, size_t start,
    const int R, const int V) {
  vf sums[TILE_ROWS][4];
  size_t seen[TILE_ROWS], shared = SXK_PAGE;
#pragma clang loop unroll(full)
  for (int r = 0; r < R; r++) {
    const size_t left = tile->end[r] > start ? tile->end[r] - start : 0;
    seen[r] = left < SXK_PAGE ? left : SXK_PAGE;
    shared = seen[r] < shared ? seen[r] : shared;
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++)
      sums[r][v] = vf_load(tile->sums[r] + c + v * VL) * tile->shrink[r];
  }
  for (size_t p = 0; p < shared; p++) {
    vf value[4];
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) value[v] = vf_load(values + p * stride + c + v * VL);
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
      const vf weight = vf_set(tile->scores[r][p]);
#pragma clang loop unroll(full)
      for (int v = 0; v < V; v++) sums[r][v] = vf_fma(weight, value[v], sums[r][v]);
    }
  }
  // Positions that only some rows see: 0 times a later token's NaN would be NaN.
#pragma clang loop unroll(full)
  for (int r = 0; r < R; r++) {
    for (size_t p = shared; p < seen[r]; p++)
#pragma clang loop unroll(full)
      for (int v = 0; v < V; v++)
        sums[r][v] = vf_fma(
            vf_set(tile->scores[r][p]), vf_load(values + p * stride + c + v * VL), sums[r][v]);
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) vf_store(tile->sums[r] + c + v * VL, sums[r][v]);
  }
}

// Rows of values are padded to 16 floats: whole vectors at every level.
INLINE void mix_page(
    attention_tile *tile, const float *values, size_t stride, size_t start, const int R) {
  size_t c = 0;
  for (; c + TILE_VECTORS * VL <= stride; c += TILE_VECTORS * VL)
    mix_block(tile, values, stride, c, start, R, TILE_VECTORS);
  for (; c < stride; c += VL) mix_block(tile, values, stride, c, start, R, 1);
}

// Floats of one position in a page of values.
static size_t value_stride(const sxk_attention *job) { return (job->value_width + 15) / 16 * 16; }

// Where the result of row r goes.
static float *attention_row(const sxk_attention *job, size_t key_head, size_t r) {
  const size_t head = key_head * job->group + r % job->group;
  return job->y + r / job->group * job->y_stride + head * job->value_width;
}

// Sets the rows r0..<r0 + R of a tile.
static void attention_rows(
    attention_tile *tile, const sxk_attention *job, size_t key_head, size_t r0, int R) {
  for (int r = 0; r < R; r++) {
    const size_t t = (r0 + r) / job->group, head = key_head * job->group + (r0 + r) % job->group;
    tile->q[r] = job->q + t * job->q_stride + head * job->q_head_stride;
    tile->slope[r] = job->slopes == NULL ? 0 : job->slopes[head];
    tile->end[r] = job->position + t + 1;
    tile->first[r] =
        job->window == 0 || job->window > tile->end[r] ? 0 : tile->end[r] - job->window;
  }
}

// The part of the rows' softmax, and of their sums, that one segment gives.
INLINE void attend_one_segment(
    attention_tile *tile, const sxk_attention *job, size_t key_head, size_t segment, const int R) {
  const size_t width = job->width, stride = value_stride(job);
  size_t first = (size_t)-1, end = 0;
  for (int r = 0; r < R; r++) {
    tile->largest[r] = -INFINITY;
    tile->total[r] = 0;
    memset(tile->sums[r], 0, stride * sizeof(float));
    first = tile->first[r] < first ? tile->first[r] : first;
    end = tile->end[r] > end ? tile->end[r] : end;
  }
  const size_t start = segment * SXK_SEGMENT, stop = start + SXK_SEGMENT;
  first = start > first ? start : first / SXK_PAGE * SXK_PAGE;
  end = stop < end ? stop : end;
  for (size_t place = first; place < end; place += SXK_PAGE) {
    const size_t page = place / SXK_PAGE;
    score_page(tile, job->keys[page] + key_head * width * SXK_PAGE, width, R);
    for (int r = 0; r < R; r++) weigh_page(tile, r, place, job->scale);
    mix_page(tile, job->values[page] + key_head * SXK_PAGE * stride, stride, place, R);
  }
}

// A part of a row: its largest score, its total, and from PART_SUMS on its sums.
#define PART_SUMS 16

static void part_begin(float *part, size_t stride) {
  memset(part, 0, (PART_SUMS + stride) * sizeof(float));
  part[0] = -INFINITY;
}

// Merges the part of a later segment.
static void part_merge(
    float *part, float largest, float total, const float *sums, size_t stride) {
  const float now = part[0] > largest ? part[0] : largest;
  const float shift = now == -INFINITY ? 0 : now;
  float factors[VL] = {part[0] - shift, largest - shift};
  vf_store(factors, vf_exp(vf_load(factors)));
  part[0] = now;
  part[1] = part[1] * factors[0] + total * factors[1];
  const vf own = vf_set(factors[0]), other = vf_set(factors[1]);
  for (size_t c = 0; c < stride; c += VL) {
    float *const to = part + PART_SUMS + c;
    vf_store(to, vf_fma(vf_load(sums + c), other, vf_load(to) * own));
  }
}

static void part_finish(const float *part, float *y, size_t value_width) {
  memcpy(y, part + PART_SUMS, value_width * sizeof(float));
  scale(y, 1 / part[1], value_width);
}

INLINE void attend_rows(const sxk_attention *job, size_t key_head, size_t r0, const int R) {
  attention_tile tile;
  float parts[TILE_ROWS][PART_SUMS + SXK_ATTENTION_MAX_WIDTH];
  const size_t stride = value_stride(job);
  attention_rows(&tile, job, key_head, r0, R);
  size_t first = tile.first[0], end = tile.end[R - 1];  // later rows see later positions
  for (int r = 0; r < R; r++) part_begin(parts[r], stride);
  for (size_t segment = first / SXK_SEGMENT; segment * SXK_SEGMENT < end; segment++) {
    attend_one_segment(&tile, job, key_head, segment, R);
    for (int r = 0; r < R; r++)
      part_merge(parts[r], tile.largest[r], tile.total[r], tile.sums[r], stride);
  }
  for (int r = 0; r < R; r++)
    part_finish(parts[r], attention_row(job, key_head, r0 + r), job->value_width);
}

// Rows that share a key head share what they read: a group of heads of one token is one tile.
#define ATTENTION_TILES(CALL)                                       \
  for (; r0 + TILE_ROWS <= r1; r0 += TILE_ROWS) CALL(TILE_ROWS);    \
  switch (r1 - r0) {                                                \
  case 3: CALL(3); break;                                           \
  case 2: CALL(2); break;                                           \
  case 1: CALL(1); break;                                           \
  default: break;                                                   \
  }

static void attend(const sxk_attention *job, size_t key_head, size_t r0, size_t r1) {
#define ATTEND_ROWS(R) attend_rows(job, key_head, r0, R)
  ATTENTION_TILES(ATTEND_ROWS)
#undef ATTEND_ROWS
}

INLINE void attend_segment_rows(
    const sxk_attention *job, size_t key_head, size_t r0, size_t segment, float *parts,
    size_t part_stride, const int R) {
  attention_tile tile;
  attention_rows(&tile, job, key_head, r0, R);
  attend_one_segment(&tile, job, key_head, segment, R);
  for (int r = 0; r < R; r++) {
    float *const part = parts + (r0 + r) * part_stride;
    part[0] = tile.largest[r];
    part[1] = tile.total[r];
    memcpy(part + PART_SUMS, tile.sums[r], value_stride(job) * sizeof(float));
  }
}

static void attend_segment(
    const sxk_attention *job, size_t key_head, size_t rows, size_t segment, float *parts,
    size_t part_stride) {
  size_t r0 = 0;
  const size_t r1 = rows;
#define SEGMENT_ROWS(R) attend_segment_rows(job, key_head, r0, segment, parts, part_stride, R)
  ATTENTION_TILES(SEGMENT_ROWS)
#undef SEGMENT_ROWS
}

static size_t attention_part_size(const sxk_attention *job) { return PART_SUMS + value_stride(job); }

static void attend_merge(
    const sxk_attention *job, size_t key_head, size_t rows, size_t segments, const float *parts,
    size_t part_stride) {
  const size_t stride = value_stride(job);
  float merged[PART_SUMS + SXK_ATTENTION_MAX_WIDTH];
  for (size_t r = 0; r < rows; r++) {
    part_begin(merged, stride);
    for (size_t segment = 0; segment < segments; segment++) {
      const float *const part = parts + r * part_stride + segment * attention_part_size(job);
      part_merge(merged, part[0], part[1], part + PART_SUMS, stride);
    }
    part_finish(merged, attention_row(job, key_head, r), job->value_width);
  }
}

// (a, b) becomes (a cos - b sin, b cos + a sin), for the channels c and c + half of every head.
static void rotate(const sxk_rotation *job, size_t row0, size_t row1) {
  const size_t half = job->half;
  for (size_t row = row0; row < row1; row++) {
    const float *cosines = job->cosines + row % job->t * half;
    const float *sines = job->sines + row % job->t * half;
    for (size_t head = 0; head < job->heads; head++) {
      float *a = job->x + row * job->x_stride + head * job->head_stride, *b = a + half;
      for (size_t c = 0; c < half; c += VL) {
        const size_t count = half - c < VL ? half - c : VL;
        const vf cosine = vf_load_part(cosines + c, count);
        const vf sine = vf_load_part(sines + c, count);
        const vf low = vf_load_part(a + c, count), high = vf_load_part(b + c, count);
        vf_store_part(a + c, vf_fma(low, cosine, -(high * sine)), count);
        vf_store_part(b + c, vf_fma(high, cosine, low * sine), count);
      }
    }
  }
}
