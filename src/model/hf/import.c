/* A Hugging Face folder as a GGUF file in memory: tensors stay mapped where their bytes are the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "file/gguf.h"
#include "model/hf/hf.h"
#include "model/hf/store.h"
#include "model/model.h"

bool lp_hf_is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

lp_status lp_hf_file_open(const char *folder, const char *name, bool required, lp_hf_file *out)
{
    static const lp_json_limits limits = {64 << 20, 16 << 20, 32};
    size_t n = strlen(folder) + strlen(name) + 2;
    struct stat s;
    *out = (lp_hf_file){.map.slot = -1};
    if (!(out->path = malloc(n))) return lp_fail_memory(n, "a path");
    snprintf(out->path, n, "%s/%s", folder, name);
    if (!required && stat(out->path, &s) != 0) return LP_OK;
    lp_status status = lp_map_open(out->path, &out->map);
    if (status == LP_OK) status = lp_json_parse(out->path, (const char *)out->map.data, out->map.n_bytes, &limits, &out->json);
    if (status == LP_OK && out->json.node->kind != LP_JSON_OBJECT) status = lp_fail(LP_INPUT, "%s: is no JSON object", out->path);
    return status; /* the caller closes in every case */
}

void lp_hf_file_close(lp_hf_file *file)
{
    lp_json_free(&file->json);
    lp_map_close(&file->map);
    free(file->path);
    *file = (lp_hf_file){.map.slot = -1};
}

/* A tensor of the GGUF file on its way. */
typedef struct item {
    const lp_safetensor *const *source; /* [n_parts]; NULL: factors of RoPE */
    int64_t n_parts, n_found;
    const lp_hf_factors *factors;
    const lp_hf_name *name;
    int64_t layer;
    const lp_packing *packing;   /* in GGUF */
    uint64_t n_bytes;            /* in GGUF */
    bool copied;                 /* widened to F32, rows permuted, or parts put together */
} item;

typedef struct importer {
    const char *folder;
    lp_arena arena;
    lp_hf_file config, tokenizer, tokenizer_config;
    lp_safetensors_folder tensors;
    const lp_hf_architecture *architecture;
    lp_hf_shape shape;
    lp_gguf_writer *writer;
    bool permutes;   /* rows of q and k: halves there, pairs here */
    item *items; /* [n] in GGUF order */
    size_t n;
    uint32_t *item_of; /* [(layer + 1) LP_HF_MAX_NAMES + place]: 1 + its item, 0: none yet */
    uint64_t n_copied;
    size_t most_in_memory; /* of what is copied */
    char warning[160];
} importer;

/* The embedding, layers, then the rest; inside each the order of the table. */
static int by_place(const void *a, const void *b)
{
    const item *x = a, *y = b;
    int64_t p = x->factors ? INT64_MAX : x->layer >= 0 ? x->layer : lp_hf_name_place(x->name) == 0 ? -1 : INT64_MAX - 1;
    int64_t q = y->factors ? INT64_MAX : y->layer >= 0 ? y->layer : lp_hf_name_place(y->name) == 0 ? -1 : INT64_MAX - 1;
    if (p != q) return p < q ? -1 : 1;
    if (x->factors) return x->factors < y->factors ? -1 : 1;
    return lp_hf_name_place(x->name) < lp_hf_name_place(y->name) ? -1 : 1;
}

static bool ends_with(lp_string s, const char *end)
{
    size_t n = strlen(end);
    return s.n >= n && memcmp(s.data + s.n - n, end, n) == 0;
}

/* A second copy of the embedding as output matrix is dropped, if it is one. */
static lp_status is_copy(const importer *m, const lp_safetensor *head, bool *copy)
{
    const lp_safetensor *e = lp_safetensors_folder_find(&m->tensors, "model.embed_tokens.weight");
    *copy = m->shape.tied && e;
    if (!*copy || (head->n_bytes == e->n_bytes && head->type == e->type && memcmp(head->data, e->data, e->n_bytes) == 0)) return LP_OK;
    return lp_fail(LP_INPUT, "%s: lm_head.weight: differs from the embedding, though tie_word_embeddings is set", m->folder);
}

