/* Small things that several verbs do: threads, format names, descriptions, early checks. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

lp_status cli_pool(const cli_common *common, lp_pool **pool) { return lp_pool_create((int)common->n_threads, pool); }

/* Byte layouts that `quantize --format` can write, as one line. */
static void list_writable(char *out, size_t n_out)
{
    size_t n = (size_t)snprintf(out, n_out, "these can be written:");
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *p = lp_packing_at(i);
        if (p->can_encode && n < n_out) n += (size_t)snprintf(out + n, n_out - n, " %s", p->name);
    }
    if (n < n_out) snprintf(out + n, n_out - n, "; 'lowp formats' explains them");
}

static const char *nearest_writable(const char *text)
{
    const char *names[129];
    int n = 0;
    for (int i = 0; i < lp_packing_count() && n < 128; i++)
        if (lp_packing_at(i)->can_encode) names[n++] = lp_packing_at(i)->name;
    names[n] = NULL;
    char lower[64];
    size_t length = strlen(text);
    if (length >= sizeof lower) return NULL;
    for (size_t i = 0; i <= length; i++) lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
    return cli_nearest(lower, names);
}

const lp_packing *cli_packing_of(const lp_format *format)
{
    if (format->packing) return format->packing;
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *p = lp_packing_at(i);
        lp_format *stored;
        if (!p->can_decode || lp_format_parse(p->text, &stored)) continue;
        stored->packing = NULL; /* the text without '@' means the same values */
        bool equal = lp_format_equal(format, stored);
        lp_format_free(stored);
        if (equal) return p;
    }
    return NULL;
}

/* "table(FILE):32:f16" with the file's numbers in place: "{-3,-1,0,1,3}:32:f16"; *out is freed by the caller. */
static lp_status insert_table(const char *text, const char *option, char **out)
{
    const char *begin = strstr(text, "table("), *end = begin ? strchr(begin, ')') : NULL;
    if (!end) {
        *out = cli_copy(text);
        return LP_OK;
    }
    char path[1024], *numbers = NULL;
    size_t n_path = (size_t)(end - begin) - 6, n = 0;
    if (n_path == 0 || n_path >= sizeof path)
        return cli_fail(LP_USAGE, "for example: table(levels.txt):32:f16", "%s: '%.200s': no file is named", option, text);
    memcpy(path, begin + 6, n_path);
    path[n_path] = 0;
    lp_status status = lp_text_read(path, &numbers, &n);
    if (status) return status;
    if (n > 4096) n = 4096; /* more than any table has; the parser says what is wrong */
    char *at = *out = cli_alloc(strlen(text) + n + 3);
    memcpy(at, text, (size_t)(begin - text));
    at += begin - text;
    *at++ = '{';
    bool gap = false;
    for (size_t i = 0; i < n; i++) { /* numbers apart by spaces, commas or lines */
        bool separator = strchr(" ,;\t\r\n", numbers[i]) != NULL;
        if (!separator && gap && at[-1] != '{') *at++ = ',';
        if (!separator) *at++ = numbers[i];
        gap = separator;
    }
    *at++ = '}';
    memcpy(at, end + 1, strlen(end + 1) + 1);
    free(numbers);
    return LP_OK;
}

static lp_status writable_format(const char *text, const char *option, const lp_packing **packing)
{
    const lp_packing *p = lp_packing_by_name(text);
    lp_format *format = NULL;
    lp_status parsed = p ? LP_OK : lp_format_parse(text, &format);
    if (format) p = cli_packing_of(format); /* "u4:32:f16+min" is q4_1 */
    lp_status status = LP_OK;
    if (format && !p) status = lp_packing_create(format, &p); /* planes of our own */
    lp_format_free(format);
    *packing = p;
    if (p && p->can_encode) return LP_OK;
    char advice[1024], question[80] = "", why[512] = "unknown format";
    list_writable(advice, sizeof advice);
    if (p) snprintf(why, sizeof why, "this format cannot be written to a GGUF file");
    else if (status || (parsed && strchr(text, ':'))) snprintf(why, sizeof why, "%s", lp_error());
    const char *near = p || parsed == LP_OK ? NULL : nearest_writable(text);
    if (near && !strchr(text, ':')) snprintf(question, sizeof question, "; did you mean %s?", near);
    *packing = NULL;
    lp_packing_free(p);
    return cli_fail(LP_USAGE, advice, "%s: '%.200s': %s%s", option, text, why, question);
}

lp_status cli_writable_format(const char *text, const char *option, const lp_packing **packing)
{
    char *whole;
    *packing = NULL;
    lp_status status = insert_table(text, option, &whole);
    if (status) return status;
    status = writable_format(whole, option, packing);
    free(whole);
    return status;
}

int64_t cli_parameters(const lp_gguf *gguf, uint64_t *n_tensor_bytes)
{
    int64_t n = 0;
    *n_tensor_bytes = 0;
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        n += lp_tensor_values(lp_gguf_tensor_at(gguf, i));
        *n_tensor_bytes += lp_gguf_tensor_at(gguf, i)->n_bytes;
    }
    return n;
}

void cli_describe_model(const lp_model *model, char *out, size_t n_out)
{
    const lp_model_info *info = lp_model_get_info(model);
    double bits = info->n_parameters ? 8.0 * (double)info->n_tensor_bytes / (double)info->n_parameters : 0;
    char name[256];
    const char *path = lp_gguf_path(lp_model_gguf(model));
    cli_printable(path, strlen(path), name, sizeof name);
    snprintf(out, n_out, "%s (%s, %s parameters, %.2f bits per weight)", name, info->architecture,
             cli_large(info->n_parameters).text, bits);
}

lp_status cli_check_output(const char *path, bool force)
{
    struct stat s;
    if (stat(path, &s) != 0) return LP_OK; /* what is wrong with a folder is the writer's to say */
    if (!S_ISREG(s.st_mode)) return cli_fail(LP_USAGE, NULL, "%.500s: it exists and is not a regular file", path);
    if (!force) return cli_fail(LP_USAGE, "--force replaces it", "%.500s: the output exists", path);
    return LP_OK;
}
