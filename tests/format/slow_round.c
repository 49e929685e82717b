/* Millions of random and adversarial numbers against the definition: `make check-formats`. Prints TAP. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/isa.h>
#include <lowp/round.h>

#include "base/half.h"
#include "base/random.h"
#include "round_oracle.h"

enum { PIECE = 4096 };

static const lp_isa all_isas[] = {LP_ISA_REF, LP_ISA_AVX2, LP_ISA_AVX512, LP_ISA_NEON};

/* Values, midpoints and what lies beside them; numbers of any bits. */
static void draw(const oracle *o, uint64_t seed, int64_t first, float *x, double *wide)
{
    for (int i = 0; i < PIECE; i++) {
        uint32_t w[4];
        lp_philox((uint32_t[4]){(uint32_t)(first + i), (uint32_t)((first + i) >> 32), 77, 0}, (uint32_t[2]){(uint32_t)seed, 3}, w);
        int at = (int)(w[0] % (uint32_t)o->n);
        double a = o->v[at].value, b = at + 1 < o->n ? o->v[at + 1].value : o->next[0];
        double v = w[1] % 4 == 0 ? a : w[1] % 4 == 1 ? a / 2 + b / 2 : a + (b - a) * w[2] * 0x1p-32;
        uint32_t bits = lp_f32_bits((float)v) + (w[1] >> 2) % 3 - 1;
        if ((w[1] >> 8) % 4 == 0) bits = w[3];
        x[i] = lp_f32_from_bits(bits);
        uint64_t long_bits;
        memcpy(&long_bits, &v, 8);
        if (v != 0) long_bits += (w[1] >> 16) % 5 - UINT64_C(2);
        if ((w[1] >> 24) % 8 == 0) long_bits = (uint64_t)w[2] << 32 | w[3];
        memcpy(wide + i, &long_bits, 8);
    }
}

static bool same(double x, double y, double want)
{
    if (want != want) return y != y && signbit(y) == signbit(x);
    return y == want && signbit(y) == signbit(want);
}

/* All float16 numbers in every mode. */
static int check_halves(const char *text, const oracle *o)
{
    static float x[65536], y[65536];
    static double want[65536];
    int n_wrong = 0;
    for (uint32_t h = 0; h < 65536; h++) x[h] = lp_f16_to_f32((uint16_t)h);
    for (int m = 0; m < LP_ROUND_MODE_COUNT; m++) {
        lp_rounding r = {.mode = (lp_rounding_mode)m, .seed = 5};
        if (lp_rounding_check(&o->element, &r) != LP_OK) continue;
        for (int i = 0; i < 65536; i++) {
            uint32_t word = m >= LP_ROUND_STOCHASTIC ? lp_random_word(5, (uint64_t)i, 0, 0, 0, 0) : 0;
            want[i] = oracle_round(o, &r, (double)x[i], word).value;
        }
        for (size_t s = 0; s < sizeof all_isas / sizeof *all_isas; s++) {
            if (!lp_isa_available(all_isas[s]) || lp_isa_select(lp_isa_name(all_isas[s])) != LP_OK) continue;
            if (lp_round_f32(&o->element, &r, x, 65536, y, NULL)) return 1;
            for (int i = 0; i < 65536; i++) {
                if (same((double)x[i], (double)y[i], want[i])) continue;
                if (++n_wrong < 10)
                    printf("# %s %s (%s): float16 %a gives %a, not %a\n", text, lp_rounding_mode_name(r.mode),
                           lp_isa_name(all_isas[s]), (double)x[i], (double)y[i], want[i]);
            }
        }
    }
    return n_wrong;
}

/* Of every piece one mode in turn; returns the number of failures. */
static int check(const char *text, int64_t n)
{
    static float x[PIECE], y[PIECE];
    static double wide[PIECE], y64[PIECE];
    lp_format *format;
    if (lp_format_parse(text, &format) != LP_OK) return 1;
    lp_element e = format->element;
    lp_format_free(format);
    oracle o;
    oracle_make(&o, &e);
    int n_wrong = check_halves(text, &o);
    for (int64_t first = 0; first < n; first += PIECE) {
        lp_rounding r = {.mode = (lp_rounding_mode)(first / PIECE % LP_ROUND_MODE_COUNT), .seed = 5, .first = (uint64_t)first};
        if (lp_rounding_check(&e, &r) != LP_OK) r.mode = LP_ROUND_NEAREST_EVEN;
        draw(&o, 11, first, x, wide);
        for (size_t s = 0; s < sizeof all_isas / sizeof *all_isas; s++) {
            if (!lp_isa_available(all_isas[s]) || lp_isa_select(lp_isa_name(all_isas[s])) != LP_OK) continue;
            if (lp_round_f32(&e, &r, x, PIECE, y, NULL) || lp_round_f64(&e, &r, wide, PIECE, y64, NULL)) return 1;
            for (int i = 0; i < PIECE; i++) {
                uint32_t word = r.mode >= LP_ROUND_STOCHASTIC ? lp_random_word(5, (uint64_t)(first + i), 0, 0, 0, 0) : 0;
                double want = oracle_round(&o, &r, (double)x[i], word).value, want64 = oracle_round(&o, &r, wide[i], word).value;
                if (same((double)x[i], (double)y[i], want) && same(wide[i], y64[i], want64)) continue;
                if (++n_wrong < 10)
                    printf("# %s %s (%s): %a gives %a, not %a; %a gives %a, not %a\n", text, lp_rounding_mode_name(r.mode),
                           lp_isa_name(all_isas[s]), (double)x[i], (double)y[i], want, wide[i], y64[i], want64);
            }
        }
    }
    oracle_free(&o);
    return n_wrong;
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? atoll(argv[1]) : 10000000;
    int count = 0, failed = 0;
    for (int i = 0; i < lp_format_row_count(); i++) {
        const lp_format_row *row = lp_format_row_at(i);
        lp_format *format;
        if (lp_format_parse(row->name, &format) != LP_OK) return 1;
        bool is_element = !format->scale && format->element.bits <= 16 && format->element.kind != LP_ELEMENT_COMPLEX &&
                          format->element.kind != LP_ELEMENT_EXPONENT; /* borders of its own */
        lp_format_free(format);
        if (!is_element) continue;
        int n_wrong = check(row->text, n);
        failed += n_wrong != 0;
        printf("%sok %d - %s equals the definition on all float16, %lld float32 and float64 numbers\n", n_wrong ? "not " : "", ++count, row->name,
               (long long)n);
        fflush(stdout);
    }
    printf("1..%d\n", count);
    return failed != 0;
}