static int64_t heads_of(const importer *m, const lp_hf_name *name)
{
    return name->rows == LP_HF_ROWS_Q ? m->shape.n_head : m->shape.n_head_kv;
}

static bool is_permuted(const importer *m, const lp_hf_name *name) { return m->permutes && name->rows != LP_HF_ROWS_KEPT; }
static bool is_shifted(const importer *m, const lp_hf_name *name) { return m->architecture->has & LP_HF_GEMMA && name->flags & LP_HF_NORM; }
static bool is_f32(const lp_safetensor *t) { return strcmp(t->type->name, "F32") == 0; }

/* A new item for a row in a layer, sized by its first part. */
static lp_status make_item(importer *m, const lp_hf_name *name, int64_t layer, const lp_safetensor *t, item **out)
{
    char shown[LP_PRINTABLE];
    bool stacked = lp_hf_has_parts(name);
    lp_name_printable(t->name, shown);
    item *i = *out = &m->items[m->n];
    *i = (item){.name = name, .layer = layer, .n_parts = 1};
    if (stacked) i->n_parts = name->rows == LP_HF_ROWS_KEPT ? m->shape.n_experts : heads_of(m, name);
    i->packing = t->type->packing ? lp_packing_by_name(t->type->packing) : NULL;
    if (!i->packing || !i->packing->is_float)
        return lp_fail(LP_UNSUPPORTED, "%s: %s: weights of dtype %s cannot be converted (F32, F16 and BF16 can)", m->folder, shown, t->type->name);
    if (t->n_dims < 1 || t->n_dims > (name->of & LP_HF_STACKED ? 3 : 2) || t->n_bytes == 0)
        return lp_fail(LP_INPUT, "%s: %s: has %d dimensions and %llu bytes", m->folder, shown, t->n_dims, (unsigned long long)t->n_bytes);
    if (name->flags & LP_HF_ROW && (t->n_dims != 2 || t->dim[0] != 1))
        return lp_fail(LP_INPUT, "%s: %s: is no matrix of one row", m->folder, shown);
    if (is_shifted(m, name) && t->n_dims != 1)
        return lp_fail(LP_INPUT, "%s: %s: a norm of %d dimensions", m->folder, shown, t->n_dims);
    if (!lp_mul_u64(t->n_bytes, (uint64_t)i->n_parts, &i->n_bytes)) return lp_fail_memory(SIZE_MAX, "a tensor of many parts");
    i->copied = stacked || is_permuted(m, name) || is_shifted(m, name);
    if ((t->n_dims == 1 || name->flags & LP_HF_WIDE) && !is_f32(t)) { /* vectors are F32 in GGUF files */
        if (!lp_mul_u64(i->n_bytes, 2, &i->n_bytes)) return lp_fail_memory(SIZE_MAX, "a tensor of many parts");
        i->copied = true;
        i->packing = lp_packing_by_name("f32");
    }
    if (is_permuted(m, name) && t->dim[0] != heads_of(m, name) * m->shape.head_size)
        return lp_fail(LP_INPUT, "%s: %s: has %lld rows, but the heads have %lld", m->folder, shown, (long long)t->dim[0],
                       (long long)(heads_of(m, name) * m->shape.head_size));
    uint64_t padded;
    if (i->copied && (!lp_align_u64(i->n_bytes, 64, &padded) || !lp_add_u64(m->n_copied, padded, &m->n_copied) || m->n_copied > SIZE_MAX / 2))
        return lp_fail_memory(SIZE_MAX, "permuted tensors");
    i->source = lp_arena_alloc_array(&m->arena, (size_t)i->n_parts, sizeof *i->source);
    m->n++;
    return i->source ? LP_OK : LP_RESOURCE;
}

