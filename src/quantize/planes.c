/* Rows of float32 to codes, scales and offsets of a format of our own: one fitter for all of them. A plane of scales is
 * itself such a row, whose weights are the curvatures of the blocks' errors, so that scales of scales need no method of
 * their own. Blocks, scales and codes are improved in turn as long as the row's error falls. */
#include "quantize/planes.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/half.h"
#include "format/canonical.h"
#include "quantize/fit.h"

enum { N_ROUNDS = 3, N_ARRAYS = 10 };

/* The blocks of a node in one row: arrays of one value per block, but v. */
typedef struct blocks {
    int64_t length, n, size; /* values, blocks, values per block (the last may have fewer) */
    lp_fit_rule rule;
    float *memory;
    float *scale, *offset;             /* wanted */
    float *curvature, *weight;         /* what errors of them cost */
    float *stored_scale, *stored_offset; /* what the planes hold: x = stored_scale * v + stored_offset */
    float *best_scale, *best_offset;
    float *target, *outer;
    float *v;                          /* [length] values of the codes */
    uint32_t *code;                    /* [length] */
} blocks;

typedef struct encoder {
    const lp_canonical *c;
    lp_search search;
    lp_levels *levels[LP_MAX_NODES];
    blocks blocks[LP_MAX_NODES];
    const lp_planes *planes;
    uint8_t *plane[LP_MAX_PLANES];     /* of the row at hand */
} encoder;

/* ---- the scale of the tensor ------------------------------------------------------------------------------------------ */

int lp_planes_tensor_scale(const lp_packing *packing)
{
    const lp_canonical *c = lp_canonical_of(packing);
    return c ? c->node[0].tensor_scale : -1;
}

/* So that the largest scale of a block covers the largest magnitude. */
lp_status lp_planes_set_tensor_scale(const lp_packing *packing, float most, uint8_t *plane)
{
    const lp_canonical *c = lp_canonical_of(packing);
    const lp_node *node = &c->node[0];
    lp_levels *element, *scale, *own;
    LP_TRY(lp_levels_create(&node->format->element, &element));
    lp_status status = lp_levels_create(&c->node[node->scale].format->element, &scale);
    if (status == LP_OK) {
        status = lp_levels_create(&node->format->tensor_scale->element, &own);
        if (status == LP_OK) {
            float largest = element->most > -element->least ? element->most : -element->least, value;
            float s = scale->n ? most / largest / scale->most : 1; /* scales with the range of f16 or more need no help */
            lp_code_write(plane, own->bits, 0, lp_levels_round(own, s > 0 ? s : 1, &value));
            lp_levels_free(own);
        }
        lp_levels_free(scale);
    }
    lp_levels_free(element);
    return status;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

static bool is_symmetric(const lp_levels *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->value[i] != -c->value[c->n - 1 - i]) return false;
    return true;
}

static lp_fit_rule rule_of(const encoder *e, int index)
{
    const lp_node *node = &e->c->node[index];
    lp_fit_rule rule = {.element = e->levels[index]};
    rule.negative_scale = e->levels[node->scale]->least < 0 && !is_symmetric(rule.element);
    if (node->zero < 0) return rule;
    rule.has_offset = true;
    rule.negative_scale = false; /* an offset serves both ends */
    bool is_signed = e->levels[node->zero]->least < 0, is_plus = node->format->offset == LP_OFFSET_PLUS;
    rule.least_offset = is_signed || !is_plus ? -INFINITY : 0;
    rule.most_offset = is_signed || is_plus ? INFINITY : 0;
    return rule;
}

static lp_status prepare_node(encoder *e, int index, int64_t length)
{
    const lp_node *node = &e->c->node[index];
    blocks *b = &e->blocks[index];
    b->length = length;
    b->n = lp_node_length(node, length);
    b->size = node->scale < 0 || node->format->block[0] == 0 ? length : node->format->block[0];
    size_t n_floats = (size_t)b->n * N_ARRAYS + 2 * (size_t)length;
    float *at = b->memory = malloc(n_floats * sizeof(float) + 1);
    if (!at) return lp_fail_memory(n_floats * sizeof(float), "a row");
    float **const array[N_ARRAYS] = {&b->scale, &b->offset, &b->curvature, &b->weight, &b->stored_scale,
                                     &b->stored_offset, &b->best_scale, &b->best_offset, &b->target, &b->outer};
    for (int i = 0; i < N_ARRAYS; i++, at += b->n) *array[i] = at;
    b->v = at;
    b->code = (uint32_t *)(void *)(at + length);
    if (node->scale >= 0) LP_TRY(prepare_node(e, node->scale, b->n));
    if (node->zero >= 0) LP_TRY(prepare_node(e, node->zero, b->n));
    if (node->scale >= 0) b->rule = rule_of(e, index);
    return LP_OK;
}

