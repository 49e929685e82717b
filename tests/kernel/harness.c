/* Guarded buffers, inputs and comparison. */
#include "kernel/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/half.h"

enum { MAX_BUFFERS = 64 };
static struct { void *base; size_t n; } buffers[MAX_BUFFERS];
static int n_buffers;

void *guarded(size_t n_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n_bytes + page - 1) / page * page;
    uint8_t *p = mmap(NULL, body + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || n_buffers == MAX_BUFFERS || mprotect(p, page, PROT_NONE) ||
        mprotect(p + page + body, page, PROT_NONE))
        abort();
    buffers[n_buffers].base = p;
    buffers[n_buffers++].n = body + 2 * page;
    memset(p + page, 0xcd, body);
    return p + page + body - n_bytes;
}

void free_all_guarded(void)
{
    while (n_buffers > 0) {
        n_buffers--;
        munmap(buffers[n_buffers].base, buffers[n_buffers].n);
    }
}

static uint64_t state = 1;

void seed_random(uint64_t seed) { state = seed; }

uint64_t random_word(void) /* splitmix64 */
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t random_below(int64_t n) { return (int64_t)(random_word() >> 1) % n; }

float random_normal(void)
{
    int64_t sum = 0;
    for (int i = 0; i < 4; i++) sum += (int64_t)(random_word() >> 44) - (1 << 19);
    return (float)sum * (1.0f / 605000.0f);
}

static float extreme(void)
{
    static const uint32_t corner[] = {0, 0x80000000u, 1, 0x80000001u, 0x007fffffu, 0x00800000u, 0x7f7fffffu, 0xff7fffffu,
                                      0x3f800000u, 0xbf800000u, 0x42b17217u, 0x42b17218u, 0xc2cff1b4u, 0xc2cff1b5u,
                                      0xc2aeac50u, 0x0d800000u, 0x0d7fffffu};
    if (random_below(4) == 0) return lp_f32_from_bits(corner[random_below((int64_t)(sizeof corner / sizeof *corner))]);
    if (random_below(2) == 0) return random_normal() * 30;
    uint32_t u = (uint32_t)random_word();
    if ((u & 0x7f800000u) == 0x7f800000u) u ^= 0x40000000u;
    return lp_f32_from_bits(u);
}

void fill_floats(float *x, int64_t n, draw how)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = how == DRAW_NORMAL ? (random_below(16) ? random_normal() : 0) : extreme();
        if (how == DRAW_SPECIAL && random_below(40) == 0)
            x[i] = lp_f32_from_bits((const uint32_t[]){0x7fc00000u, 0x7f800000u, 0xff800000u}[random_below(3)]);
    }
    /* Whole blocks of zeros and of tiny values, which have rules of their own. */
    if (how != DRAW_NORMAL && n >= 96 && random_below(2)) {
        memset(x, 0, 32 * sizeof *x);
        for (int i = 32; i < 64; i++) x[i] *= 0x1p-120f;
    }
}

int64_t count_different(const float *a, const float *b, int64_t n)
{
    int64_t different = 0;
    for (int64_t i = 0; i < n; i++)
        if (lp_f32_bits(a[i]) != lp_f32_bits(b[i]) && !(isnan(a[i]) && isnan(b[i]))) different++;
    return different;
}

static void random_block(const lp_packing *packing, uint8_t *p, draw how)
{
    do {
        for (int i = 0; i < packing->n_bytes; i++) p[i] = (uint8_t)random_word();
        if (packing->n_bytes > 4 && random_below(8) == 0) memset(p, random_below(2) ? 0xff : 0, (size_t)packing->n_bytes - 4);
    } while (how != DRAW_SPECIAL && lp_packing_find_nonfinite(packing, p, packing->n_values) >= 0);
}

/* Codes that stand for a finite value. */
static void random_codes(const lp_element *element, uint8_t *row, size_t n_bytes, int64_t n)
{
    memset(row, 0, n_bytes);
    for (int64_t i = 0; i < n; i++) {
        uint32_t code;
        do code = (uint32_t)random_word() & ((1u << element->bits) - 1);
        while (!isfinite(lp_element_value(element, code)));
        for (int b = 0; b < element->bits; b++)
            row[(i * element->bits + b) / 8] |= (uint8_t)((code >> b & 1) << (i * element->bits + b) % 8);
    }
}

