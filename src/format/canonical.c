/* Formats of our own as planes of codes, scales and offsets: sizes and decoding. Law: foundation 2b(4) and 4. */
#include "format/canonical.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"

/* ---- sizes --------------------------------------------------------------------------------------------------------- */

static bool add_plane(lp_planes *out, int plane, size_t row_bytes, size_t size)
{
    uint64_t end;
    out->row_bytes[plane] = row_bytes;
    out->size[plane] = size;
    out->offset[plane] = out->n_bytes;
    if (!lp_add_u64(out->n_bytes, size, &end)) return false;
    /* Padding belongs to the plane before another one: the tensor ends with its last byte. */
    out->n_bytes = (size_t)end;
    return end <= PTRDIFF_MAX - LP_PLANE_ALIGNMENT;
}

static bool add_node(const lp_canonical *c, int index, int64_t length, int64_t n_rows, lp_planes *out)
{
    const lp_node *node = &c->node[index];
    int64_t n_bits, size;
    out->n_bytes = (out->n_bytes + LP_PLANE_ALIGNMENT - 1) & ~(size_t)(LP_PLANE_ALIGNMENT - 1);
    if (!lp_mul_i64(length, node->format->element.bits, &n_bits) || n_bits > INT64_MAX - 7) return false;
    int64_t row_bytes = (n_bits + 7) / 8;
    if (!lp_mul_i64(row_bytes, n_rows, &size) || !add_plane(out, node->codes, (size_t)row_bytes, (size_t)size)) return false;
    int64_t blocks = lp_node_length(node, length);
    if (node->scale >= 0 && !add_node(c, node->scale, blocks, n_rows, out)) return false;
    if (node->tensor_scale >= 0) {
        out->n_bytes = (out->n_bytes + LP_PLANE_ALIGNMENT - 1) & ~(size_t)(LP_PLANE_ALIGNMENT - 1);
        if (!add_plane(out, node->tensor_scale, 0, (size_t)(node->format->tensor_scale->element.bits + 7) / 8)) return false;
    }
    return node->zero < 0 || add_node(c, node->zero, blocks, n_rows, out);
}

static bool planes_of(const lp_packing *packing, int64_t k, int64_t n_rows, lp_planes *out)
{
    const lp_canonical *c = lp_canonical_of(packing);
    out->n = c->n_planes;
    out->n_bytes = 0;
    return k >= 0 && n_rows >= 0 && add_node(c, 0, k, n_rows, out);
}

/* ---- decoding ------------------------------------------------------------------------------------------------------ */

void lp_codes_read(const uint8_t *src, int bits, int64_t first, int64_t n, uint32_t *code)
{
    if (n == 0) return;
    uint64_t bit = (uint64_t)first * (uint64_t)bits, held;
    int n_held = 8 - (int)(bit & 7);
    const uint8_t *at = src + bit / 8;
    held = (uint64_t)*at++ >> (bit & 7);
    const uint64_t mask = (UINT64_C(1) << bits) - 1;
    for (int64_t i = 0; i < n; i++) {
        while (n_held < bits) { /* no byte beyond the last code is read */
            held |= (uint64_t)*at++ << n_held;
            n_held += 8;
        }
        code[i] = (uint32_t)(held & mask);
        held >>= bits;
        n_held -= bits;
    }
}

static float value_of(lp_code_reader reader, const lp_element *element, const float *table, uint32_t code)
{
    switch (reader) {
    case LP_READ_TABLE: return table[code];
    case LP_READ_F16: return lp_f16_to_f32((uint16_t)code);
    case LP_READ_BF16: return lp_bf16_to_f32((uint16_t)code);
    case LP_READ_F32: return lp_f32_from_bits(code);
    case LP_READ_ELEMENT: break;
    }
    return (float)lp_element_value(element, code);
}

static lp_code_reader reader_of(const lp_element *e)
{
    if (e->bits <= 8) return LP_READ_TABLE;
    if (e->kind != LP_ELEMENT_FLOAT || e->specials != LP_SPECIALS_IEEE || !e->is_signed) return LP_READ_ELEMENT;
    if (e->exponent == 5 && e->mantissa == 10) return LP_READ_F16;
    if (e->exponent == 8 && e->mantissa == 7) return LP_READ_BF16;
    return e->exponent == 8 && e->mantissa == 23 ? LP_READ_F32 : LP_READ_ELEMENT;
}

