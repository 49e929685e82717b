/* Fuzzes format text: whatever parses prints to a text that parses to the same format, and nothing else breaks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/format.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void require(int holds, const char *what, const char *text)
{
    if (holds) return;
    fprintf(stderr, "format %s: %s\n", text, what);
    abort();
}

static void check_element(const lp_format *format, const char *text)
{
    const lp_element *e = &format->element;
    require(e->bits >= 1 && e->bits <= 32, "width of the element", text);
    uint32_t last = e->bits < 32 ? (1u << e->bits) - 1 : UINT32_MAX;
    const uint32_t codes[] = {0, 1, last / 2, last / 2 + 1, last};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        double v = lp_element_value(e, codes[i]);
        require(v != v || (double)(float)v == v, "a value that is no float32", text);
    }
    if (format->scale) check_element(format->scale, text);
    if (format->zero) check_element(format->zero, text);
    if (format->tensor_scale) check_element(format->tensor_scale, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    if (!text) return 0;
    if (n) memcpy(text, data, n);
    text[n] = '\0';
    const char *near = lp_format_suggest(text);
    require(!near || lp_format_row_find(near), "a suggestion that is no name", text);
    lp_format *format, *again;
    lp_status status = lp_format_parse(text, &format);
    if (status == LP_OK) {
        char printed[300], short_text[8], printed_again[300];
        size_t n_printed = lp_format_print(format, printed, sizeof printed);
        require(n_printed == strlen(printed) && n_printed > 0, "length of the printed text", text);
        require(lp_format_print(format, short_text, sizeof short_text) == n_printed, "length of a cut text", text);
        require(strncmp(short_text, printed, sizeof short_text - 1) == 0, "a cut text", text);
        require(lp_format_parse(printed, &again) == LP_OK, "the printed text does not parse", text);
        require(lp_format_equal(format, again), "the printed text is another format", text);
        lp_format_print(again, printed_again, sizeof printed_again);
        require(strcmp(printed, printed_again) == 0, "two canonical texts", text);
        double bits = lp_format_bits(format);
        require(bits >= 1 && bits < 200, "bits per value", text);
        check_element(format, text);
        lp_format_free(again);
        lp_format_free(format);
    } else {
        require(status == LP_USAGE && format == NULL && lp_error()[0] != '\0', "how it was refused", text);
    }
    free(text);
    return 0;
}

/* ---- a mutator that knows the grammar ---- */

static const char *const fragments[] = {
    "i4", "u4", "i8", "u6", "u8", "i16", "b3", "t", "q1.6", "e2m1", "e4m3", "e5m2", "e8m0", "ue4m3", "ue5m3", "e3m0", "f16",
    "bf16", "f32", "nf4", "iq4nl", "e2m1uz", "ieee", "fn", "fnuz", "none", ":", ":32", "|", "|nf4", ":16x16", ":row", ":tensor", ":allx1",
    ":f16", ":(u6:8:f16)", ":(u4:16:f16)", "+min", "-min", "+zero", "+min(f16)", "-min(u6:8:f16)", "-min(u4:16:f16)", "(", ")",
    "@q4_0", "@q4_k", "@mxfp4", "@gguf", "mxfp4", "nvfp4", "q4_k", "tq1_0", "0", "99", "x", "all", "p8.0", "p16.3", "dyn8", "s3z", "c2", "i8f-3", "u4f9", "b11", "b-20", "bm3erp"};
enum { N_FRAGMENTS = sizeof fragments / sizeof fragments[0] };

static unsigned next(unsigned *state, size_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return below ? (*state >> 8) % (unsigned)below : 0;
}

static int is_border(uint8_t c) { return c != '\0' && strchr(":()@+-", c) != NULL; }

/* Replaces [from, to) with a fragment as far as the room allows. */
static size_t splice(uint8_t *data, size_t n, size_t room, size_t from, size_t to, const char *fragment)
{
    size_t n_fragment = strlen(fragment);
    if (n - (to - from) + n_fragment > room) return n;
    memmove(data + from + n_fragment, data + to, n - to);
    memcpy(data + from, fragment, n_fragment);
    return n - (to - from) + n_fragment;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    unsigned state = seed * 2654435761u + 1;
    for (unsigned steps = 1 + next(&state, 4); steps > 0; steps--) {
        size_t from = next(&state, n + 1), to = from;
        const char *fragment = fragments[next(&state, N_FRAGMENTS)];
        switch (next(&state, 5)) {
        case 0: n = splice(data, n, room, from, from, fragment); break; /* insert */
        case 1:                                                        /* replace the word around */
            while (from > 0 && !is_border(data[from - 1])) from--;
            while (to < n && !is_border(data[to])) to++;
            n = splice(data, n, room, from, to, fragment);
            break;
        case 2: /* delete */
            to += next(&state, n - from + 1);
            n = splice(data, n, room, from, to, "");
            break;
        case 3: /* append */ n = splice(data, n, room, n, n, fragment); break;
        case 4:
            if (from < n) data[from] = (uint8_t)next(&state, next(&state, 4) ? 128 : 256);
            break;
        }
    }
    if (n == 0 && room > 0) data[n++] = 't';
    return n;
}
