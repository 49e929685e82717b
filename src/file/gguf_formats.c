/* Tensors in formats of our own inside a GGUF file: keys say what the bytes mean. Law: foundation section 4.
 *
 *   general.architecture = "lowp"         other readers stop here
 *   lowp.base_architecture = "llama"      what the other keys describe
 *   lowp.required = ["formats"]           features that a reader must have
 *   lowp.tensor.NAME = "4096x11008 i4:128:f16"   shape, fastest dimension first, and format
 *
 * Such a tensor stands in the directory as I8 with one dimension: its bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/gguf.h"

static const char key_prefix[] = "lowp.tensor.";
enum { PREFIX = sizeof key_prefix - 1, MAX_TEXT = 512 };

static const char *const features[] = {"formats"};

static bool string_is(lp_string s, const char *text) { return s.n == strlen(text) && memcmp(s.data, text, s.n) == 0; }

bool lp_gguf_is_format_key(lp_string key)
{
    return (key.n > PREFIX && memcmp(key.data, key_prefix, PREFIX) == 0) || string_is(key, "lowp.required") ||
           string_is(key, "lowp.base_architecture");
}

static bool is_ours(const lp_gguf *gguf)
{
    lp_string name = {0};
    const lp_gguf_key *key = lp_gguf_find(gguf, "general.architecture");
    return key && key->type == LP_GGUF_STRING && lp_gguf_strings(key, &name) == LP_OK && string_is(name, "lowp");
}

lp_status lp_gguf_get_architecture(const lp_gguf *gguf, bool required, lp_string *name)
{
    return lp_gguf_get_string(gguf, is_ours(gguf) ? "lowp.base_architecture" : "general.architecture", required, name);
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static lp_status check_features(const lp_gguf *gguf)
{
    const lp_gguf_key *key = lp_gguf_find(gguf, "lowp.required");
    if (!key) return LP_OK;
    if (key->type != LP_GGUF_ARRAY || key->element != LP_GGUF_STRING)
        return lp_fail(LP_INPUT, "%s: lowp.required: is no list of strings", gguf->path);
    /* Each takes 8 bytes of the file at least. */
    lp_string *name = calloc(key->n_elements + 1, sizeof *name);
    if (!name) return lp_fail_memory(key->n_elements * sizeof *name, "lowp.required");
    lp_status status = lp_gguf_strings(key, name);
    for (uint64_t i = 0; i < key->n_elements && status == LP_OK; i++) {
        bool known = false;
        for (size_t f = 0; f < sizeof features / sizeof *features; f++) known |= string_is(name[i], features[f]);
        if (known) continue;
        char text[LP_PRINTABLE];
        lp_fail(LP_UNSUPPORTED, "%s: lowp.required: the file needs '%s', which this version does not know", gguf->path,
                lp_name_printable(name[i], text));
        status = lp_hint(LP_UNSUPPORTED, "read it with a newer lowp");
    }
    free(name);
    return status;
}

/* "4096x11008 " at *text, which is moved behind it; false where it is no shape. */
static bool parse_shape(const char **text, lp_tensor *tensor)
{
    const char *at = *text;
    int n = 0;
    for (int d = 0; d < 4; d++) tensor->dim[d] = 1;
    for (;;) {
        int64_t v = 0;
        const char *first = at;
        for (; *at >= '0' && *at <= '9' && v <= (INT64_MAX - 9) / 10; at++) v = 10 * v + (*at - '0');
        if (at == first || n == 4) return false;
        tensor->dim[n++] = v;
        if (*at == ' ') break;
        if (*at++ != 'x') return false;
    }
    tensor->n_dims = n;
    *text = at + 1;
    return true;
}

/* One packing for all tensors that say the same. */
static lp_status packing_of(lp_gguf *gguf, const char *text, const lp_packing **out)
{
    for (size_t i = 0; i < gguf->n_packings; i++)
        if (strcmp(gguf->packing[i]->text, text) == 0) {
            *out = gguf->packing[i];
            return LP_OK;
        }
    lp_format *format;
    LP_TRY(lp_format_parse(text, &format));
    lp_status status = lp_packing_create(format, out);
    lp_format_free(format);
    if (status != LP_OK) return status;
    const lp_packing **grown = realloc(gguf->packing, (gguf->n_packings + 1) * sizeof *grown);
    if (!grown) {
        lp_packing_free(*out);
        return lp_fail_memory((gguf->n_packings + 1) * sizeof *grown, "formats");
    }
    gguf->packing = grown;
    gguf->packing[gguf->n_packings++] = *out;
    return LP_OK;
}

