/* Whole files and folders of safetensors for tests. */
#include "support/folder_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "file/gguf.h"
#include "file/safetensors.h"

static void pass(lp_status status)
{
    if (status != LP_OK) fail_msg("%s: %s", lp_status_name(status), lp_error());
}

char *read_whole(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is missing", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*n + 1);
    assert_int_equal(fread(data, 1, *n, f), *n);
    data[*n] = 0;
    fclose(f);
    return data;
}

void write_whole(const char *path, const char *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

void same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = read_whole(a, &n), *y = read_whole(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

/* Replaces the first occurrence in a text file. */
void replace(const char *path, const char *from, const char *to)
{
    size_t n;
    char *text = read_whole(path, &n), *at = memmem(text, n, from, strlen(from));
    if (!at) fail_msg("'%s' is not in %s", from, path);
    char *out = malloc(n + strlen(to) + 1);
    size_t before = (size_t)(at - text);
    memcpy(out, text, before);
    memcpy(out + before, to, strlen(to));
    size_t after = n - before - strlen(from);
    memcpy(out + before + strlen(to), at + strlen(from), after);
    write_whole(path, out, before + strlen(to) + after);
    free(out);
    free(text);
}

/* Rewrites a folder's tensors, all of them as BF16. */
void narrow_folder(const char *path)
{
    lp_safetensors *f;
    pass(lp_safetensors_open(path, &f));
    static lp_safetensor_declared d[256];
    const lp_safetensors_type *bf16 = NULL;
    for (int i = 0; i < lp_safetensors_type_count(); i++)
        if (strcmp(lp_safetensors_types[i].name, "BF16") == 0) bf16 = &lp_safetensors_types[i];
    size_t n_header, n_data = 0;
    char *header;
    static char names[256][80];
    assert_true(f->n <= 256);
    for (uint32_t i = 0; i < f->n; i++) {
        const lp_safetensor *t = &f->tensor[i];
        snprintf(names[i], sizeof names[i], "%.*s", (int)t->name.n, t->name.data);
        d[i] = (lp_safetensor_declared){names[i], bf16, t->n_dims, {0}, 2, t};
        for (int k = 0; k < t->n_dims; k++) {
            d[i].dim[k] = t->dim[k];
            d[i].n_bytes *= (uint64_t)t->dim[k];
        }
        n_data += d[i].n_bytes;
    }
    pass(lp_safetensors_header(d, f->n, "", &header, &n_header));
    char *whole = malloc(n_header + n_data), *at = whole + n_header;
    memcpy(whole, header, n_header);
    for (uint32_t i = 0; i < f->n; i++) {
        const lp_safetensor *t = d[i].user;
        for (uint64_t k = 0; k < d[i].n_bytes / 2; k++, at += 2) {
            bool wide = strcmp(t->type->name, "F32") == 0;
            float value = wide ? lp_f32_from_bits(lp_read_u32(t->data + 4 * k)) : lp_f16_to_f32(lp_read_u16(t->data + 2 * k));
            uint16_t bits = lp_bf16_from_f32(value);
            memcpy(at, &bits, 2);
        }
    }
    lp_safetensors_close(f);
    write_whole(path, whole, n_header + n_data);
    free(whole);
    free(header);
}
