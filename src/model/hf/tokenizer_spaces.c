/* normalizer and pre_tokenizer of tokenizer.json where U+2581 stands for spaces. Card: runtime/unigram-and-tokenizer-json. */
#include <string.h>

#include "base/fail.h"
#include "model/hf/tokenizer.h"

#define ESCAPED "\xe2\x96\x81"

static const char *const known_normalizers = "Precompiled, Prepend and Replace of spaces by U+2581, Strip on the right before Replace of \" {2,}\", Sequence";
static const char *const known_pre = "Metaspace, WhitespaceSplit, Split at \" \", Sequence";

/* What is replaced: a String, or a Regex. */
static const lp_json *pattern_of(const lp_json *node, const char *kind) { return lp_json_find(lp_json_find(node, "pattern"), kind); }

static lp_status read_normalizer(const lp_hf_tokenizer *t, const lp_json *node, lp_hf_spaces *s, int depth)
{
    const lp_json *type = lp_json_find(node, "type"), *list = lp_json_find(node, "normalizers"), *content = lp_json_find(node, "content");
    if (!lp_hf_present(node)) return LP_OK;
    if (lp_json_is(type, "Sequence") && list && list->kind == LP_JSON_ARRAY && depth < 2) {
        const lp_json *at = list + 1;
        for (uint32_t i = 0; i < list->n; i++, at += at->span) LP_TRY(read_normalizer(t, at, s, depth + 1));
        return LP_OK;
    }
    if (lp_json_is(type, "Precompiled")) {
        const lp_json *map = lp_json_find(node, "precompiled_charsmap");
        if (!map || map->kind != LP_JSON_STRING || s->charsmap || s->prefix || s->escapes || s->collapses)
            return lp_hf_unknown(t->file, "normalizer", type, "one Precompiled, the first");
        s->charsmap = map;
        return LP_OK;
    }
    if (lp_json_is(type, "Prepend") && lp_json_is(lp_json_find(node, "prepend"), ESCAPED) && !s->prefix && !s->escapes)
        return s->prefix = true, LP_OK;
    if (lp_json_is(type, "Replace") && lp_json_is(pattern_of(node, "String"), " ") && lp_json_is(content, ESCAPED))
        return s->escapes = true, LP_OK;
    if (lp_json_is(type, "Replace") && lp_json_is(pattern_of(node, "Regex"), " {2,}") && !s->prefix && !s->escapes &&
        (lp_json_is(content, " ") || lp_json_is(content, ESCAPED))) {
        s->keeps_last = !s->strips;
        return s->collapses = true, LP_OK;
    }
    if (lp_json_is(type, "Strip") && lp_hf_is_true(lp_json_find(node, "strip_right")) && !lp_hf_is_true(lp_json_find(node, "strip_left")) &&
        !s->collapses && !s->prefix && !s->escapes)
        return s->strips = true, LP_OK;
    return lp_hf_unknown(t->file, "normalizer", type, known_normalizers);
}

static lp_status read_metaspace(const lp_hf_tokenizer *t, const lp_json *node, lp_hf_spaces *s)
{
    const lp_json *scheme = lp_json_find(node, "prepend_scheme"), *legacy = lp_json_find(node, "add_prefix_space"), *split = lp_json_find(node, "split");
    if (!lp_json_is(lp_json_find(node, "replacement"), ESCAPED) || s->prefix)
        return lp_hf_unknown(t->file, "pre_tokenizer: Metaspace", lp_json_find(node, "replacement"), "U+2581, without a Prepend");
    bool never = lp_json_is(scheme, "never") || (legacy && legacy->kind == LP_JSON_BOOL && !legacy->n);
    if (lp_hf_present(scheme) && !never && !lp_json_is(scheme, "always") && !lp_json_is(scheme, "first"))
        return lp_hf_unknown(t->file, "pre_tokenizer: Metaspace: prepend_scheme", scheme, "always, first, never");
    s->prefix = s->unless = !never;
    s->once = !never && lp_json_is(scheme, "first");
    s->split = !split || lp_hf_is_true(split);
    s->escapes = true;
    return LP_OK;
}

