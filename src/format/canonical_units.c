/* Formats of our own as the integer kernels see them: codes whose values are small integers times a power of two, and
 * scales that are constant over units of 16 or 32. Law: foundation 2 (integer dot) and 2b(2). */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "format/canonical.h"

/* ---- which class a format has --------------------------------------------------------------------------------------- */

static float power_of_two(int e) { return lp_f32_from_bits((uint32_t)(127 + e) << 23); } /* |e| <= 126 */

/* Values of the codes as integers times 2^-shift, all within -128 .. 127; false where there is no such shift. */
static bool integer_values(const lp_node *node, int value[256], float *constant)
{
    const int n = 1 << node->format->element.bits, n_used = node->format->element.n_levels < n ? node->format->element.n_levels : n;
    for (int shift = -16; shift <= 24; shift++) {
        float unit = power_of_two(shift);
        bool fits = true;
        for (int c = 0; c < n && fits; c++) {
            float v = c < n_used ? node->value[c] * unit : 0; /* a code that is not in use is refused by find_nonfinite */
            fits = isfinite(v) && v == rintf(v) && fabsf(v) <= 128 && v <= 127;
            value[c] = fits ? (int)v : 0;
        }
        if (!fits) continue;
        *constant = power_of_two(-shift);
        return true;
    }
    return false;
}

/* Stored width for codes of so many bits; what has no tiles of its own width takes the next one. */
static int stored_bits(int bits)
{
    static const int width[9] = {0, 2, 2, 3, 4, 5, 6, 8, 8};
    return width[bits];
}

/* Codes of the class: integers that follow each other need no table, and tables end at 5 bits. */
static bool set_codes(lp_canonical *c)
{
    int value[256], low = 127, high = -128;
    const int bits = c->node[0].format->element.bits, n = 1 << bits;
    if (!integer_values(&c->node[0], value, &c->constant)) return false;
    for (int i = 0; i < n; i++) {
        low = value[i] < low ? value[i] : low;
        high = value[i] > high ? value[i] : high;
    }
    lp_unit_class *u = &c->units;
    u->max_abs = high > -low ? high : -low;
    u->code_bits = stored_bits(bits);
    u->zero = -low;
    if (high - low >= 1 << u->code_bits && bits > 5) u->code_bits = 8;
    if (u->code_bits == 8) u->zero = 128; /* bytes are centred by the kernels: value + 128 */
    if (u->zero >= 0 && high + u->zero < 1 << u->code_bits) {
        for (int i = 0; i < n; i++) c->stored[i] = (uint8_t)(value[i] + u->zero);
        return true;
    }
    u->code_bits = bits < 4 ? 4 : bits;
    u->zero = 128;
    for (int i = 0; i < n; i++) {
        c->stored[i] = (uint8_t)i;
        c->table[i] = (uint8_t)(value[i] + u->zero);
    }
    u->table = c->table;
    return true;
}

static bool is_f16(const lp_node *node) { return node->reader == LP_READ_F16 && node->scale < 0; }

/* Integers of at most `bits` bits, one per unit block, under an f16 per 256 values. */
static bool is_super(const lp_canonical *c, int index, int unit_block, bool is_signed, int bits)
{
    const lp_node *node = &c->node[index];
    const lp_element *e = &node->format->element;
    if (node->scale < 0 || node->zero >= 0 || node->tensor_scale >= 0 || !is_f16(&c->node[node->scale])) return false;
    if (e->kind != LP_ELEMENT_INT || e->n_levels != 1 << e->bits || e->bits > bits || (e->is_signed && !is_signed)) return false;
    return (int64_t)node->format->block[0] * unit_block == 256;
}

/* Every scale times the constant is a bfloat16. */
static bool is_bf16(const lp_node *node, float constant)
{
    if (node->scale >= 0 || node->reader != LP_READ_TABLE) return node->scale < 0 && node->reader == LP_READ_BF16 && constant == 1;
    for (int i = 0; i < 1 << node->format->element.bits; i++) {
        float v = constant * node->value[i];
        if (isfinite(v) && (lp_f32_bits(v) & 0xffffu)) return false;
    }
    return true;
}

static void set_scale(lp_canonical *c)
{
    const lp_node *value = &c->node[0];
    lp_unit_class *u = &c->units;
    const int block = value->format->block[0];
    u->scale = LP_SCALE_F32;
    if (value->scale < 0 || block == 0) {
        u->scale = LP_SCALE_NONE;
        u->row_scale = true;
        return;
    }
    u->row_scale = value->tensor_scale >= 0;
    const lp_node *scale = &c->node[value->scale];
    if (is_bf16(scale, c->constant)) u->scale = LP_SCALE_BF16;
    if (c->constant != 1) return;
    if (is_f16(scale)) u->scale = block == 256 ? LP_SCALE_BLOCK : LP_SCALE_F16;
    int most = scale->format->element.is_signed ? 8 : 7; /* int8 holds them */
    if (is_super(c, value->scale, block, true, most)) u->scale = LP_SCALE_SUPER;
}

