/* Writing: JSON texts, and the header of a safetensors file as the reference writer orders it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "file/safetensors.h"

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

void lp_json_put(lp_json_text *text, const char *bytes, size_t n)
{
    size_t need;
    if (text->failed) return;
    if (!lp_add_size(text->n, n, &need) || need > SIZE_MAX / 2) {
        text->failed = true;
        return;
    }
    if (need > text->capacity) {
        size_t capacity = 2 * need + 256;
        char *grown = realloc(text->data, capacity);
        if (!grown) {
            text->failed = true;
            return;
        }
        text->data = grown;
        text->capacity = capacity;
    }
    if (n) memcpy(text->data + text->n, bytes, n);
    text->n = need;
}

void lp_json_puts(lp_json_text *text, const char *s) { lp_json_put(text, s, strlen(s)); }

void lp_json_printf(lp_json_text *text, const char *format, ...)
{
    char buffer[256];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof buffer) text->failed = true;
    else lp_json_put(text, buffer, (size_t)n);
}

/* Bytes of the well-formed sequence at s, or 0. */
static size_t sequence(const char *s, size_t n)
{
    for (size_t length = 1; length <= 4 && length <= n; length++)
        if (lp_name_is_text((lp_string){s, length})) return length;
    return 0;
}

void lp_json_quote(lp_json_text *text, const char *bytes, size_t n)
{
    lp_json_puts(text, "\"");
    for (size_t i = 0; i < n;) {
        uint8_t c = (uint8_t)bytes[i];
        size_t length = c < 0x80 ? 1 : sequence(bytes + i, n - i);
        if (!length) lp_json_puts(text, "\\ufffd");
        else if (c == '"' || c == '\\') lp_json_printf(text, "\\%c", c);
        else if (c < 0x20) lp_json_printf(text, "\\u%04x", c);
        else lp_json_put(text, bytes + i, length);
        i += length ? length : 1;
    }
    lp_json_puts(text, "\"");
}

/* ---- header ------------------------------------------------------------------------------------------------------ */

static int by_type_and_name(const void *a, const void *b)
{
    const lp_safetensor_declared *x = a, *y = b;
    if (x->type != y->type) return x->type > y->type ? -1 : 1; /* rows of one table */
    return strcmp(x->name, y->name);
}

lp_status lp_safetensors_header(lp_safetensor_declared *tensor, size_t n_tensors, const char *metadata, char **bytes, size_t *n)
{
    lp_json_text t = {0};
    uint64_t offset = 0;
    if (n_tensors) qsort(tensor, n_tensors, sizeof *tensor, by_type_and_name);
    lp_json_put(&t, "\0\0\0\0\0\0\0", 8);
    lp_json_puts(&t, "{\"__metadata__\":{\"format\":\"pt\""); /* transformers refuses files without it */
    lp_json_puts(&t, metadata);
    lp_json_puts(&t, "}");
    for (size_t i = 0; i < n_tensors; i++) {
        const lp_safetensor_declared *d = &tensor[i];
        lp_json_puts(&t, ",");
        lp_json_quote(&t, d->name, strlen(d->name));
        lp_json_printf(&t, ":{\"dtype\":\"%s\",\"shape\":[", d->type->name);
        for (int k = 0; k < d->n_dims; k++) lp_json_printf(&t, "%s%lld", k ? "," : "", (long long)d->dim[k]);
        lp_json_printf(&t, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset, (unsigned long long)(offset + d->n_bytes));
        offset += d->n_bytes;
    }
    lp_json_puts(&t, "}");
    while (t.n % 8 && !t.failed) lp_json_puts(&t, " ");
    if (t.failed) {
        free(t.data);
        return lp_fail_memory(t.n, "a safetensors header");
    }
    uint64_t n_header = t.n - 8;
    memcpy(t.data, &n_header, 8);
    *bytes = t.data;
    *n = t.n;
    if (n_header <= LP_SAFETENSORS_MAX_HEADER) return LP_OK;
    free(t.data);
    return lp_fail(LP_UNSUPPORTED, "a safetensors header of %llu bytes (at most %d are allowed)", (unsigned long long)n_header,
                   LP_SAFETENSORS_MAX_HEADER);
}
