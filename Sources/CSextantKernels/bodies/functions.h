// Elementary functions of a vector. Bounds are in units in the last place (ulp) of the exact
// result, measured against f64 over the whole range. Polynomials are minimax in relative error.

// 2^f for |f| <= 1/2, to 2^-28.5.
INLINE vf vf_exp2_fraction(vf f) {
  vf p = vf_set(0x1.470d74p-13f);
  p = vf_fma(p, f, vf_set(0x1.5f737ep-10f));
  p = vf_fma(p, f, vf_set(0x1.3b270ap-7f));
  p = vf_fma(p, f, vf_set(0x1.c6ae70p-5f));
  p = vf_fma(p, f, vf_set(0x1.ebfbe2p-3f));
  p = vf_fma(p, f, vf_set(0x1.62e432p-1f));
  return vf_fma(p, f, vf_set(1));
}

// 2^x. Below -150: 0; above 128: infinity; NaN: NaN. Within 2 ulp, subnormal results too.
INLINE vf vf_exp2(vf x) {
  x = vf_max(vf_set(-151), vf_min(vf_set(129), x));
  const vf n = vf_round(x);
  return vf_scale(vf_exp2_fraction(x - n), n);
}

// e^x = 2^n * e^r, n = round(x / ln 2). ln 2 is in two parts, the first so short that n * ln2_high
// is exact without FMA too. -infinity and below -103.97: 0; above 88.72: infinity; NaN: NaN. Within
// 2 ulp, subnormal results within one unit of 2^-149.
INLINE vf vf_exp(vf x) {
  x = vf_max(vf_set(-104.5f), vf_min(vf_set(89.5f), x));
  const vf n = vf_round(x * 0x1.715476p+0f);
  vf r = vf_fma(n, vf_set(-0x1.62p-1f), x);
  r = vf_fma(n, vf_set(-0x1.c85fe8p-10f), r);
  vf q = vf_set(0x1.6a2352p-10f);
  q = vf_fma(q, r, vf_set(0x1.123a6cp-7f));
  q = vf_fma(q, r, vf_set(0x1.5558f4p-5f));
  q = vf_fma(q, r, vf_set(0x1.555490p-3f));
  q = vf_fma(q, r, vf_set(0x1.fffffcp-2f));
  return vf_scale(vf_fma(r * r, q, r) + 1.0f, n);
}

// 1 / (1 + e^-x). Within 4 ulp down to x = -87; below, the result underflows to 0 at -88.7.
INLINE vf vf_sigmoid(vf x) { return 1.0f / (1.0f + vf_exp(-x)); }

// x / (1 + e^-x). Within 4 ulp down to x = -87; below, within 1e-36 of the exact value. -infinity:
// NaN.
INLINE vf vf_silu(vf x) { return x / (1.0f + vf_exp(-x)); }

// log(1 + e^x) = max(x, 0) + log1p(y), y = e^-|x| in (0, 1]; log1p(y) = 2 atanh(s), s = y / (2 + y)
// <= 1/3, by an odd polynomial: nothing cancels, so that the error stays within 4 ulp everywhere.
// Infinity: infinity; -infinity: 0; NaN: NaN.
INLINE vf vf_softplus(vf x) {
  const vf y = vf_exp(-vf_abs(x));
  const vf s = y / (2.0f + y);
  const vf u = s * s;
  vf q = vf_set(0x1.f199d6p-4f);
  q = vf_fma(q, u, vf_set(0x1.b6dd62p-4f));
  q = vf_fma(q, u, vf_set(0x1.250916p-3f));
  q = vf_fma(q, u, vf_set(0x1.9996acp-3f));
  q = vf_fma(q, u, vf_set(0x1.555558p-2f));
  const vf log1p = 2.0f * vf_fma(s * u, q, s);
  return vf_max(vf_set(0), x) + log1p;
}

// x * Phi(x), Phi the normal distribution. For a = |x| the tail is 1 - Phi(a) = e^(-a^2 / 2) * t * p(t)
// with t = 1 / (1 + 0.24 a): the tail is small where x is, so that nothing cancels. Relative error
// below 6e-7 + 4e-8 x^2; below -13 the result is subnormal or -0.
INLINE vf vf_gelu(vf x) {
  const vf a = vf_min(vf_set(30), vf_abs(x));
  const vf t = 1.0f / vf_fma(vf_set(0x1.eb851ep-3f), a, vf_set(1));
  vf p = vf_set(0x1.a05ed2p-6f);
  p = vf_fma(p, t, vf_set(-0x1.fbdd18p-4f));
  p = vf_fma(p, t, vf_set(0x1.a183dap-3f));
  p = vf_fma(p, t, vf_set(-0x1.22c1e4p-3f));
  p = vf_fma(p, t, vf_set(0x1.1d7c26p-3f));
  p = vf_fma(p, t, vf_set(0x1.e0d33ep-6f));
  p = vf_fma(p, t, vf_set(0x1.65a2d2p-4f));
  p = vf_fma(p, t, vf_set(0x1.6cb4dap-4f));
  p = vf_fma(p, t, vf_set(0x1.8893p-4f));
  p = vf_fma(p, t, vf_set(0x1.8829acp-4f));
  const vf tail = a * (vf_exp(-0.5f * a * a) * (t * p));
  return x > 0.0f ? x - tail : -tail;
}

// x / 2 * (1 + tanh(u)) = x * sigmoid(2 u), u = sqrt(2 / pi) * (x + 0.044715 x^3). Relative error below
// 6e-7 + 2e-7 x^2. -infinity: NaN.
INLINE vf vf_gelu_tanh(vf x) {
  const vf cubic = vf_fma(x * x, vf_set(0x1.6e4e26p-5f), vf_set(1));
  return x * vf_sigmoid(0x1.988454p+0f * x * cubic);
}

// tanh: an odd polynomial below 0.625, else 1 - 2 / (e^(2|x|) + 1). Within 3 ulp.
INLINE vf vf_tanh(vf x) {
  const vf a = vf_abs(x);
  const vf u = x * x;
  vf q = vf_set(-0x1.75b9f2p-8f);
  q = vf_fma(q, u, vf_set(0x1.521e0cp-6f));
  q = vf_fma(q, u, vf_set(-0x1.b83b18p-5f));
  q = vf_fma(q, u, vf_set(0x1.11071ep-3f));
  q = vf_fma(q, u, vf_set(-0x1.555532p-2f));
  const vf small = vf_fma(x * u, q, x);
  const vf large = 1.0f - 2.0f / (vf_exp(a + a) + 1.0f);
  return vf_with_sign_of(a < 0.625f ? small : large, x);
}
