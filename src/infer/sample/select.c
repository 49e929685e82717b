/* Selection and sorting by digits of 11 bits: the same time for every input, the same result on every machine. */
#include <string.h>

#include "infer/sample/select.h"

/* Up to SHORT keys are sorted by insertion. */
enum { SHORT = 64, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, TOP_SHIFT = 32 - DIGIT_BITS };

lp_status lp_selection_init(lp_selection *selection, lp_arena *arena, size_t n)
{
    selection->key = lp_arena_alloc_array(arena, n, sizeof *selection->key);
    selection->spare = lp_arena_alloc_array(arena, n, sizeof *selection->spare);
    selection->histogram = lp_arena_alloc_array(arena, 4 * DIGITS, sizeof *selection->histogram);
    return selection->key && selection->spare && selection->histogram ? LP_OK : LP_RESOURCE;
}

static inline uint32_t upper(uint64_t key) { return (uint32_t)(key >> 32); }

void lp_sort_keys(lp_selection *selection, size_t n)
{
    uint64_t *from = selection->key, *to = selection->spare;
    if (n <= SHORT) {
        for (size_t i = 1, j; i < n; i++) {
            uint64_t key = from[i];
            for (j = i; j && upper(from[j - 1]) > upper(key); j--) from[j] = from[j - 1];
            from[j] = key;
        }
        return;
    }
    uint32_t *histogram = selection->histogram;
    for (int shift = 32; shift < 64; shift += DIGIT_BITS) {
        memset(histogram, 0, DIGITS * sizeof *histogram);
        for (size_t i = 0; i < n; i++) histogram[from[i] >> shift & (DIGITS - 1)]++;
        uint32_t sum = 0;
        for (int d = 0; d < DIGITS; d++) {
            uint32_t count = histogram[d];
            histogram[d] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++) to[histogram[from[i] >> shift & (DIGITS - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    memcpy(selection->key, from, n * sizeof *from); /* three passes end in spare */
}

/* Greatest digit d such that at least k counted things have a digit >= d; *above: how many have a greater one. */
static uint32_t threshold(const uint32_t *histogram, size_t k, size_t *above)
{
    size_t sum = 0;
    uint32_t d = DIGITS - 1;
    for (; d && sum + histogram[d] < k; d--) sum += histogram[d];
    *above = sum;
    return d;
}

/* Keys (inverted image, index) of the floats whose first digit reaches the k-th greatest's, by ascending index. */
static size_t collect(lp_selection *selection, const float *x, size_t n, size_t k)
{
    uint32_t *h = selection->histogram; /* four, so that equal neighbours do not wait for each other */
    memset(h, 0, 4 * DIGITS * sizeof *h);
    size_t i = 0, m = 0, above;
    for (; i + 4 <= n; i += 4) {
        h[lp_float_image(x[i]) >> TOP_SHIFT]++;
        h[DIGITS + (lp_float_image(x[i + 1]) >> TOP_SHIFT)]++;
        h[2 * DIGITS + (lp_float_image(x[i + 2]) >> TOP_SHIFT)]++;
        h[3 * DIGITS + (lp_float_image(x[i + 3]) >> TOP_SHIFT)]++;
    }
    for (; i < n; i++) h[lp_float_image(x[i]) >> TOP_SHIFT]++;
    for (int d = 0; d < DIGITS; d++) h[d] += h[DIGITS + d] + h[2 * DIGITS + d] + h[3 * DIGITS + d];
    uint32_t least = threshold(h, k, &above) << TOP_SHIFT;
    for (i = 0; i < n; i++) {
        uint32_t image = lp_float_image(x[i]);
        if (image >= least) selection->key[m++] = (uint64_t)~image << 32 | i;
    }
    return m;
}

/* Of m keys the k with the least upper halves, of equal ones the first; order is kept. */
static void reduce(lp_selection *selection, size_t m, size_t k)
{
    uint64_t *key = selection->key;
    uint32_t *h = selection->histogram, prefix = 0, mask = 0;
    size_t wanted = k;
    static const int shifts[] = {TOP_SHIFT, TOP_SHIFT - DIGIT_BITS, 0};
    static const uint32_t widths[] = {DIGITS - 1, DIGITS - 1, (1u << (TOP_SHIFT - DIGIT_BITS)) - 1};
    for (int pass = 0; pass < 3; pass++) { /* fixes the digits of the k-th image one by one */
        memset(h, 0, DIGITS * sizeof *h);
        for (size_t i = 0; i < m; i++) {
            uint32_t image = ~upper(key[i]);
            if ((image & mask) == prefix) h[image >> shifts[pass] & widths[pass]]++;
        }
        size_t above;
        uint32_t digit = threshold(h, wanted, &above);
        wanted -= above;
        prefix |= digit << shifts[pass];
        mask |= widths[pass] << shifts[pass];
    }
    size_t n = 0; /* of those equal to the k-th, `wanted` are left to take */
    for (size_t i = 0; i < m; i++) {
        uint32_t image = ~upper(key[i]);
        if (image > prefix || (image == prefix && wanted && wanted--)) key[n++] = key[i];
    }
}

void lp_select_top(lp_selection *selection, const float *x, size_t n, size_t k, int32_t *id, float *value)
{
    if (k == n || n <= SHORT) {
        for (size_t i = 0; i < n; i++) selection->key[i] = (uint64_t)~lp_float_image(x[i]) << 32 | i;
        lp_sort_keys(selection, n);
    } else {
        size_t m = collect(selection, x, n, k);
        if (m > k) reduce(selection, m, k);
        lp_sort_keys(selection, k);
    }
    for (size_t i = 0; i < k; i++) {
        id[i] = (int32_t)(uint32_t)selection->key[i];
        value[i] = lp_image_float(~upper(selection->key[i]));
    }
}
