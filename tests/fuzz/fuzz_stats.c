/* Fuzzes importance files of both forms: what reads has finite means, and its entries are found by name. */
#include <float.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/calibrate.h>

#include "gguf_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    lp_stats *stats = (lp_stats *)1;
    lp_status status = lp_stats_read_memory(data, n, "fuzz", &stats);
    if (status != LP_OK) {
        require(status == LP_INPUT && stats == NULL && strncmp(lp_error(), "fuzz: ", 6) == 0, "how it was refused");
        return 0;
    }
    require(lp_stats_count(stats) > 0 && lp_stats_tokens(stats) >= 0, "counts");
    require(strlen(lp_stats_sha256(stats)) == 64, "the digest");
    int64_t n_all = 0;
    for (int64_t i = 0; i < lp_stats_count(stats); i++) {
        int64_t n_values;
        const float *mean = lp_stats_mean_square(stats, lp_stats_name_at(stats, i), &n_values);
        require(mean && n_values > 0, "an entry is not found");
        for (int64_t k = 0; k < n_values; k++) require(mean[k] >= 0 && mean[k] <= FLT_MAX, "a mean");
        n_all += n_values;
    }
    require((size_t)n_all <= n / sizeof(float), "more values than the file holds");
    lp_stats_free(stats);
    return 0;
}

/* ---- the legacy form: a list of int32 fields with texts and floats between them ---- */

/* Places of the int32 fields as far as they can be followed; at most `most`. */
static int legacy_fields(const uint8_t *data, size_t n, size_t *field, int most)
{
    int n_fields = 0;
    size_t at = 0;
    if (n < 4) return 0;
    field[n_fields++] = at;
    at += 4;
    while (n - at >= 4 && n_fields + 3 <= most) {
        uint32_t length, n_values;
        field[n_fields++] = at;
        memcpy(&length, data + at, 4);
        at += 4;
        if (length > n - at || n - at - length < 8) break;
        at += length;
        field[n_fields++] = at;
        field[n_fields++] = at + 4;
        memcpy(&n_values, data + at + 4, 4);
        at += 8;
        if (n_values > (n - at) / 4) break;
        at += 4 * (size_t)n_values;
    }
    return n_fields;
}

static size_t mutate_legacy(uint8_t *data, size_t n, size_t room, uint32_t seed)
{
    static const float values[] = {0, 1, -1, 1e-42f, FLT_MAX, -0.0f, __builtin_nanf(""), __builtin_inff()};
    size_t field[64];
    uint32_t state = seed * 2654435761u + 1;
    int n_fields = legacy_fields(data, n, field, 64);
    for (uint32_t steps = 1 + mutate_random(&state, 3); steps > 0 && n_fields; steps--) {
        size_t at = field[mutate_random(&state, (uint32_t)n_fields)];
        uint32_t value = 0;
        switch (mutate_random(&state, 6)) {
        case 0: /* a number */
            memcpy(&value, data + at, 4);
            value = (uint32_t)mutate_border(&state, value, n);
            memcpy(data + at, &value, 4);
            break;
        case 1: /* the part from a field on, once more */
            if (2 * n - at <= room) {
                memmove(data + n, data + at, n - at);
                n += n - at;
                n_fields = legacy_fields(data, n, field, 64);
            }
            break;
        case 2: /* one entry more or less */
            data[0] = (uint8_t)(data[0] + (mutate_random(&state, 2) ? 1 : -1));
            break;
        case 3: /* a float */
            at = n - 4 - 4 * mutate_random(&state, (uint32_t)(n / 4));
            if (at <= n - 4) memcpy(data + at, &values[mutate_random(&state, 8)], 4);
            break;
        case 4: data[mutate_random(&state, (uint32_t)n)] = (uint8_t)mutate_random(&state, 256); break;
        case 5: /* without its end */
            n -= mutate_random(&state, (uint32_t)n);
            n_fields = legacy_fields(data, n, field, 64);
            break;
        }
    }
    if (n < room && mutate_random(&state, 4) == 0) data[n++] = (uint8_t)mutate_random(&state, 256);
    return n ? n : 1;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    if (n >= 4 && memcmp(data, "GGUF", 4) == 0) return mutate_gguf(data, n, room, seed);
    return mutate_legacy(data, n, room, seed);
}