/* False where the kernels have no chain for it. */
static bool set_offset(lp_canonical *c)
{
    const lp_node *value = &c->node[0];
    lp_unit_class *u = &c->units;
    if (value->zero < 0) return true;
    if (u->row_scale) return false;
    const lp_node *scale = &c->node[value->scale], *zero = &c->node[value->zero];
    const int block = value->format->block[0];
    u->offset = LP_OFFSET_KIND_F32;
    if (value->format->offset != LP_OFFSET_ZERO && is_f16(zero)) u->offset = LP_OFFSET_KIND_F16;
    if (value->format->offset != LP_OFFSET_MINUS || u->scale != LP_SCALE_SUPER || !is_super(c, value->zero, block, false, 8)) return true;
    u->offset = LP_OFFSET_KIND_SUPER;
    bool nibbles = u->code_bits == 2 && !scale->format->element.is_signed && scale->format->element.bits <= 4 &&
                   zero->format->element.bits <= 4;
    if (nibbles) u->scale = LP_SCALE_SUPER4;
    return true;
}

void lp_canonical_set_units(lp_canonical *c)
{
    const int block = c->node[0].format->block[0];
    lp_unit_class *u = &c->units;
    *u = (lp_unit_class){.block = 256, .unit = block % 32 == 0 ? 32 : 16};
    if (block % 16 != 0 || !set_codes(c)) return;
    set_scale(c);
    if (!set_offset(c)) return;
    c->layout.units = u;
}

/* ---- splitting ------------------------------------------------------------------------------------------------------ */

static uint32_t code_at(const lp_node *node, const lp_row *row, int64_t index)
{
    uint32_t code;
    lp_codes_read(row->plane[node->codes], node->format->element.bits, index, 1, &code);
    return code;
}

/* One value of a node. */
static float node_at(const lp_canonical *c, int node, const lp_row *row, int64_t length, int64_t index)
{
    float v;
    lp_node_decode(c, node, row, length, index, 1, &v);
    return v;
}

/* What multiplies a whole row: the outer scale first. */
static float row_scale_of(const lp_canonical *c, const lp_row *row, int64_t k)
{
    const lp_node *value = &c->node[0];
    float w = value->tensor_scale >= 0 ? lp_node_tensor_scale(value, row) : 1;
    if (value->format->block[0] || value->scale < 0) return value->scale < 0 ? c->constant : w;
    return w * (c->constant * node_at(c, value->scale, row, lp_node_length(value, k), 0));
}

void lp_canonical_split(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, lp_split *out)
{
    const lp_canonical *c = lp_canonical_of(packing);
    const lp_unit_class *u = &c->units;
    const lp_node *value = &c->node[0], *scale = value->scale < 0 ? NULL : &c->node[value->scale];
    const lp_node *zero = value->zero < 0 ? NULL : &c->node[value->zero];
    const int64_t n = k - first < u->block ? k - first : u->block, block = value->format->block[0], blocks = lp_node_length(value, k);
    uint32_t code[256];
    lp_codes_read(row->plane[value->codes], value->format->element.bits, first, n, code);
    for (int64_t i = 0; i < n; i++) out->code[i] = c->stored[code[i]];
    if (u->row_scale) out->row_scale = row_scale_of(c, row, k);
    for (int64_t i = 0; i < n / u->unit; i++) {
        int64_t b = block ? (first + i * u->unit) / block : 0;
        switch (u->scale) {
        case LP_SCALE_F16: out->scale16[i] = (uint16_t)code_at(scale, row, b); break;
        case LP_SCALE_NONE: break;
        case LP_SCALE_BLOCK: out->scale16[i] = (uint16_t)code_at(scale, row, b); break;
        case LP_SCALE_BF16: out->scale16[i] = (uint16_t)(lp_f32_bits(c->constant * node_at(c, value->scale, row, blocks, b)) >> 16); break;
        case LP_SCALE_F32: out->scale32[i] = c->constant * node_at(c, value->scale, row, blocks, b); break;
        case LP_SCALE_SUPER: case LP_SCALE_SUPER4:
            out->sub[i] = (int8_t)scale->value[code_at(scale, row, b)];
            out->scale16[0] = (uint16_t)code_at(&c->node[scale->scale], row, b / scale->format->block[0]);
            break;
        }
        bool is_negative = value->format->offset != LP_OFFSET_PLUS;
        switch (u->offset) {
        case LP_OFFSET_KIND_NONE: break;
        case LP_OFFSET_KIND_F16: out->offset16[i] = (uint16_t)(code_at(zero, row, b) ^ (is_negative ? 0x8000u : 0)); break;
        case LP_OFFSET_KIND_F32: {
            float o = node_at(c, value->zero, row, blocks, b);
            if (value->format->offset == LP_OFFSET_ZERO) o = node_at(c, value->scale, row, blocks, b) * o;
            out->offset32[i] = is_negative ? -o : o;
            break;
        }
        case LP_OFFSET_KIND_SUPER:
            out->sub_offset[i] = (uint8_t)zero->value[code_at(zero, row, b)];
            out->offset16[0] = (uint16_t)code_at(&c->node[zero->scale], row, b / zero->format->block[0]);
            break;
        }
    }
}