float lp_node_tensor_scale(const lp_node *node, const lp_row *row)
{
    const lp_element *e = &node->format->tensor_scale->element;
    uint32_t code;
    lp_codes_read(row->plane[node->tensor_scale], e->bits, 0, 1, &code);
    return e->bits <= 8 ? (float)lp_element_value(e, code) : value_of(reader_of(e), e, NULL, code);
}

void lp_node_decode(const lp_canonical *c, int index, const lp_row *row, int64_t length, int64_t first, int64_t n, float *dst)
{
    const lp_node *node = &c->node[index];
    const lp_element *e = &node->format->element;
    uint32_t code[LP_NODE_STEP];
    lp_codes_read(row->plane[node->codes], e->bits, first, n, code);
    if (node->reader == LP_READ_TABLE)
        for (int64_t i = 0; i < n; i++) dst[i] = node->value[code[i]];
    else
        for (int64_t i = 0; i < n; i++) dst[i] = value_of(node->reader, e, NULL, code[i]);
    if (node->scale < 0 || n == 0) return;

    float w[LP_NODE_STEP], z[LP_NODE_STEP];
    const int64_t block = node->format->block[0] ? node->format->block[0] : length, blocks = lp_node_length(node, length);
    const int64_t first_block = first / block, n_blocks = (first + n - 1) / block - first_block + 1;
    lp_node_decode(c, node->scale, row, blocks, first_block, n_blocks, w);
    if (node->tensor_scale >= 0) {
        float outer = lp_node_tensor_scale(node, row);
        for (int64_t b = 0; b < n_blocks; b++) w[b] = outer * w[b];
    }
    if (node->zero >= 0) lp_node_decode(c, node->zero, row, blocks, first_block, n_blocks, z);
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t begin = (first_block + b) * block - first, end = begin + block < n ? begin + block : n;
        if (begin < 0) begin = 0;
        float scale = w[b], offset = node->zero >= 0 ? z[b] : 0;
        switch (node->format->offset) {
        case LP_OFFSET_NONE:
            for (int64_t i = begin; i < end; i++) dst[i] = scale * dst[i];
            break;
        case LP_OFFSET_PLUS:
            for (int64_t i = begin; i < end; i++) dst[i] = scale * dst[i] + offset;
            break;
        case LP_OFFSET_MINUS:
            for (int64_t i = begin; i < end; i++) dst[i] = scale * dst[i] - offset;
            break;
        case LP_OFFSET_ZERO:
            for (int64_t i = begin; i < end; i++) dst[i] = scale * (dst[i] - offset);
            break;
        }
    }
}

static void decode(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, int64_t n, float *dst)
{
    const lp_canonical *c = lp_canonical_of(packing);
    for (int64_t i = 0; i < n; i += LP_NODE_STEP)
        lp_node_decode(c, 0, row, k, first + i, n - i < LP_NODE_STEP ? n - i : LP_NODE_STEP, dst + i);
}

/* A value that is finite times a scale that is finite may overflow: what counts is the product. */
static int64_t find_nonfinite(const lp_packing *packing, const lp_row *row, int64_t k)
{
    const lp_canonical *c = lp_canonical_of(packing);
    float x[LP_NODE_STEP];
    for (int64_t first = 0; first < k; first += LP_NODE_STEP) {
        int64_t n = k - first < LP_NODE_STEP ? k - first : LP_NODE_STEP;
        lp_node_decode(c, 0, row, k, first, n, x);
        uint32_t any = 0; /* no exit, so that the loop becomes vectors */
        for (int64_t i = 0; i < n; i++) any |= (lp_f32_bits(x[i]) & 0x7fffffffu) + 0x00800000u;
        if (!(any & 0x80000000u)) continue;
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(x[i])) return first + i;
    }
    return -1;
}

/* ---- a packing of a format ----------------------------------------------------------------------------------------- */

