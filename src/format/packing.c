/* The table of GGUF types and the functions over it. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/half.h"
#include "format/layout.h"

static bool block_planes(const lp_packing *packing, int64_t k, int64_t n_rows, lp_planes *out);
static void block_decode(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, int64_t n, float *dst);
static int64_t block_find_nonfinite(const lp_packing *packing, const lp_row *row, int64_t k);
static void block_split(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, lp_split *out);
static const lp_packing_functions block_functions = {block_planes, block_decode, block_find_nonfinite, block_split};

/* A row of the table that decodes, and one that only describes bytes. */
#define BUILT(NAME, TEXT, ID, FILE_TYPE, VALUES, BYTES, ENCODES, SCAN, AT0, AT1)                                          \
    {{#NAME, TEXT, ID, FILE_TYPE, VALUES, BYTES, false, true, ENCODES, NULL},                                                  \
     lp_decode_##NAME, &lp_units_##NAME, lp_split_##NAME, LP_SCAN_##SCAN, {AT0, AT1}, &block_functions}
#define FLOATS(NAME, ID, FILE_TYPE, BYTES, SCAN)                                                                          \
    {{#NAME, #NAME, ID, FILE_TYPE, 1, BYTES, true, true, true, NULL}, lp_decode_##NAME, NULL, NULL, LP_SCAN_##SCAN, {0, -1}, \
     &block_functions}
#define BYTES_ONLY(NAME, TEXT, ID, FILE_TYPE, VALUES, BYTES, SCAN, AT0, AT1)                                              \
    {{NAME, TEXT, ID, FILE_TYPE, VALUES, BYTES, false, false, false, NULL}, NULL, NULL, NULL, LP_SCAN_##SCAN, {AT0, AT1}, &block_functions}

/* In order of id. The ids 4, 5, 31-33 and 36-38 were removed from GGUF. file_type: of a file whose matrices all have
 * the type (llama.cpp's llama_ftype; the _S names of the k-quants). */
static const lp_layout layouts[] = {
    FLOATS(f32, 0, 0, 4, F32),
    FLOATS(f16, 1, 1, 2, F16),
    BUILT(q4_0, "i4:32:f16@q4_0", 2, 2, 32, 18, true, F16, 0, -1),
    BUILT(q4_1, "u4:32:f16+min@q4_1", 3, 3, 32, 20, true, F16, 0, 2),
    BUILT(q5_0, "i5:32:f16@q5_0", 6, 8, 32, 22, true, F16, 0, -1),
    BUILT(q5_1, "u5:32:f16+min@q5_1", 7, 9, 32, 24, true, F16, 0, 2),
    BUILT(q8_0, "i8:32:f16@q8_0", 8, 7, 32, 34, true, F16, 0, -1),
    BYTES_ONLY("q8_1", "", 9, -1, 32, 36, F16, 0, 2),
    BUILT(q2_k, "u2:16:(u4:16:f16)-min(u4:16:f16)@q2_k", 10, 10, 256, 84, true, F16, 80, 82),
    BUILT(q3_k, "i3:16:(i6:16:f16)@q3_k", 11, 11, 256, 110, true, F16, 108, -1),
    BUILT(q4_k, "u4:32:(u6:8:f16)-min(u6:8:f16)@q4_k", 12, 14, 256, 144, true, F16, 0, 2),
    BUILT(q5_k, "u5:32:(u6:8:f16)-min(u6:8:f16)@q5_k", 13, 16, 256, 176, true, F16, 0, 2),
    BUILT(q6_k, "i6:16:(i8:16:f16)@q6_k", 14, 18, 256, 210, true, F16, 208, -1),
    BYTES_ONLY("q8_k", "", 15, -1, 256, 292, F32, 0, -1),
    BUILT(iq2_xxs, "", 16, 19, 256, 66, true, F16, 0, -1),
    BUILT(iq2_xs, "", 17, 20, 256, 74, true, F16, 0, -1),
    BUILT(iq3_xxs, "", 18, 23, 256, 98, true, F16, 0, -1),
    BUILT(iq1_s, "", 19, 24, 256, 50, true, F16, 0, -1),
    BUILT(iq4_nl, "iq4nl:32:f16@iq4_nl", 20, 25, 32, 18, true, F16, 0, -1),
    BUILT(iq3_s, "", 21, 26, 256, 110, true, F16, 0, -1),
    BUILT(iq2_s, "", 22, 28, 256, 82, true, F16, 0, -1),
    BUILT(iq4_xs, "iq4nl:32:(i6:8:f16)@iq4_xs", 23, 30, 256, 136, true, F16, 0, -1),
    BYTES_ONLY("i8", "", 24, -1, 1, 1, NONE, -1, -1),
    BYTES_ONLY("i16", "", 25, -1, 1, 2, NONE, -1, -1),
    BYTES_ONLY("i32", "", 26, -1, 1, 4, NONE, -1, -1),
    BYTES_ONLY("i64", "", 27, -1, 1, 8, NONE, -1, -1),
    BYTES_ONLY("f64", "", 28, -1, 1, 8, F64, 0, -1),
    BUILT(iq1_m, "", 29, 31, 256, 56, true, IQ1M, 48, -1),
    FLOATS(bf16, 30, 32, 2, BF16),
    BUILT(tq1_0, "t:256:f16@tq1_0", 34, 36, 256, 54, true, F16, 52, -1),
    BUILT(tq2_0, "t:256:f16@tq2_0", 35, 37, 256, 66, true, F16, 64, -1),
    BUILT(mxfp4, "e2m1uz:32:e8m0@mxfp4", 39, 38, 32, 17, true, E8M0, 0, -1),
    BUILT(nvfp4, "e2m1uz:16:ue4m3@nvfp4", 40, 39, 64, 36, true, NONE, -1, -1),
    BUILT(q1_0, "b1:128:f16@q1_0", 41, 40, 128, 18, true, F16, 0, -1),
    BUILT(q2_0, "", 42, 41, 64, 18, true, F16, 0, -1),
};

enum { N_LAYOUTS = sizeof layouts / sizeof layouts[0] };

int lp_packing_count(void) { return N_LAYOUTS; }

const lp_packing *lp_packing_at(int index)
{
    return index >= 0 && index < N_LAYOUTS ? &layouts[index].packing : NULL;
}

const lp_packing *lp_packing_by_id(uint32_t gguf_id)
{
    for (int i = 0; i < N_LAYOUTS; i++)
        if (layouts[i].packing.gguf_id == gguf_id) return &layouts[i].packing;
    return NULL;
}

const lp_packing *lp_packing_by_name(const char *name)
{
    static const char suffix[] = "@gguf";
    size_t n = strlen(name), n_suffix = sizeof suffix - 1;
    if (n > n_suffix && strcasecmp(name + n - n_suffix, suffix) == 0) n -= n_suffix;
    for (int i = 0; i < N_LAYOUTS; i++) {
        const char *own = layouts[i].packing.name;
        if (strlen(own) == n && strncasecmp(own, name, n) == 0) return &layouts[i].packing;
    }
    return NULL;
}

size_t lp_packing_row_bytes(const lp_packing *packing, int64_t n)
{
    int64_t bytes;
    if (n < 0 || n % packing->n_values != 0) return 0;
    return lp_mul_i64(n / packing->n_values, packing->n_bytes, &bytes) && bytes <= PTRDIFF_MAX ? (size_t)bytes : 0;
}

void lp_packing_decode(const lp_packing *packing, const void *src, int64_t n, float *dst)
{
    ((const lp_layout *)packing)->decode(src, n / packing->n_values, dst);
}

/* ---- scales that are not finite ---------------------------------------------------------------------------------- */

static bool bad16(const uint8_t *p, unsigned exponent) { return (lp_read_u16(p) & exponent) == exponent; }

static bool bad_block(const lp_layout *layout, const uint8_t *block)
{
    const uint8_t *p = block + (layout->scan_at[0] < 0 ? 0 : layout->scan_at[0]);
    switch (layout->scan) {
    case LP_SCAN_NONE: return false;
    case LP_SCAN_F16: return bad16(p, 0x7c00) || (layout->scan_at[1] >= 0 && bad16(block + layout->scan_at[1], 0x7c00));
    case LP_SCAN_BF16: return bad16(p, 0x7f80);
    case LP_SCAN_F32: return (lp_read_u32(p) & 0x7f800000u) == 0x7f800000u;
    case LP_SCAN_F64: return (lp_read_u64(p) & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    case LP_SCAN_E8M0: return *p == 255;
    case LP_SCAN_IQ1M: {
        /* The scale's nibbles, lowest first, are the top ones of four words; exponent bits are in the last two. */
        unsigned h = (unsigned)(p[5] >> 4) << 8 | (unsigned)(p[7] >> 4) << 12;
        return (h & 0x7c00u) == 0x7c00u;
    }
    }
    return false;
}

/* A carry out of the exponent's top marks one that is all ones; loops without an exit become vectors. */
static uint32_t any_f16(const uint8_t *p, size_t n, unsigned low)
{
    uint16_t any = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = lp_read_u16(p + 2 * i);
        any |= (uint16_t)((h & 0x7fffu) + low);
    }
    return any & 0x8000u;
}

static uint32_t any_f32(const uint8_t *p, size_t n)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) any |= (lp_read_u32(p + 4 * i) & 0x7fffffffu) + 0x00800000u;
    return any & 0x80000000u;
}

/* Number of leading values of src that need no second look, in whole chunks. */
static int64_t skip_finite(const lp_layout *layout, const uint8_t *src, int64_t n)
{
    enum { CHUNK = 4096 };
    int64_t i = 0;
    for (; n - i >= CHUNK; i += CHUNK) {
        const uint8_t *p = src + i * layout->packing.n_bytes;
        uint32_t any = layout->scan == LP_SCAN_F32   ? any_f32(p, CHUNK)
                       : layout->scan == LP_SCAN_F16 ? any_f16(p, CHUNK, 0x400)
                                                     : any_f16(p, CHUNK, 0x80);
        if (any) break;
    }
    return i;
}

int64_t lp_packing_find_nonfinite(const lp_packing *packing, const void *src, int64_t n)
{
    const lp_layout *layout = (const lp_layout *)packing;
    if (layout->scan == LP_SCAN_NONE) return -1;
    int64_t n_blocks = n / packing->n_values;
    const uint8_t *bytes = src;
    for (int64_t i = packing->is_float ? skip_finite(layout, bytes, n_blocks) : 0; i < n_blocks; i++)
        if (bad_block(layout, bytes + i * packing->n_bytes)) return i;
    return -1;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static const lp_packing_functions *functions_of(const lp_packing *packing) { return ((const lp_layout *)packing)->functions; }

static bool block_planes(const lp_packing *packing, int64_t k, int64_t n_rows, lp_planes *out)
{
    size_t row = lp_packing_row_bytes(packing, k);
    if (k < 0 || n_rows < 0 || (row == 0 && k != 0) || !lp_mul_size(row, (size_t)n_rows, &out->n_bytes)) return false;
    out->n = 1;
    out->offset[0] = 0;
    out->row_bytes[0] = row;
    out->size[0] = out->n_bytes;
    return out->n_bytes <= PTRDIFF_MAX;
}

static const uint8_t *block_at(const lp_packing *packing, const lp_row *row, int64_t first)
{
    return row->plane[0] + (size_t)(first / packing->n_values) * (size_t)packing->n_bytes;
}

static void block_decode(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, int64_t n, float *dst)
{
    (void)k;
    lp_packing_decode(packing, block_at(packing, row, first), n, dst);
}

static int64_t block_find_nonfinite(const lp_packing *packing, const lp_row *row, int64_t k)
{
    int64_t block = lp_packing_find_nonfinite(packing, row->plane[0], k);
    return block < 0 ? -1 : block * packing->n_values;
}

static void block_split(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, lp_split *out)
{
    (void)k;
    lp_packing_split(packing, block_at(packing, row, first), out);
}

bool lp_packing_planes(const lp_packing *packing, int64_t k, int64_t n_rows, lp_planes *out)
{
    return functions_of(packing)->planes(packing, k, n_rows, out);
}

bool lp_packing_tensor_bytes(const lp_packing *packing, int64_t n, int64_t n_rows, uint64_t *n_bytes)
{
    lp_planes planes;
    if (!lp_packing_planes(packing, n, n_rows, &planes)) return false;
    *n_bytes = planes.n_bytes;
    return true;
}

void lp_row_decode(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, int64_t n, float *dst)
{
    functions_of(packing)->decode(packing, row, k, first, n, dst);
}

int64_t lp_row_find_nonfinite(const lp_packing *packing, const lp_row *row, int64_t k)
{
    return functions_of(packing)->find_nonfinite(packing, row, k);
}

void lp_row_split(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, lp_split *out)
{
    functions_of(packing)->split(packing, row, k, first, out);
}

const lp_unit_class *lp_packing_units(const lp_packing *packing, int64_t k)
{
    /* A kernel's chunk is 32 columns; a row of blocks is whole chunks always. */
    return k % 32 == 0 ? lp_packing_unit_class(packing) : NULL;
}
