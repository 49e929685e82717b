/* Fuzzes safetensors files: what opens tiles its buffer, and survives writing and reading. The mutator knows the header: it
 * writes one that is right, of random tensors, and then spoils it half of the time. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/status.h>

#include "file/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);
extern size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room) __attribute__((weak)); /* absent in replays */

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

/* A file with the same tensors, written by us. */
static void round_trip(const lp_safetensors *f)
{
    lp_safetensor_declared *d = calloc((size_t)f->n + 1, sizeof *d);
    char **names = calloc((size_t)f->n + 1, sizeof *names), *header;
    size_t n_header, n_data = 0;
    bool fits = true;
    require(d && names, "memory");
    for (uint32_t i = 0; i < f->n; i++) {
        const lp_safetensor *t = &f->tensor[i];
        names[i] = calloc(t->name.n + 1, 1);
        require(names[i] != NULL, "memory");
        memcpy(names[i], t->name.data, t->name.n);
        d[i] = (lp_safetensor_declared){.name = names[i], .type = t->type, .n_dims = t->n_dims, .n_bytes = t->n_bytes, .user = t};
        if (t->n_dims > 4) fits = false;
        for (int k = 0; k < t->n_dims && k < 4; k++) d[i].dim[k] = t->dim[k];
        n_data += t->n_bytes;
    }
    if (fits) {
        require(lp_safetensors_header(d, f->n, "", &header, &n_header) == LP_OK, "a header");
        uint8_t *file = malloc(n_header + n_data);
        require(file != NULL, "memory");
        memcpy(file, header, n_header);
        size_t at = n_header;
        for (uint32_t i = 0; i < f->n; at += d[i++].n_bytes)
            if (d[i].n_bytes) memcpy(file + at, ((const lp_safetensor *)d[i].user)->data, d[i].n_bytes);
        lp_safetensors *again;
        require(lp_safetensors_open_memory(file, at, "again", &again) == LP_OK, "a written file does not open");
        require(again->n == f->n, "a written file has other tensors");
        for (uint32_t i = 0; i < f->n; i++) {
            int64_t k = lp_names_find(&again->names, f->tensor[i].name);
            require(k >= 0 && again->tensor[k].n_bytes == f->tensor[i].n_bytes && again->tensor[k].type == f->tensor[i].type &&
                        (f->tensor[i].n_bytes == 0 || memcmp(again->tensor[k].data, f->tensor[i].data, f->tensor[i].n_bytes) == 0),
                    "a tensor changed");
        }
        lp_safetensors_close(again);
        free(file);
        free(header);
    }
    for (uint32_t i = 0; i < f->n; i++) free(names[i]);
    free(names);
    free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    lp_safetensors *f = (lp_safetensors *)1;
    lp_status status = lp_safetensors_open_memory(data, n, "fuzz", &f);
    if (status != LP_OK) {
        require((status == LP_INPUT || status == LP_UNSUPPORTED) && !f && strncmp(lp_error(), "fuzz: ", 6) == 0, "how it was refused");
        return 0;
    }
    uint64_t sum = f->data_start;
    for (uint32_t i = 0; i < f->n; i++) {
        const lp_safetensor *t = &f->tensor[i];
        require(lp_names_find(&f->names, t->name) == (int64_t)i, "a tensor is not found");
        require(t->data >= data && t->begin + t->n_bytes <= n - f->data_start, "data outside");
        sum += t->n_bytes;
    }
    require(sum == n, "the tensors do not fill the file");
    round_trip(f);
    lp_safetensors_close(f);
    return 0;
}

/* ---- mutator ----------------------------------------------------------------------------------------------------- */

static uint32_t next(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return below ? (*state >> 8) % below : 0;
}

/* A file of a few random tensors, most of the time right. */
static void make_file(lp_json_text *out, uint32_t *s)
{
    static const char *const odd[] = {"-1", "1.5", "1e3", "9007199254740993", "18446744073709551616", "null", "\"4\"", "[]", "4294967296"};
    uint32_t n = next(s, 6), spoiled = next(s, 2) ? next(s, n + 1) : UINT32_MAX;
    uint64_t at = 0;
    lp_json_put(out, "\0\0\0\0\0\0\0", 8);
    lp_json_puts(out, next(s, 4) ? "{" : "{\"__metadata__\":{\"format\":\"pt\"},");
    for (uint32_t i = 0; i < n; i++) {
        const lp_safetensors_type *type = &lp_safetensors_types[next(s, (uint32_t)lp_safetensors_type_count())];
        uint32_t n_dims = next(s, 5), how = i == spoiled ? 1 + next(s, 7) : 0;
        uint64_t values = 1;
        lp_json_printf(out, "%s\"%s%u\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", next(s, 8) ? "t" : "\\u0074\\ud83d\\ude00",
                       how == 1 && i ? i - 1 : i, how == 2 ? "F128" : type->name);
        for (uint32_t k = 0; k < n_dims; k++) {
            uint32_t d = !next(s, 12) ? 0 : k == 0 ? 8 : 1 + next(s, 4);
            values *= d;
            if (how == 3) lp_json_printf(out, "%s%s", k ? "," : "", odd[next(s, sizeof odd / sizeof *odd)]);
            else lp_json_printf(out, "%s%u", k ? "," : "", d);
        }
        uint64_t bytes = values * (uint64_t)type->bits / 8, begin = at + (how == 4), end = at + bytes + (how == 5);
        if (how == 6) lp_json_printf(out, "],\"data_offsets\":[%s,%llu]}", odd[next(s, sizeof odd / sizeof *odd)], (unsigned long long)end);
        else lp_json_printf(out, "],\"data_offsets\":[%llu,%llu]%s}", (unsigned long long)begin, (unsigned long long)end, how == 7 ? ",\"x\":[[[1]]]" : "");
        at += bytes;
    }
    lp_json_puts(out, "}");
    while (next(s, 3)) lp_json_puts(out, " ");
    if (out->failed) return;
    uint64_t length = out->n - 8 + (next(s, 16) == 0);
    memcpy(out->data, &length, 8);
    at += next(s, 16) == 0;
    for (uint64_t i = 0; i < at && i < 4096; i++) lp_json_put(out, "x", 1);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    uint32_t state = seed;
    lp_json_text text = {0};
    if (next(&state, 3) && LLVMFuzzerMutate) return LLVMFuzzerMutate(data, n, room);
    make_file(&text, &state);
    if (!text.failed && text.n <= room) {
        memcpy(data, text.data, text.n);
        n = text.n;
    }
    free(text.data);
    return n;
}