/* NULL, or why a part cannot be stored. */
static const char *check_format(const lp_format *f, bool is_value)
{
    if (f->packing) return "it names a byte layout of GGUF";
    if (f->n_alternatives) return "blocks that choose among elements are not stored";
    if (f->element.kind == LP_ELEMENT_COMPLEX) return "complex elements have no place in a real matrix";
    if (is_value && f->element.bits > LP_CANONICAL_BITS) return "elements of more than 8 bits are stored as f16, bf16 or f32";
    if (is_value && !f->scale && f->element.kind != LP_ELEMENT_FLOAT) return "it has no scale; write such as nf4:64:f16, i4:128:f16";
    if (f->element.bits > 16 && reader_of(&f->element) != LP_READ_F32) return "scales have at most 16 bits, or are f32";
    if (f->scale && f->block[1] != 1) return "scales that several rows share are not built";
    const char *why = NULL;
    if (f->scale) why = check_format(f->scale, false);
    if (!why && f->tensor_scale) why = check_format(f->tensor_scale, false);
    if (!why && f->zero) why = check_format(f->zero, false);
    return why;
}

static lp_status copy_format(const lp_format *f, lp_format **out)
{
    *out = malloc(sizeof **out);
    if (!*out) return lp_fail_memory(sizeof **out, "a format");
    **out = *f;
    (*out)->scale = (*out)->tensor_scale = (*out)->zero = NULL;
    if (f->scale) LP_TRY(copy_format(f->scale, &(*out)->scale));
    if (f->tensor_scale) LP_TRY(copy_format(f->tensor_scale, &(*out)->tensor_scale));
    return f->zero ? copy_format(f->zero, &(*out)->zero) : LP_OK;
}

/* Nodes in the order of their planes; returns the index. */
static int flatten(lp_canonical *c, const lp_format *f)
{
    int index = c->n_nodes++;
    lp_node *node = &c->node[index];
    *node = (lp_node){.format = f, .codes = c->n_planes++, .tensor_scale = -1, .scale = -1, .zero = -1,
                      .reader = reader_of(&f->element)};
    for (uint32_t code = 0; node->reader == LP_READ_TABLE && code < 1u << f->element.bits; code++)
        node->value[code] = (float)lp_element_value(&f->element, code);
    if (f->scale) node->scale = flatten(c, f->scale);
    if (f->tensor_scale) node->tensor_scale = c->n_planes++;
    if (f->zero) node->zero = flatten(c, f->zero);
    return index;
}

static const lp_packing_functions functions = {planes_of, decode, find_nonfinite, lp_canonical_split};

lp_status lp_packing_create(const lp_format *format, const lp_packing **out)
{
    *out = NULL;
    const char *why = check_format(format, true);
    char text[LP_FORMAT_TEXT_MAX + 1];
    size_t n = lp_format_print_text(format, text, sizeof text);
    if (!why && n >= sizeof text) why = "its text is too long";
    if (why) return lp_fail(LP_UNSUPPORTED, "format %s cannot be stored: %s", text, why);
    lp_canonical *c = calloc(1, sizeof *c);
    if (!c) return lp_fail_memory(sizeof *c, "a format");
    lp_status status = copy_format(format, &c->format);
    if (status != LP_OK) {
        lp_format_free(c->format);
        free(c);
        return status;
    }
    memcpy(c->text, text, n + 1);
    const lp_packing *bytes = lp_packing_by_name("i8");
    c->layout.packing = (lp_packing){.name = c->text, .text = c->text, .gguf_id = bytes->gguf_id, .file_type = -1, .n_values = 1,
                                     .can_decode = true, .can_encode = true, .format = c->format};
    c->layout.functions = &functions;
    flatten(c, c->format);
    lp_canonical_set_units(c);
    *out = &c->layout.packing;
    return LP_OK;
}

void lp_packing_free(const lp_packing *packing)
{
    if (!packing || !packing->format) return;
    lp_canonical *c = (lp_canonical *)(uintptr_t)packing;
    lp_format_free(c->format);
    free(c);
}

bool lp_packing_equal(const lp_packing *a, const lp_packing *b)
{
    return a == b || (a && b && a->format && b->format && lp_format_equal(a->format, b->format));
}