/* Planes of a format of our own: any bytes; unless it may be anything, finite ones. */
static void random_planes(const lp_packing *packing, const lp_planes *planes, uint8_t *data, int64_t rows, int64_t cols, draw how)
{
    for (size_t i = 0; i < planes->n_bytes; i++) data[i] = (uint8_t)random_word();
    for (int64_t r = 0; r < rows && how != DRAW_SPECIAL; r++) {
        lp_row row = lp_planes_row(planes, data, r);
        random_codes(&packing->format->element, data + (size_t)r * planes->row_bytes[0], planes->row_bytes[0], cols);
        for (int trial = 0; lp_row_find_nonfinite(packing, &row, cols) >= 0; trial++) {
            if (trial == 1000) abort();
            for (int i = 1; i < planes->n; i++) { /* scales and offsets: below 2 in f16, small in bf16 and f32 */
                size_t n = planes->row_bytes[i] ? planes->row_bytes[i] : planes->size[i];
                for (size_t b = 0; b < n; b++) data[planes->offset[i] + planes->row_bytes[i] * (size_t)r + b] = (uint8_t)random_word() & 0xbf;
            }
        }
    }
}

void make_weight(weight_box *box, const lp_packing *packing, int64_t rows, int64_t cols, draw how, bool with_tiles)
{
    lp_planes planes;
    lp_packing_planes(packing, cols, rows, &planes);
    size_t n = planes.n_bytes;
    uint8_t *data = guarded(n);
    if (packing->format) random_planes(packing, &planes, data, rows, cols, how);
    else for (size_t i = 0; i < n; i += (size_t)packing->n_bytes) random_block(packing, data + i, how);
    if (packing->is_float && how == DRAW_NORMAL)
        for (int64_t i = 0; i < rows * cols; i++) {
            float v = random_normal();
            uint16_t h = packing->gguf_id == 1 ? lp_f16_from_f32(v) : lp_bf16_from_f32(v);
            if (packing->n_bytes == 4) memcpy(data + 4 * i, &v, 4);
            else memcpy(data + 2 * i, &h, 2);
        }
    int64_t split = rows % 3 == 0 ? 3 : 1;
    box->tensor = (lp_tensor){.name = "w", .n_dims = 3, .dim = {cols, rows / split, split, 1}, .packing = packing, .data = data,
                             .n_bytes = n};
    box->weight = (lp_weight){&box->tensor, rows, cols, lp_packing_units(packing, cols), 0, NULL};
    if (!with_tiles) return;
    size_t tile_bytes = lp_weight_tile_bytes(packing, cols);
    int64_t tiles = (rows + LP_TILE_ROWS - 1) / LP_TILE_ROWS;
    uint8_t *packed = guarded(tile_bytes * (size_t)tiles);
    for (int64_t t = 0; t < tiles; t++) lp_weight_pack_tile(&box->tensor, t, packed + (size_t)t * tile_bytes);
    box->weight.tile_bytes = tile_bytes;
    box->weight.tiles = packed;
}

void *make_activations(int64_t cols, int64_t n, draw how)
{
    uint8_t *rows = guarded(lp_act_row_bytes(cols) * (size_t)n);
    float *x = malloc((size_t)cols * sizeof *x);
    if (!x) abort();
    for (int64_t m = 0; m < n; m++) {
        lp_act_row row = lp_act_row_at(rows, cols, m);
        fill_floats(x, cols, how == DRAW_SPECIAL && m % 3 ? DRAW_NORMAL : how);
        lp_kernels_of(LP_ISA_REF)->quantize_i8(x, cols, &row);
        if (how == DRAW_EXTREME && m % 2 == 0) /* the largest sums: all codes 127 or -127 */
            for (int64_t k = 0; k < cols; k++) row.code[k] = (int8_t)(m % 4 ? -127 : 127);
        if (how == DRAW_EXTREME)
            for (int64_t u = 0; u < cols / 16; u++) {
                row.sum16[u] = 0;
                for (int k = 0; k < 16; k++) row.sum16[u] += row.code[16 * u + k];
                row.h16[u] = (float)row.sum16[u] * row.scale[u / 2];
                if (u % 2) row.sum32[u / 2] = row.sum16[u - 1] + row.sum16[u];
                if (u % 2) row.h32[u / 2] = (float)row.sum32[u / 2] * row.scale[u / 2];
            }
    }
    free(x);
    return rows;
}