static lp_status read_pre(const lp_hf_tokenizer *t, const lp_json *node, lp_hf_spaces *s, int depth)
{
    const lp_json *type = lp_json_find(node, "type"), *list = lp_json_find(node, "pretokenizers");
    if (!lp_hf_present(node)) return LP_OK;
    if (lp_json_is(type, "Sequence") && list && list->kind == LP_JSON_ARRAY && depth < 2) {
        const lp_json *at = list + 1;
        for (uint32_t i = 0; i < list->n; i++, at += at->span) LP_TRY(read_pre(t, at, s, depth + 1));
        return LP_OK;
    }
    if (lp_json_is(type, "WhitespaceSplit") && !s->escapes) {
        s->collapses = s->white_space = true;
        s->keeps_last = s->strips = false;
        return LP_OK;
    }
    if (lp_json_is(type, "Metaspace")) return read_metaspace(t, node, s);
    if (lp_json_is(type, "Split") && s->escapes && lp_json_is(pattern_of(node, "String"), " ")) return LP_OK; /* none is left */
    return lp_hf_unknown(t->file, "pre_tokenizer", type, known_pre);
}

lp_status lp_hf_read_spaces(const lp_hf_tokenizer *t, lp_hf_spaces *s)
{
    const lp_json *root = t->file->json.node;
    *s = (lp_hf_spaces){0};
    LP_TRY(read_normalizer(t, lp_json_find(root, "normalizer"), s, 0));
    LP_TRY(read_pre(t, lp_json_find(root, "pre_tokenizer"), s, 0));
    if (s->white_space && (!s->prefix || s->once || !s->split)) /* every word has a prefix */
        return lp_fail(LP_UNSUPPORTED, "%s: pre_tokenizer: WhitespaceSplit without Metaspace, prepend_scheme always, split cannot be converted", t->file->path);
    if (s->strips && !s->collapses)
        return lp_fail(LP_UNSUPPORTED, "%s: normalizer: Strip without Replace of \" {2,}\" behind it cannot be converted", t->file->path);
    if (s->collapses && !s->prefix)
        return lp_fail(LP_UNSUPPORTED, "%s: normalizer: spaces that collapse without a prefix cannot be converted", t->file->path);
    return LP_OK;
}

lp_status lp_hf_put_spaces(lp_hf_tokenizer *t, const lp_hf_spaces *s)
{
    const struct {
        const char *key;
        bool set, own;
    } keys[] = {{"tokenizer.ggml.add_space_prefix", s->prefix, false}, {"tokenizer.ggml.remove_extra_whitespaces", s->collapses, false},
                {LP_KEY_SPACE_ONCE, s->once, true},                    {LP_KEY_SPACE_UNLESS, s->unless, !s->collapses},
                {LP_KEY_SPACE_LAST, s->keeps_last, true},              {LP_KEY_WHITE_SPACE, s->white_space, false},
                {LP_KEY_STRIPS, s->strips, false}};
    /* Words begin at the first of a run of U+2581, pieces at each. */
    for (int64_t id = 0; s->split && id < t->n; id++) {
        lp_string text = t->text[id];
        size_t at = text.n >= 3 && !memcmp(text.data, ESCAPED, 3) ? 3 : 0;
        char item[LP_PRINTABLE];
        if (t->type[id] != LP_TOKEN_NORMAL) continue;
        while (s->collapses && text.n - at >= 3 && !memcmp(text.data + at, ESCAPED, 3)) at += 3;
        if (memmem(text.data + at, text.n - at, ESCAPED, 3))
            return lp_fail(LP_UNSUPPORTED, "%s: pre_tokenizer: Metaspace: split: would cut token %s", t->file->path, lp_name_printable(text, item));
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (i && !keys[i].set) continue;
        LP_TRY(lp_gguf_writer_set_bool(t->writer, keys[i].key, keys[i].set));
        if (keys[i].own) lp_hf_warn(t, "only lowp knows the key %s: others place spaces at the ends of a text otherwise", keys[i].key);
    }
    return LP_OK;
}
