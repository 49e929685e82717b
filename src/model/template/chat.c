/* Messages through a chat template: to text with its origin, and to tokens. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "model/template/template.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

/* Input text; what is no UTF-8 becomes U+FFFD. */
static lp_value clean(lp_render *r, const char *s, size_t n, uint8_t origin)
{
    char *out = lp_render_alloc(r, n > LP_TEMPLATE_MEMORY ? n : 3 * n + 1);
    size_t length = 0;
    for (size_t i = 0; out && i < n;) {
        size_t k = lp_utf8_length((const uint8_t *)s + i, n - i);
        memcpy(out + length, k ? s + i : "\xef\xbf\xbd", k ? k : 3);
        length += k ? k : 3;
        i += k ? k : 1;
    }
    return out ? lp_text_of(r, out, NULL, length, origin) : lp_undefined();
}

static lp_value literal(lp_render *r, const char *s) { return lp_text_of(r, s, NULL, strlen(s), 0); }

static lp_value messages(lp_render *r, const lp_chat *chat)
{
    lp_value list = lp_list_new(r, LP_VALUE_LIST, chat->n_messages);
    for (size_t i = 0; i < chat->n_messages && !r->status; i++) {
        lp_value m = lp_dict_new(r, LP_VALUE_DICT);
        const lp_chat_message *c = &chat->message[i];
        lp_dict_set(r, m, literal(r, "role"), clean(r, c->role, strlen(c->role), LP_ORIGIN_INPUT));
        lp_dict_set(r, m, literal(r, "content"), clean(r, c->content, c->n_content, LP_ORIGIN_INPUT));
        lp_list_push(r, list, m);
    }
    if (!r->status) list.list->given = true;
    return list;
}

/* Keys of messages that are null are as if absent, except the content; reasoning has one name more. */
static void tidy(lp_render *r, lp_value list)
{
    for (size_t i = 0; list.kind == LP_VALUE_LIST && i < list.list->n && !r->status; i++) {
        lp_value m = list.list->item[i];
        if (m.kind != LP_VALUE_DICT) continue;
        lp_dict *d = m.dict;
        size_t n = 0;
        for (size_t k = 0; k < d->n; k++)
            if (d->value[k].kind != LP_VALUE_NONE) {
                d->key[n] = d->key[k];
                d->value[n++] = d->value[k];
            }
        d->n = n;
        lp_value *reasoning = lp_dict_find_text(r, d, "reasoning", 9);
        if (!reasoning) reasoning = lp_dict_find_text(r, d, "thinking", 8);
        if (reasoning && !lp_dict_find_text(r, d, "reasoning_content", 17)) {
            lp_value copy = *reasoning;
            lp_dict_set(r, m, literal(r, "reasoning_content"), copy);
        }
    }
}

static void set(lp_render *r, const char *name, lp_value v)
{
    if (!r->status) lp_scope_set(r, r->scope, (lp_string){name, strlen(name)}, v);
}

static void set_variables(lp_render *r, const lp_chat *chat)
{
    set(r, "messages", messages(r, chat));
    set(r, "add_generation_prompt", lp_bool(chat->add_generation_prompt));
    set(r, "tools", lp_none());
    set(r, "documents", lp_none());
    set(r, "bos_token", clean(r, chat->bos_token.data, chat->bos_token.n, 0));
    set(r, "eos_token", clean(r, chat->eos_token.data, chat->eos_token.n, 0));
    if (!chat->variables || r->status) return;
    lp_value text = clean(r, chat->variables, chat->n_variables, LP_ORIGIN_INPUT);
    lp_value v = r->status ? text : lp_json_read(r, text.text->data, text.text->n);
    if (!r->status && v.kind != LP_VALUE_DICT)
        r->status = lp_fail(LP_INPUT, "variables of the chat template: a JSON object is needed");
    for (size_t i = 0; !r->status && i < v.dict->n; i++) {
        const lp_text *name = v.dict->key[i].text;
        if (name->n == 8 && memcmp(name->data, "messages", 8) == 0) tidy(r, v.dict->value[i]);
        lp_scope_set(r, r->scope, (lp_string){name->data, name->n}, v.dict->value[i]);
    }
}

static lp_status pieces(const lp_render *r, lp_rendering *out)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_out; i++) n += i == 0 || r->out_origin[i] != r->out_origin[i - 1];
    out->piece = n ? calloc(n, sizeof *out->piece) : NULL;
    if (n && !out->piece) return lp_fail_memory(n * sizeof *out->piece, "a rendered chat");
    for (size_t i = 0; i < r->n_out; i++) {
        if (i == 0 || r->out_origin[i] != r->out_origin[i - 1])
            out->piece[out->n_pieces++] = (lp_chat_piece){.begin = i, .input = (r->out_origin[i] & LP_ORIGIN_INPUT) != 0,
                                                          .generated = (r->out_origin[i] & LP_ORIGIN_GENERATED) != 0};
        out->piece[out->n_pieces - 1].end = i + 1;
    }
    return LP_OK;
}

