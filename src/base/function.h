/* Elementary functions: the project's own polynomials, the same bits on every machine. Only +, -, *, /, fma, sqrt, rint
 * and bit operations are used. */
#ifndef LP_BASE_FUNCTION_H
#define LP_BASE_FUNCTION_H

/* float32, within 1 ulp of the true value for every input (tested exhaustively against MPFR); the kernels repeat these
 * very steps in vectors. exp: -inf gives 0, overflow +inf, results below 2^-126 are rounded to subnormals correctly to
 * 1 ulp of 2^-149; exp(0) = 1 exactly. NaN gives NaN. */
float lp_expf(float x);

/* z / (1 + exp(-z)): every operation rounded. */
float lp_siluf(float z);

/* tanh within 2 ulp, and z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) within 2^-22 max(1, |z|) of the true value; the steps
 * stand in base/expf.h. */
float lp_tanhf(float x);
float lp_geluf(float z);

/* float64, within 1 ulp. exp and log for all inputs; sin and cos for |x| <= 2^24 (a position times a frequency). */
double lp_exp(double x);
double lp_log(double x);
double lp_sin(double x);
double lp_cos(double x);

#endif
