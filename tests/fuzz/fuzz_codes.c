/* Fuzzes the codecs: any element, any rule, any numbers. The vectors give the bits of plain C, values are fixed points of
 * rounding, codes come back to their values, and nothing is written outside.
 * Input: format text, NUL, 4 bytes of rules, then float32 numbers. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/isa.h>
#include <lowp/round.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);
extern size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room) __attribute__((weak)); /* absent in replays */

enum { MOST = 600 };

static void require(int holds, const char *what, const char *text)
{
    if (holds) return;
    fprintf(stderr, "%s: %s\n", text, what);
    abort();
}

static bool same_values(const float *a, const float *b, int64_t n) { return memcmp(a, b, (size_t)n * sizeof *a) == 0; }

static void check(const lp_element *e, const lp_rounding *rule, const float *x, int64_t n, const char *text)
{
    static float plain[MOST], y[MOST], again[MOST];
    static uint8_t codes[4 * MOST + 1], plain_codes[4 * MOST + 1];
    if (lp_rounding_check(e, rule) != LP_OK) {
        require(lp_round_f32(e, rule, x, n, y, NULL) == LP_USAGE, "a refused rule was applied", text);
        return;
    }
    if (e->kind == LP_ELEMENT_COMPLEX) n -= n % 2;
    size_t n_bytes = lp_codes_bytes(e, n);
    require(lp_isa_select("ref") == LP_OK && lp_round_f32(e, rule, x, n, plain, NULL) == LP_OK, "rounding", text);
    require(lp_round_codes_f32(e, rule, x, n, plain_codes, NULL) == LP_OK, "encoding", text);
    require(lp_isa_select(NULL) == LP_OK && lp_round_f32(e, rule, x, n, y, NULL) == LP_OK, "rounding in vectors", text);
    require(same_values(plain, y, n), "vectors give other values", text);
    codes[n_bytes] = 0x5a;
    require(lp_round_codes_f32(e, rule, x, n, codes, NULL) == LP_OK, "encoding in vectors", text);
    require(memcmp(codes, plain_codes, n_bytes) == 0, "vectors give other codes", text);
    require(codes[n_bytes] == 0x5a, "bytes behind the codes were written", text);
    require(lp_codes_values_f32(e, codes, n, again, NULL) == LP_OK, "decoding", text);
    for (int64_t i = 0; i < n; i++) require(isnan(y[i]) || again[i] == y[i], "codes do not come back to the values", text);
    if (e->kind == LP_ELEMENT_COMPLEX) return;
    lp_rounding once = *rule;
    if (once.overflow == LP_OVERFLOW_NAN || once.overflow == LP_OVERFLOW_ZERO) once.overflow = LP_OVERFLOW_INFINITY;
    if (lp_rounding_check(e, &once) != LP_OK) return;
    require(lp_round_f32(e, &once, y, n, again, NULL) == LP_OK, "rounding values", text);
    for (int64_t i = 0; i < n; i++) require(isnan(y[i]) || isinf(y[i]) || again[i] == y[i], "a value is no fixed point", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    if (!end || n - (size_t)(end - data) < 5) return 0;
    lp_format *format;
    const char *text = (const char *)data;
    if (lp_format_parse(text, &format) != LP_OK) return 0;
    const uint8_t *at = end + 1;
    lp_rounding rule = {.mode = (lp_rounding_mode)(at[0] % LP_ROUND_MODE_COUNT), .overflow = (lp_overflow)(at[1] % LP_OVERFLOW_COUNT),
                        .subnormals = (lp_subnormals)(at[2] % LP_SUBNORMALS_COUNT), .random_bits = at[3] % 33,
                        .seed = at[3], .first = at[2]};
    at += 4;
    static float x[MOST];
    int64_t count = (int64_t)(n - (size_t)(at - data)) / 4;
    if (count > MOST) count = MOST;
    memcpy(x, at, (size_t)count * 4);
    check(&format->element, &rule, x, count, text);
    lp_format_free(format);
    return 0;
}

/* A text of the grammar in front, the generic mutator behind it. Only called where there is one. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    static const char *const texts[] = {"e4m3", "e5m2", "e2m1", "e3m0", "e8m0", "f16", "bf16", "f32", "e8m3", "i8", "u4", "t", "b3",
                                        "q3.4", "i8f-3", "nf4", "iq4nl", "dyn8", "s3", "s3z", "p8.0", "p16.1", "p16.3", "c2",
                                        "e4m3b11", "e7m2fnuz", "ue5m3", "e6m9", "i16", "e1m2"};
    uint8_t *end = n ? memchr(data, 0, n) : NULL;
    if (end && seed % 4) {
        size_t head = (size_t)(end - data) + 1;
        return head + LLVMFuzzerMutate(data + head, n - head, room - head);
    }
    const char *text = texts[seed / 4 % (sizeof texts / sizeof *texts)];
    size_t head = strlen(text) + 1;
    if (head + 8 > room) return LLVMFuzzerMutate(data, n, room);
    size_t rest = end ? n - (size_t)(end - data) - 1 : 0;
    if (rest + head > room) rest = room - head;
    memmove(data + head, end ? end + 1 : data, rest);
    memcpy(data, text, head);
    return head + LLVMFuzzerMutate(data + head, rest, room - head);
}