static void free_encoder(encoder *e)
{
    for (int i = 0; i < e->c->n_nodes; i++) {
        lp_levels_free(e->levels[i]);
        free(e->blocks[i].memory);
    }
}

/* ---- one node ---------------------------------------------------------------------------------------------------------- */

static void write_codes(encoder *e, int index)
{
    const lp_node *node = &e->c->node[index];
    const blocks *b = &e->blocks[index];
    uint8_t *plane = e->plane[node->codes];
    memset(plane, 0, e->planes->row_bytes[node->codes]);
    for (int64_t i = 0; i < b->length; i++) lp_code_write(plane, node->format->element.bits, i, b->code[i]);
}

static void read_node(const encoder *e, int index, float *dst)
{
    lp_row row;
    int64_t length = e->blocks[index].length;
    for (int i = 0; i < e->planes->n; i++) row.plane[i] = e->plane[i];
    for (int64_t i = 0; i < length; i += LP_NODE_STEP)
        lp_node_decode(e->c, index, &row, length, i, length - i < LP_NODE_STEP ? length - i : LP_NODE_STEP, dst + i);
}

static float tensor_scale_of(const encoder *e, const lp_node *node)
{
    lp_row row;
    if (node->tensor_scale < 0) return 1;
    row.plane[node->tensor_scale] = e->plane[node->tensor_scale];
    return lp_node_tensor_scale(node, &row);
}

static void encode_node(encoder *e, int index, const float *x, const float *w);

/* Scales and offsets as they are wanted, to their planes and back. */
static void store_parameters(encoder *e, int index)
{
    const lp_node *node = &e->c->node[index];
    blocks *b = &e->blocks[index];
    const float outer = tensor_scale_of(e, node);
    for (int64_t i = 0; i < b->n; i++) b->target[i] = b->scale[i] / outer;
    encode_node(e, node->scale, b->target, b->curvature);
    read_node(e, node->scale, b->stored_scale);
    for (int64_t i = 0; i < b->n && node->tensor_scale >= 0; i++) b->stored_scale[i] = outer * b->stored_scale[i];
    memset(b->stored_offset, 0, (size_t)b->n * sizeof(float));
    if (node->zero < 0) return;
    const lp_offset kind = node->format->offset;
    for (int64_t i = 0; i < b->n; i++) {
        float s = b->stored_scale[i], o = b->offset[i];
        b->target[i] = kind == LP_OFFSET_PLUS ? o : kind == LP_OFFSET_MINUS ? -o : s != 0 ? -o / s : 0;
    }
    encode_node(e, node->zero, b->target, b->weight);
    read_node(e, node->zero, b->stored_offset);
    for (int64_t i = 0; i < b->n; i++) {
        float z = b->stored_offset[i];
        b->stored_offset[i] = kind == LP_OFFSET_PLUS ? z : kind == LP_OFFSET_MINUS ? -z : -(b->stored_scale[i] * z);
    }
}

static const float *part(const float *w, int64_t at) { return w ? w + at : NULL; }

/* Nearest codes of all blocks under what is stored; the error. */
static double code_blocks(encoder *e, int index, const float *x, const float *w)
{
    blocks *b = &e->blocks[index];
    double error = 0;
    for (int64_t i = 0, at = 0; i < b->n; i++, at += b->size) {
        int64_t n = b->length - at < b->size ? b->length - at : b->size;
        error += lp_fit_codes(e->levels[index], x + at, part(w, at), n, b->stored_scale[i], b->stored_offset[i], b->code + at, b->v + at);
    }
    return error;
}

/* What is wanted of a block's scale, given its codes. */
static void refit_blocks(encoder *e, int index, const float *x, const float *w)
{
    blocks *b = &e->blocks[index];
    for (int64_t i = 0, at = 0; i < b->n; i++, at += b->size) {
        int64_t n = b->length - at < b->size ? b->length - at : b->size;
        lp_fit fit = lp_fit_values(&b->rule, x + at, part(w, at), b->v + at, n, NULL);
        if (fit.curvature <= 0) continue; /* all codes stand for 0: any scale will do */
        b->scale[i] = fit.scale;
        b->offset[i] = fit.offset;
        b->curvature[i] = fit.curvature;
        b->weight[i] = fit.weight;
    }
}