static lp_status add_tensor(importer *m, const lp_safetensor *t)
{
    char shown[LP_PRINTABLE];
    int64_t layer, part;
    lp_name_printable(t->name, shown);
    if (ends_with(t->name, ".self_attn.rotary_emb.inv_freq")) return LP_OK; /* follows from rope_theta */
    const lp_hf_name *name = lp_hf_find_name(m->architecture->has | LP_HF_STACKED, t->name, false, &layer, &part);
    if (!name) return lp_fail(LP_UNSUPPORTED, "%s: %s: a tensor that %s does not have", m->folder, shown, m->architecture->class_name);
    if (layer >= m->shape.n_layer)
        return lp_fail(LP_INPUT, "%s: %s: the model has %lld layers", m->folder, shown, (long long)m->shape.n_layer);
    bool copy = false;
    if (strcmp(name->gguf, "output.weight") == 0) LP_TRY(is_copy(m, t, &copy));
    if (copy) return LP_OK;
    uint32_t *number = &m->item_of[(layer + 1) * LP_HF_MAX_NAMES + lp_hf_name_place(name)];
    item *i = *number ? &m->items[*number - 1] : NULL;
    if (!i) {
        LP_TRY(make_item(m, name, layer, t, &i));
        *number = (uint32_t)m->n;
    }
    if (part < 0) part = 0;
    if (part >= i->n_parts)
        return lp_fail(LP_INPUT, "%s: %s: there are %lld parts by config.json", m->folder, shown, (long long)i->n_parts);
    const lp_safetensor **source = (const lp_safetensor **)(uintptr_t)i->source;
    if (i->n_found > 0) {
        const lp_safetensor *other = NULL;
        for (int64_t k = 0; !other; k++) other = source[k];
        if (other->type != t->type || other->n_dims != t->n_dims || memcmp(other->dim, t->dim, sizeof t->dim) != 0)
            return lp_fail(LP_INPUT, "%s: %s: dtype or shape differs from that of the other parts", m->folder, shown);
    }
    source[part] = t; /* each name stands for one part, and no name stands twice */
    i->n_found++;
    return LP_OK;
}

static lp_status check_parts(const importer *m)
{
    for (size_t k = 0; k < m->n; k++) {
        const item *i = &m->items[k];
        if (i->n_found == i->n_parts) continue;
        int64_t part = 0;
        while (i->source[part]) part++;
        char name[LP_GGUF_MAX_NAME + 64];
        lp_hf_make_name(i->name, i->layer, part, false, name, sizeof name);
        return lp_fail(LP_INPUT, "%s: %s: missing (%lld of %lld parts are there)", m->folder, name, (long long)i->n_found, (long long)i->n_parts);
    }
    return LP_OK;
}

/* Records which tensors were narrower, so that they can be again. */
static lp_status record_narrow(importer *m, const char *dtype, const char *key)
{
    lp_string *names = lp_arena_alloc_array(&m->arena, m->n, sizeof *names);
    uint64_t n = 0;
    if (!names) return LP_RESOURCE;
    for (size_t k = 0; k < m->n; k++) {
        const item *i = &m->items[k];
        if (!i->source || i->packing != lp_packing_by_name("f32") || strcmp(i->source[0]->type->name, dtype) != 0) continue;
        char name[LP_GGUF_MAX_NAME + 1];
        lp_hf_make_name(i->name, i->layer, -1, true, name, sizeof name);
        names[n] = (lp_string){lp_arena_copy_string(&m->arena, name, strlen(name)), strlen(name)};
        if (!names[n++].data) return LP_RESOURCE;
    }
    return n ? lp_gguf_writer_set_strings(m->writer, key, names, n) : LP_OK;
}

