/* Numbers to the codes of an element. Ties: foundation 2 (10), the element's rule. */
#include "quantize/levels.h"

#include <math.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/half.h"

enum { MOST_BITS = 16 };

static bool is_hardware_float(const lp_element *e)
{
    if (e->kind != LP_ELEMENT_FLOAT || !e->is_signed || e->specials != LP_SPECIALS_IEEE) return false;
    return (e->exponent == 5 && e->mantissa == 10) || (e->exponent == 8 && (e->mantissa == 7 || e->mantissa == 23));
}

typedef struct entry {
    float value;
    uint32_t code;
} entry;

static int compare(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static float next_below(float x)
{
    if (x == 0) return lp_f32_from_bits(0x80000001u);
    return lp_f32_from_bits(x > 0 ? lp_f32_bits(x) - 1 : lp_f32_bits(x) + 1);
}

/* Where the nearest value changes from a to b. */
static float edge_between(const entry *a, const entry *b, lp_tie tie)
{
    float middle = (float)(((double)a->value + (double)b->value) / 2);
    bool even_a = a->code % 2 == 0, even_b = b->code % 2 == 0;
    bool upper = tie == LP_TIE_UPPER || (tie != LP_TIE_LOWER && fabsf(b->value) < fabsf(a->value));
    if (tie == LP_TIE_EVEN_CODE && even_a != even_b) upper = even_b;
    /* (float) may have rounded the midpoint; what matters is which floats lie above it. */
    if ((double)middle * 2 > (double)a->value + (double)b->value) return next_below(middle);
    bool exact = (double)middle * 2 == (double)a->value + (double)b->value;
    return exact && upper ? next_below(middle) : middle;
}

static lp_status fill(lp_levels *c, const lp_element *e)
{
    uint32_t n_codes = 1u << e->bits;
    entry *list = malloc(n_codes * sizeof *list);
    if (!list) return lp_fail_memory(n_codes * sizeof *list, "the codes of a format");
    int n = 0;
    for (uint32_t code = 0; code < n_codes; code++) {
        float v = (float)lp_element_value(e, code);
        if (isfinite(v)) list[n++] = (entry){v, code};
    }
    qsort(list, (size_t)n, sizeof *list, compare);
    int kept = 0; /* of equal values (+0 and -0 too) the lowest code */
    for (int i = 0; i < n; i++)
        if (kept == 0 || list[i].value != list[kept - 1].value) list[kept++] = list[i];
    c->n = kept;
    for (c->n_edges = 1; c->n_edges < kept;) c->n_edges *= 2;
    c->value = malloc((size_t)kept * sizeof *c->value);
    c->code = malloc((size_t)kept * sizeof *c->code);
    c->edge = malloc((size_t)c->n_edges * sizeof *c->edge);
    lp_status status = c->value && c->code && c->edge && kept ? LP_OK : lp_fail_memory((size_t)kept * 12, "the codes of a format");
    c->is_uniform = true;
    for (int i = 0; i < kept && status == LP_OK; i++) {
        c->value[i] = list[i].value;
        c->code[i] = list[i].code;
        c->is_uniform = c->is_uniform && list[i].value == list[0].value + (float)i && list[i].value == rintf(list[i].value);
    }
    for (int i = 0; i < c->n_edges && status == LP_OK; i++)
        c->edge[i] = i + 1 < kept ? edge_between(&list[i], &list[i + 1], e->tie) : INFINITY;
    if (status == LP_OK) {
        c->least = c->value[0];
        c->most = c->value[kept - 1];
    }
    free(list);
    return status;
}

lp_status lp_levels_create(const lp_element *element, lp_levels **out)
{
    lp_levels *c = *out = calloc(1, sizeof *c);
    if (!c) return lp_fail_memory(sizeof *c, "a format");
    c->bits = element->bits;
    if (is_hardware_float(element)) {
        c->most = element->exponent == 5 ? 65504.0f : element->mantissa == 7 ? lp_bf16_to_f32(0x7f7f) : lp_f32_from_bits(0x7f7fffffu);
        c->least = -c->most;
        return LP_OK;
    }
    lp_status status = element->bits <= MOST_BITS ? fill(c, element) : lp_fail(LP_UNSUPPORTED, "elements of %d bits cannot be encoded", element->bits);
    if (status == LP_OK) return LP_OK;
    lp_levels_free(c);
    *out = NULL;
    return status;
}

void lp_levels_free(lp_levels *levels)
{
    if (!levels) return;
    free(levels->value);
    free(levels->code);
    free(levels->edge);
    free(levels);
}

int lp_levels_nearest(const lp_levels *c, float x)
{
    if (c->is_uniform) { /* consecutive integers have even codes where they are even */
        float q = rintf(x < c->least ? c->least : x > c->most ? c->most : x);
        return (int)(q - c->least);
    }
    int i = 0;
    for (int step = c->n_edges / 2; step; step /= 2) i += x > c->edge[i + step - 1] ? step : 0;
    return i;
}

uint32_t lp_levels_round(const lp_levels *c, float x, float *value)
{
    if (c->n) {
        int i = lp_levels_nearest(c, x);
        *value = c->value[i];
        return c->code[i];
    }
    if (c->bits == 32) {
        *value = x;
        return lp_f32_bits(x);
    }
    bool half = c->most == 65504.0f;
    uint16_t code = half ? lp_f16_from_f32(x) : lp_bf16_from_f32(x);
    *value = half ? lp_f16_to_f32(code) : lp_bf16_to_f32(code);
    return code;
}

void lp_code_write(uint8_t *dst, int bits, int64_t i, uint32_t code)
{
    uint64_t bit = (uint64_t)i * (uint64_t)bits, shifted = (uint64_t)code << (bit & 7);
    for (uint8_t *at = dst + bit / 8; shifted; at++, shifted >>= 8) *at |= (uint8_t)shifted;
}