lp_status lp_template_render(const lp_template *t, const lp_chat *chat, lp_rendering *out)
{
    *out = (lp_rendering){0};
    lp_scope global = {0};
    lp_render r = {.owner = t, .scope = &global, .now = chat->now};
    set_variables(&r, chat);
    lp_template_run(&r, t->body);
    if (!r.status) r.status = pieces(&r, out);
    if (!r.status) {
        out->text = realloc(r.out, r.n_out + 1);
        if (out->text) r.out = NULL, out->text[r.n_out] = 0, out->n = r.n_out;
        else r.status = lp_fail_memory(r.n_out + 1, "a rendered chat");
    }
    free(r.out);
    free(r.out_origin);
    lp_arena_free(&r.arena);
    if (r.status) lp_rendering_free(out);
    return r.status;
}

void lp_rendering_free(lp_rendering *rendering)
{
    free(rendering->text);
    free(rendering->piece);
    *rendering = (lp_rendering){0};
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

typedef struct id_list {
    int32_t *id;
    size_t n;
} id_list;

static lp_status append(id_list *list, const lp_tokenizer *tokenizer, const char *s, size_t n, bool special)
{
    if (!n) return LP_OK;
    int32_t *ids;
    size_t n_ids;
    LP_TRY(lp_tokenizer_encode(tokenizer, s, n, special, false, &ids, &n_ids));
    int32_t *more = n_ids ? realloc(list->id, (list->n + n_ids) * sizeof *more) : NULL;
    if (more) {
        memcpy(more + list->n, ids, n_ids * sizeof *more);
        list->id = more;
        list->n += n_ids;
    }
    free(ids);
    return n_ids && !more ? lp_fail_memory((list->n + n_ids) * sizeof *more, "tokens of a chat") : LP_OK;
}

/* Special tokens that lie in one run of the template cut the text; between them it is encoded whole, so that words may
 * reach across runs. */
static lp_status encode(const lp_tokenizer *tokenizer, const lp_rendering *text, size_t first, id_list *list)
{
    size_t done = first;
    lp_status status = LP_OK;
    for (size_t i = 0; i < text->n_pieces && !status; i++) {
        const lp_chat_piece *piece = &text->piece[i];
        size_t begin = piece->begin > first ? piece->begin : first;
        while (i + 1 < text->n_pieces && text->piece[i + 1].input == piece->input) i++; /* they may differ in `generated` */
        size_t end = text->piece[i].end;
        if (piece->input || begin >= end) continue;
        lp_special_walk walk = {.special = &tokenizer->special, .text = (const uint8_t *)text->text + begin, .n = end - begin};
        lp_special_match match;
        bool found = true;
        while (!status && !(status = lp_special_next(&walk, &match, &found)) && found) {
            status = append(list, tokenizer, text->text + done, begin + match.begin - done, false);
            if (!status) status = append(list, tokenizer, text->text + begin + match.begin, match.end - match.begin, true);
            done = begin + match.end;
        }
        lp_special_walk_end(&walk);
    }
    return status ? status : append(list, tokenizer, text->text + done, text->n - done, false);
}

lp_status lp_chat_encode(const lp_tokenizer *tokenizer, const lp_template *t, const lp_chat *chat, int32_t **ids, size_t *n_ids)
{
    *ids = NULL;
    *n_ids = 0;
    lp_chat filled = *chat;
    int32_t bos = lp_tokenizer_bos(tokenizer), eos = lp_tokenizer_eos(tokenizer);
    if (!filled.bos_token.n && bos >= 0) filled.bos_token = lp_tokenizer_token(tokenizer, bos);
    if (!filled.eos_token.n && eos >= 0) filled.eos_token = lp_tokenizer_token(tokenizer, eos);
    lp_rendering text;
    LP_TRY(lp_template_render(t, &filled, &text));
    id_list list = {0};
    lp_status status = LP_OK;
    size_t first = 0;
    if (lp_tokenizer_adds_bos(tokenizer) && bos >= 0) {
        lp_string token = filled.bos_token;
        bool there = text.n_pieces && !text.piece[0].input && token.n && token.n <= text.piece[0].end &&
                     memcmp(text.text, token.data, token.n) == 0;
        if (there) first = token.n;
        list.id = malloc(sizeof *list.id);
        if (list.id) list.id[list.n++] = bos;
        else status = lp_fail_memory(sizeof *list.id, "tokens of a chat");
    }
    if (!status) status = encode(tokenizer, &text, first, &list);
    lp_rendering_free(&text);
    if (status) {
        free(list.id);
        return status;
    }
    *ids = list.id;
    *n_ids = list.n;
    return LP_OK;
}