/* A norm of 1 + w is stored as that sum. Where it is not exact (a small w, or -0), the bits of w are kept beside it. */
static lp_status record_rest(importer *m, const item *i, const char *name)
{
    const lp_safetensor *t = i->source[0];
    int64_t n = t->dim[0], n_rest = 0;
    float *w = lp_arena_alloc_array(&m->arena, (size_t)n, sizeof *w);
    int32_t *rest = lp_arena_alloc_array(&m->arena, (size_t)n, 2 * sizeof *rest);
    char key[LP_GGUF_MAX_NAME + 32];
    if (!w || !rest) return LP_RESOURCE;
    lp_packing_decode(lp_packing_by_name(t->type->packing), t->data, n, w);
    for (int64_t k = 0; k < n; k++) {
        float back = lp_hf_unshift(lp_hf_shift(w[k]));
        if (lp_f32_bits(back) == lp_f32_bits(w[k])) continue;
        rest[n_rest++] = (int32_t)k;
        rest[n_rest++] = (int32_t)lp_f32_bits(w[k]);
    }
    snprintf(key, sizeof key, LP_HF_REST "%s", name);
    return n_rest ? lp_gguf_writer_set_i32s(m->writer, key, rest, (uint64_t)n_rest) : LP_OK;
}

static lp_status declare(importer *m)
{
    const lp_packing *matrices = NULL;
    for (int k = 0; k < m->shape.n_factors; k++)
        m->items[m->n++] = (item){.factors = &m->shape.factors[k], .layer = -1, .packing = lp_packing_by_name("f32"),
                                  .n_bytes = 4 * (uint64_t)m->shape.factors[k].n};
    qsort(m->items, m->n, sizeof *m->items, by_place);
    for (size_t k = 0; k < m->n; k++) {
        const item *i = &m->items[k];
        if (i->factors) {
            LP_TRY(lp_gguf_writer_add_tensor(m->writer, i->factors->name, 1, &i->factors->n, i->packing));
            continue;
        }
        const lp_safetensor *t = i->source[0];
        int64_t dim[3];
        int n_dims = t->n_dims;
        for (int d = 0; d < n_dims; d++) dim[d] = t->dim[n_dims - 1 - d];
        if (i->name->flags & LP_HF_ROW) n_dims = 1;
        if (lp_hf_has_parts(i->name)) dim[n_dims++] = i->n_parts;
        char name[LP_GGUF_MAX_NAME + 1];
        lp_hf_make_name(i->name, i->layer, -1, true, name, sizeof name);
        LP_TRY(lp_gguf_writer_add_tensor(m->writer, name, n_dims, dim, i->packing));
        if (t->n_dims >= 2 && !(i->name->flags & LP_HF_WIDE)) matrices = i->packing;
        if (is_shifted(m, i->name) && t->n_dims == 1) LP_TRY(record_rest(m, i, name));
    }
    if (matrices && matrices->file_type >= 0) LP_TRY(lp_gguf_writer_set_u32(m->writer, "general.file_type", (uint32_t)matrices->file_type));
    LP_TRY(record_narrow(m, "BF16", "lowp.convert.bf16"));
    return record_narrow(m, "F16", "lowp.convert.f16");
}

/* The bytes of a part that is not as it stands in its file. */
static lp_status copy_part(const importer *m, const item *i, const lp_safetensor *t, uint8_t *dst)
{
    const uint8_t *src = t->data;
    uint64_t n_bytes = i->n_bytes / (uint64_t)i->n_parts;
    uint8_t *wide = NULL;
    bool permuted = is_permuted(m, i->name);
    if (t->n_bytes != n_bytes) {
        uint8_t *out = permuted ? (wide = malloc((size_t)n_bytes)) : dst;
        if (!out) return lp_fail_memory((size_t)n_bytes, "a tensor");
        lp_packing_decode(lp_packing_by_name(t->type->packing), t->data, (int64_t)(n_bytes / 4), (float *)(void *)out);
        src = out;
    }
    if (permuted)
        lp_hf_permute(src, dst, heads_of(m, i->name), m->shape.head_size, (size_t)(n_bytes / (uint64_t)t->dim[0]), true);
    else if (src != dst) memcpy(dst, src, (size_t)n_bytes);
    if (is_shifted(m, i->name)) {
        float *w = (float *)(void *)dst;
        for (uint64_t k = 0; k < n_bytes / 4; k++) w[k] = lp_hf_shift(w[k]);
    }
    free(wide);
    return LP_OK;
}

