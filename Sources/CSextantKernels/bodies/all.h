// Every kernel, and the table of them, for the level whose file includes this one.
#include "lanes.h"

#include "functions.h"

// Each may use the files above it.
#include "convert.h"
#include "q8.h"
#include "blocks.h"
#include "elementwise.h"
#include "reduce.h"
#include "divergence.h"
#include "norm.h"
#include "linear.h"
#include "gemm.h"
#include "dot.h"
#include "conv.h"
#include "scan.h"
#include "head_scan.h"
#include "wkv.h"
#include "gated_delta.h"
#include "attention.h"

const sxk_table SXK_TABLE = {
    .level = SXK_LEVEL,
    .f32_from_bf16 = f32_from_bf16,
    .f32_from_f16 = f32_from_f16,
    .f32_from_f64 = f32_from_f64,
    .bf16_from_f32 = bf16_from_f32,
    .f16_from_f32 = f16_from_f32,
    .f64_from_f32 = f64_from_f32,
    .nonfinite_16 = nonfinite_16,
    .nonfinite_32 = nonfinite_32,
    .nonfinite_64 = nonfinite_64,
    .f32_from_blocks = f32_from_blocks,
    .q8_from_f32 = q8_from_f32,
    .linear = linear,
    .panel_rows = panel_rows,
    .pack_panels = pack_panels,
    .gemm = gemm,
    .dot_row_bytes = dot_row_bytes,
    .dot_rows = dot_rows,
    .dot_linear = dot_linear,
#if SXK_HAS_DOT
    .dot_pack_panels = dot_pack_panels,
    .dot_gemm = dot_gemm,
#endif
    .exp = map_exp,
    .sigmoid = map_sigmoid,
    .tanh = map_tanh,
    .silu = map_silu,
    .squared_relu = map_squared_relu,
    .softplus = softplus,
    .gelu = map_gelu,
    .gelu_tanh = map_gelu_tanh,
    .add = add,
    .mul = mul,
    .axpy = axpy,
    .scale = scale,
    .silu_mul = silu_mul,
    .sigmoid_mul = sigmoid_mul,
    .lerp = lerp,
    .dot = dot,
    .sum = sum,
    .max = max,
    .argmax = argmax,
    .exp_sum = exp_sum,
    .divergence = divergence,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .convolve = convolve,
    .selective_scan = selective_scan,
    .head_scan = head_scan,
    .wkv4 = wkv4,
    .wkv6 = wkv6,
    .wkv7 = wkv7,
    .gated_delta = gated_delta,
    .attend = attend,
    .attention_part_size = attention_part_size,
    .attend_segment = attend_segment,
    .attend_merge = attend_merge,
    .rotate = rotate,
    .add_rows_f64 = add_rows_f64,
};