/* Coarse scales: is a neighbour of the stored code better for the block, with codes chosen anew? */
static void try_neighbours(encoder *e, int index, const float *x, const float *w)
{
    const lp_node *node = &e->c->node[index], *scale = &e->c->node[node->scale];
    blocks *b = &e->blocks[index], *s = &e->blocks[node->scale];
    const lp_levels *levels = e->levels[node->scale];
    if (levels->n == 0 || scale->zero >= 0 || node->format->offset == LP_OFFSET_ZERO) return;
    const float outer = tensor_scale_of(e, node), inner = tensor_scale_of(e, scale);
    if (scale->scale >= 0) read_node(e, scale->scale, b->outer);
    bool changed = false;
    for (int64_t i = 0, at = 0; i < b->n; i++, at += b->size) {
        int64_t n = b->length - at < b->size ? b->length - at : b->size;
        float factor = scale->scale >= 0 ? inner * b->outer[i / s->size] : 1;
        int stored = 0; /* index of the stored code */
        while (stored + 1 < levels->n && levels->code[stored] != s->code[i]) stored++;
        double least = INFINITY;
        int best = stored;
        static const int step[] = {0, -1, 1, -2, 2};
        for (size_t t = 0; t < sizeof step / sizeof *step; t++) {
            int at_list = stored + step[t];
            if (at_list < 0 || at_list >= levels->n) continue;
            float trial = outer * (factor * levels->value[at_list]);
            double error = lp_fit_codes(e->levels[index], x + at, part(w, at), n, trial, b->stored_offset[i], NULL, b->v + at);
            if (error < least) {
                least = error;
                best = at_list;
            }
        }
        if (best == stored) continue;
        s->code[i] = levels->code[best];
        changed = true;
    }
    if (!changed) return;
    write_codes(e, node->scale);
    read_node(e, node->scale, b->stored_scale);
    for (int64_t i = 0; i < b->n && node->tensor_scale >= 0; i++) b->stored_scale[i] = outer * b->stored_scale[i];
}

static void encode_node(encoder *e, int index, const float *x, const float *w)
{
    const lp_node *node = &e->c->node[index];
    blocks *b = &e->blocks[index];
    if (node->scale < 0) {
        for (int64_t i = 0; i < b->length; i++) b->code[i] = lp_levels_round(e->levels[index], x[i], &b->v[i]);
        write_codes(e, index);
        return;
    }
    for (int64_t i = 0, at = 0; i < b->n; i++, at += b->size) {
        int64_t n = b->length - at < b->size ? b->length - at : b->size;
        lp_fit fit = e->search == LP_SEARCH_RTN ? lp_fit_cover(&b->rule, x + at, n) : lp_fit_search(&b->rule, x + at, part(w, at), n);
        b->scale[i] = fit.scale;
        b->offset[i] = fit.offset;
        b->curvature[i] = fit.curvature;
        b->weight[i] = fit.weight;
    }
    store_parameters(e, index);
    double least = code_blocks(e, index, x, w);
    if (e->search != LP_SEARCH_RTN) {
        const size_t n_bytes = (size_t)b->n * sizeof(float);
        memcpy(b->best_scale, b->scale, n_bytes);
        memcpy(b->best_offset, b->offset, n_bytes);
        for (int round = 0; round < N_ROUNDS; round++) {
            refit_blocks(e, index, x, w);
            store_parameters(e, index);
            double error = code_blocks(e, index, x, w);
            if (!(error < least)) break;
            least = error;
            memcpy(b->best_scale, b->scale, n_bytes);
            memcpy(b->best_offset, b->offset, n_bytes);
        }
        memcpy(b->scale, b->best_scale, n_bytes);
        memcpy(b->offset, b->best_offset, n_bytes);
        store_parameters(e, index);
        try_neighbours(e, index, x, w);
        code_blocks(e, index, x, w);
    }
    write_codes(e, index);
}

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

/* A scale beyond the range of its format, or an element without one that is too small for the value. */
static lp_status check_row(const encoder *e, const lp_packing *packing, int64_t k, int64_t row)
{
    lp_row planes;
    for (int i = 0; i < e->planes->n; i++) planes.plane[i] = e->plane[i];
    int64_t column = lp_row_find_nonfinite(packing, &planes, k);
    if (column < 0) return LP_OK;
    return lp_fail(LP_INPUT, "row %" PRId64 ", column %" PRId64 ": a scale would be infinite in %s", row, column, packing->name);
}

lp_status lp_planes_encode(const lp_packing *packing, lp_search search, const float *src, int64_t first_row, int64_t n_rows, int64_t k,
                           const float *importance, const lp_planes *planes, uint8_t *const plane[LP_MAX_PLANES])
{
    encoder e = {.c = lp_canonical_of(packing), .search = search, .planes = planes};
    lp_status status = LP_OK;
    for (int i = 0; i < e.c->n_nodes && status == LP_OK; i++) status = lp_levels_create(&e.c->node[i].format->element, &e.levels[i]);
    if (status == LP_OK) status = prepare_node(&e, 0, k);
    for (int64_t r = 0; r < n_rows && status == LP_OK; r++) {
        for (int i = 0; i < planes->n; i++) e.plane[i] = plane[i] + (size_t)r * planes->row_bytes[i];
        encode_node(&e, 0, src + r * k, importance);
        status = check_row(&e, packing, k, first_row + r);
    }
    free_encoder(&e);
    return status;
}