static bool is_made(const item *i) { return i->copied || i->factors; }
static uint64_t part_bytes(const item *i) { return i->factors ? i->n_bytes : i->n_bytes / (uint64_t)i->n_parts; }

static lp_status fill_store(const importer *m, lp_hf_store *store)
{
    for (size_t k = 0; k < m->n; k++) {
        const item *i = &m->items[k];
        if (!is_made(i)) continue;
        for (int64_t p = 0; p < (i->factors ? 1 : i->n_parts); p++) {
            uint8_t *dst = lp_hf_store_next(store);
            if (i->factors) memcpy(dst, i->factors->value, (size_t)i->n_bytes);
            else LP_TRY(copy_part(m, i, i->source[p], dst));
            LP_TRY(lp_hf_store_put(store, (size_t)part_bytes(i)));
        }
        LP_TRY(lp_hf_store_align(store, 64));
    }
    return LP_OK;
}

static lp_status place(importer *m, lp_gguf_parts *parts)
{
    size_t at = 0, n_made = 0, n_piece = 64;
    const uint8_t *made = NULL;
    uint8_t *memory = NULL;
    lp_hf_store store = {0};
    lp_map map = {.slot = -1};
    for (size_t k = 0; k < m->n; k++) {
        const item *i = &m->items[k];
        if (!is_made(i)) continue;
        n_made += ((size_t)i->n_bytes + 63) / 64 * 64; /* add_tensor has seen that the sum fits */
        if (part_bytes(i) > n_piece) n_piece = (size_t)part_bytes(i);
    }
    parts->data = calloc(m->n + 1, sizeof *parts->data);
    parts->map = calloc(m->tensors.n_files + 2, sizeof *parts->map);
    if (!parts->data || !parts->map) return lp_fail_memory(m->n * sizeof *parts->data, "tensors");
    LP_TRY(lp_hf_store_open(&store, n_made, n_piece, m->most_in_memory));
    lp_status status = fill_store(m, &store);
    if (status == LP_OK) status = lp_hf_store_finish(&store, &memory, &map, &made);
    lp_hf_store_close(&store);
    parts->buffer = memory;
    LP_TRY(status);
    if (map.slot >= 0) parts->map[parts->n_maps++] = map;
    for (size_t k = 0; k < m->n; k++) {
        const item *i = &m->items[k];
        parts->data[k] = is_made(i) ? made + at : i->source[0]->data;
        if (is_made(i)) at += ((size_t)i->n_bytes + 63) / 64 * 64;
    }
    for (uint32_t f = 0; f < m->tensors.n_files; f++) { /* the maps change hands; a closed one closes again without effect */
        parts->map[parts->n_maps++] = m->tensors.file[f]->map;
        m->tensors.file[f]->map = (lp_map){.slot = -1};
    }
    return LP_OK;
}

/* What GGUF files said about a model, and a folder keeps beside its tensors. */
static lp_status read_notes(importer *m)
{
    const lp_json *metadata = lp_json_find(m->tensors.file[0]->header.node, "__metadata__");
    const lp_json *at = metadata ? metadata + 1 : NULL;
    for (uint32_t i = 0; at && i < metadata->n; i++, at += 2) {
        if (at->n <= 5 || memcmp(at->text, "gguf.", 5) != 0 || memchr(at[1].text, 0, at[1].n) || at[1].n > LP_GGUF_MAX_STRING) continue;
        lp_string key = {at->text + 5, at->n - 5};
        if (!lp_hf_is_note(key) || key.n > 256 || memchr(key.data, 0, key.n)) continue;
        const char *name = lp_arena_copy_string(&m->arena, key.data, key.n), *value = lp_arena_copy_string(&m->arena, at[1].text, at[1].n);
        if (!name || !value) return LP_RESOURCE;
        LP_TRY(lp_gguf_writer_set_string(m->writer, name, value));
    }
    return LP_OK;
}