static lp_status read_format(lp_gguf *gguf, const lp_gguf_key *key)
{
    char item[LP_PRINTABLE], text[MAX_TEXT];
    lp_string name = {key->key.data + PREFIX, key->key.n - PREFIX}, value = {0};
    lp_name_printable(name, item);
    if (key->type != LP_GGUF_STRING || lp_gguf_strings(key, &value) != LP_OK || value.n >= sizeof text)
        return lp_fail(LP_INPUT, "%s: %s: lowp.tensor is no string of less than %d bytes", gguf->path, item, MAX_TEXT);
    int64_t index = lp_names_find(&gguf->tensor_names, name);
    if (index < 0) return lp_fail(LP_INPUT, "%s: %s: lowp.tensor describes a tensor that is not there", gguf->path, item);
    memcpy(text, value.data, value.n);
    text[value.n] = '\0';
    lp_tensor *tensor = &gguf->tensor[index], described = *tensor;
    if (tensor->n_dims != 1 || strcmp(tensor->packing->name, "i8") != 0)
        return lp_fail(LP_INPUT, "%s: %s: lowp.tensor describes a tensor of type %s (I8 with one dimension is required)", gguf->path,
                       item, tensor->packing->name);
    const char *format = text;
    if (strlen(text) != value.n || !parse_shape(&format, &described)) {
        lp_fail(LP_INPUT, "%s: %s: lowp.tensor is '%s', which begins with no shape", gguf->path, item,
                lp_name_printable(value, (char[LP_PRINTABLE]){0}));
        return lp_hint(LP_INPUT, "such as '4096x11008 i4:128:f16'");
    }
    lp_status status = packing_of(gguf, format, &described.packing);
    if (status != LP_OK) {
        char why[512]; /* the message names the format */
        snprintf(why, sizeof why, "%s", lp_error());
        return lp_fail(status == LP_USAGE ? LP_INPUT : status, "%s: %s: %s", gguf->path, item, why);
    }
    uint64_t n_bytes;
    if (!lp_gguf_tensor_bytes(described.packing, described.n_dims, described.dim, &n_bytes))
        return lp_fail(LP_INPUT, "%s: %s: the size of its shape overflows (%s)", gguf->path, item, text);
    if (n_bytes != tensor->n_bytes)
        return lp_fail(LP_INPUT, "%s: %s: has %zu bytes, but '%s' takes %llu", gguf->path, item, tensor->n_bytes, text,
                       (unsigned long long)n_bytes);
    *tensor = described;
    return LP_OK;
}

lp_status lp_gguf_read_formats(lp_gguf *gguf)
{
    if (!is_ours(gguf)) return LP_OK;
    LP_TRY(check_features(gguf));
    for (uint64_t i = 0; i < gguf->n_keys; i++) {
        const lp_gguf_key *key = &gguf->key[i];
        if (key->key.n > PREFIX && memcmp(key->key.data, key_prefix, PREFIX) == 0) LP_TRY(read_format(gguf, key));
    }
    return LP_OK;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

lp_status lp_gguf_writer_set_format(lp_gguf_writer *writer, const char *name, int n_dims, const int64_t *dim, const lp_packing *packing)
{
    static const lp_string required[] = {{"formats", 7}};
    char key[PREFIX + LP_GGUF_MAX_NAME + 1], text[MAX_TEXT];
    size_t n = 0;
    snprintf(key, sizeof key, "%s%s", key_prefix, name);
    for (int d = 0; d < n_dims; d++) n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", d ? "x" : "", (long long)dim[d]);
    snprintf(text + n, sizeof text - n, " %s", packing->text);
    LP_TRY(lp_gguf_writer_set_string(writer, key, text));
    LP_TRY(lp_gguf_writer_set_strings(writer, "lowp.required", required, 1));
    return lp_gguf_writer_change_architecture(writer, "lowp", "lowp.base_architecture");
}
