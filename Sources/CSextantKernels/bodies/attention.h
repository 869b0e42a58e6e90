// Attention of some query rows to the positions before them, and rotary position embedding.
//
// Keys and values are in pages of SXK_PAGE positions. In a page of keys, a channel's positions are
// adjacent; in a page of values, a position's channels are. So both products run over whole vectors
// and nothing is summed across lanes. A tile of rows walks over the pages once, with the softmax
// kept up to date (its largest score so far, and sums relative to it). The result of a row does not
// depend on its tile: the same numbers are added in the same order.

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

INLINE void attend_rows(const sxk_attention *job, size_t key_head, size_t r0, const int R) {
  attention_tile tile;
  const size_t width = job->width, value_width = job->value_width;
  const size_t stride = (value_width + 15) / 16 * 16;
  size_t first = (size_t)-1, end = 0;
  for (int r = 0; r < R; r++) {
    const size_t t = (r0 + r) / job->group, head = key_head * job->group + (r0 + r) % job->group;
    tile.q[r] = job->q + t * job->q_stride + head * job->q_head_stride;
    tile.slope[r] = job->slopes == NULL ? 0 : job->slopes[head];
    tile.end[r] = job->position + t + 1;
    tile.first[r] =
        job->window == 0 || job->window > tile.end[r] ? 0 : tile.end[r] - job->window;
    tile.largest[r] = -INFINITY;
    tile.total[r] = 0;
    memset(tile.sums[r], 0, stride * sizeof(float));
    first = tile.first[r] < first ? tile.first[r] : first;
    end = tile.end[r] > end ? tile.end[r] : end;
  }
  for (size_t page = first / SXK_PAGE; page * SXK_PAGE < end; page++) {
    const size_t start = page * SXK_PAGE;
    score_page(&tile, job->keys[page] + key_head * width * SXK_PAGE, width, R);
    for (int r = 0; r < R; r++) weigh_page(&tile, r, start, job->scale);
    mix_page(&tile, job->values[page] + key_head * SXK_PAGE * stride, stride, start, R);
  }
  for (int r = 0; r < R; r++) {
    const size_t t = (r0 + r) / job->group, head = key_head * job->group + (r0 + r) % job->group;
    float *y = job->y + t * job->y_stride + head * value_width;
    scale(tile.sums[r], 1 / tile.total[r], value_width);
    memcpy(y, tile.sums[r], value_width * sizeof(float));
  }
}

static void attend(const sxk_attention *job, size_t key_head, size_t r0, size_t r1) {
  for (; r0 + TILE_ROWS <= r1; r0 += TILE_ROWS) attend_rows(job, key_head, r0, TILE_ROWS);
  for (; r0 < r1; r0++) attend_rows(job, key_head, r0, 1);
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