static lp_status read_all(importer *m)
{
    LP_TRY(lp_hf_file_open(m->folder, "config.json", true, &m->config));
    LP_TRY(lp_hf_find_architecture(m->config.path, m->config.json.node, &m->architecture));
    LP_TRY(lp_hf_file_open(m->folder, "tokenizer.json", true, &m->tokenizer));
    LP_TRY(lp_hf_file_open(m->folder, "tokenizer_config.json", false, &m->tokenizer_config));
    LP_TRY(lp_safetensors_folder_open(m->folder, &m->tensors));
    LP_TRY(lp_gguf_writer_create_dry(&m->writer));
    LP_TRY(lp_hf_read_config(&m->config, m->architecture, m->writer, &m->arena, &m->shape));
    if (m->tensors.n_files) LP_TRY(read_notes(m));
    const lp_safetensor *e = lp_safetensors_folder_find(&m->tensors, "model.embed_tokens.weight");
    if (!e || e->n_dims != 2 || e->dim[0] != m->shape.n_vocab)
        return lp_fail(LP_INPUT, "%s: model.embed_tokens.weight: missing, or not of %lld rows (vocab_size)", m->folder, (long long)m->shape.n_vocab);
    const lp_architecture *built = lp_architecture_find((lp_string){m->architecture->gguf, strlen(m->architecture->gguf)});
    m->permutes = built->adjacent_pairs;
    m->items = lp_arena_alloc_array(&m->arena, (size_t)m->tensors.names.n + 2, sizeof *m->items);
    m->item_of = lp_arena_alloc_array(&m->arena, (size_t)m->shape.n_layer + 1, LP_HF_MAX_NAMES * sizeof *m->item_of);
    if (!m->items || !m->item_of) return LP_RESOURCE;
    for (uint32_t t = 0; t < m->tensors.names.n; t++) LP_TRY(add_tensor(m, m->tensors.tensor[t]));
    LP_TRY(check_parts(m));
    if (m->shape.untied && !lp_safetensors_folder_find(&m->tensors, "lm_head.weight"))
        return lp_fail(LP_INPUT, "%s: lm_head.weight: missing, though tie_word_embeddings is false", m->folder);
    LP_TRY(lp_hf_read_tokenizer(&m->tokenizer, &m->tokenizer_config, &m->config, m->shape.n_vocab, m->writer, &m->arena, m->warning,
                                sizeof m->warning));
    return declare(m);
}

lp_status lp_hf_open_within(const char *folder, size_t most_in_memory, lp_gguf **out)
{
    importer m = {.folder = folder, .most_in_memory = most_in_memory};
    lp_gguf_parts parts = {0};
    *out = NULL;
    m.config.map.slot = m.tokenizer.map.slot = m.tokenizer_config.map.slot = -1;
    lp_status status = read_all(&m);
    if (status == LP_OK) status = lp_gguf_writer_header(m.writer, &parts.image, &parts.n_image);
    if (status == LP_OK) status = place(&m, &parts);
    if (status == LP_OK) status = lp_gguf_open_parts(&parts, folder, out);
    else lp_gguf_parts_free(&parts);
    if (status == LP_OK && m.warning[0]) lp_gguf_warn(*out, "%s", m.warning);
    lp_gguf_writer_abort(m.writer);
    lp_safetensors_folder_close(&m.tensors);
    lp_hf_file_close(&m.config);
    lp_hf_file_close(&m.tokenizer);
    lp_hf_file_close(&m.tokenizer_config);
    lp_arena_free(&m.arena);
    return status;
}

lp_status lp_hf_open(const char *folder, lp_gguf **out) { return lp_hf_open_within(folder, (size_t)256 << 20, out); }
