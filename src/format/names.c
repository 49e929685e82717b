/* The one table of named formats, and the nearest name to a misspelt one. */
#include <string.h>
#include <strings.h>

#include "format/text.h"

/* An element whose name is its text. */
#define ELEMENT(NAME, NOTE) {NAME, NAME, NOTE}

static const lp_format_row rows[] = {
    /* floats */
    ELEMENT("f32", "IEEE binary32"),
    ELEMENT("f16", "IEEE binary16"),
    ELEMENT("bf16", "bfloat16: the upper half of a binary32"),
    {"tf32", "e8m10", "NVIDIA's TensorFloat-32: range of f32, precision of f16"},
    ELEMENT("e4m3", "OFP8 E4M3: largest 448, one NaN per sign, no infinities"),
    ELEMENT("e5m2", "OFP8 E5M2: IEEE-like, largest 57344"),
    ELEMENT("e4m3fnuz", "FP8 of AMD and Graphcore: bias 8, largest 240, no -0"),
    ELEMENT("e5m2fnuz", "FP8 of AMD and Graphcore: bias 16, largest 57344, no -0"),
    ELEMENT("e3m4", "8-bit float for weights: IEEE-like, largest 15.5"),
    ELEMENT("e3m2", "OCP FP6: largest 28"),
    ELEMENT("e2m3", "OCP FP6: largest 7.5"),
    ELEMENT("e2m1", "OCP FP4: 0 0.5 1 1.5 2 3 4 6 and their negatives"),
    ELEMENT("e3m0", "4-bit powers of two with a zero: 0 0.25 0.5 ... 16 and their negatives"),
    ELEMENT("e8m0", "OCP scale: 2^(code - 127), 255 is NaN"),
    ELEMENT("ue4m3", "scale: E4M3 without sign, 7 bits"),
    ELEMENT("ue5m3", "scale: 5 exponent and 3 mantissa bits without sign"),
    /* tables */
    ELEMENT("nf4", "QLoRA's NormalFloat table, -1 .. 1"),
    ELEMENT("fp4", "bitsandbytes' FP4 table, -1 .. 1 (not E2M1)"),
    ELEMENT("af4", "AbnormalFloat table for blocks of 64, -1 .. 1"),
    ELEMENT("iq4nl", "llama.cpp's non-linear 4-bit table, -127 .. 113"),
    ELEMENT("e2m1uz", "E2M1 without -0: the table of GGUF's MXFP4 and NVFP4"),
    ELEMENT("dyn8", "bitsandbytes' 8-bit dynamic map, -0.993 .. 1: of scales under a second absmax"),
    ELEMENT("xrfp4", "XR-NPE's FP4 table: 0 0.25 0.375 0.5 ... 2 and their negatives (not E2M1)"),
    ELEMENT("bm3erp", "BitMoD, 3 bits: 0 1 2 4, their negatives and 3"),
    ELEMENT("bm3ern", "BitMoD, 3 bits: 0 1 2 4, their negatives and -3"),
    ELEMENT("bm3eap", "BitMoD, 3 bits: 0 1 2 4, their negatives and 6"),
    ELEMENT("bm3ean", "BitMoD, 3 bits: 0 1 2 4, their negatives and -6"),
    ELEMENT("bm4erp", "BitMoD, 4 bits: E2M1 doubled and 10"),
    ELEMENT("bm4ern", "BitMoD, 4 bits: E2M1 doubled and -10"),
    ELEMENT("bm4eap", "BitMoD, 4 bits: E2M1 doubled and 16"),
    ELEMENT("bm4ean", "BitMoD, 4 bits: E2M1 doubled and -16"),
    ELEMENT("an1", "1-bit adapters: medians of the halves of N(0, 1)"),
    ELEMENT("an2", "2-bit adapters: four codes of least absolute error for N(0, 1)"),
    ELEMENT("an3", "3-bit adapters: eight codes of least absolute error for N(0, 1)"),
    /* posits, powers of two, complex */
    ELEMENT("p4.1", "posit of 4 bits, 1 of them exponent"),
    ELEMENT("p8.0", "posit of 8 bits without exponent bits"),
    ELEMENT("p8.2", "posit of 8 bits, Posit Standard 2022"),
    ELEMENT("p16.1", "posit of 16 bits with 1 exponent bit"),
    ELEMENT("p16.2", "posit of 16 bits, Posit Standard 2022"),
    ELEMENT("s3", "zero-free powers of two (DenseShift): 1 2 4 8 and their negatives"),
    ELEMENT("s3z", "powers of two with zero (S3): 0 1 2 4 and their negatives"),
    ELEMENT("a4.500", "PowerQuant, 4 bits, exponent 1/2: squares with a sign, -1 .. 1"),
    ELEMENT("c2", "iFairy's complex weights: 1 i -1 -i"),
    /* integers */
    ELEMENT("t", "ternary: -1 0 1"),
    ELEMENT("b1", "binary: -1 1"),
    {"int8", "i8:row:f32", "symmetric 8-bit integers, one scale per row"},
    {"int4", "i4:128:f16", "symmetric 4-bit integers in groups of 128"},
    {"uint4", "u4:128:f16+zero", "4-bit integers with a zero point in groups of 128 (GPTQ, AWQ)"},
    {"bitmod3", "bm3erp|bm3ern|bm3eap|bm3ean:128:f16", "BitMoD, 3 bits: each group of 128 has one of four tables"},
    {"bitmod4", "bm4erp|bm4ern|bm4eap|bm4ean:128:f16", "BitMoD, 4 bits: each group of 128 has one of four tables"},
    /* microscaling */
    {"mxfp4", "e2m1:32:e8m0", "OCP MXFP4"},
    {"mxfp6_e2m3", "e2m3:32:e8m0", "OCP MXFP6 with E2M3"},
    {"mxfp6_e3m2", "e3m2:32:e8m0", "OCP MXFP6 with E3M2"},
    {"mxfp8_e4m3", "e4m3:32:e8m0", "OCP MXFP8 with E4M3"},
    {"mxfp8_e5m2", "e5m2:32:e8m0", "OCP MXFP8 with E5M2"},
    {"mxint8", "q1.6:32:e8m0", "OCP MXINT8: two's complement / 64"},
    {"nvfp4", "e2m1:16:e4m3:f32", "NVIDIA's NVFP4: E4M3 scales of 16 values under one f32 of the tensor"},
    {"nvint4", "i4:16:e4m3:f32", "NVFP4's scales over 4-bit integers"},
    /* bitsandbytes */
    {"bnb_nf4", "nf4:64:f32", "NF4 with absmax blocks of 64"},
    {"bnb_fp4", "fp4:64:f32", "bitsandbytes' FP4 with absmax blocks of 64"},
    /* GGUF */
    {"q4_0", "i4:32:f16@q4_0", "GGUF type 2"},
    {"q4_1", "u4:32:f16+min@q4_1", "GGUF type 3"},
    {"q5_0", "i5:32:f16@q5_0", "GGUF type 6"},
    {"q5_1", "u5:32:f16+min@q5_1", "GGUF type 7"},
    {"q8_0", "i8:32:f16@q8_0", "GGUF type 8"},
    {"q2_k", "u2:16:(u4:16:f16)-min(u4:16:f16)@q2_k", "GGUF type 10"},
    {"q3_k", "i3:16:(i6:16:f16)@q3_k", "GGUF type 11"},
    {"q4_k", "u4:32:(u6:8:f16)-min(u6:8:f16)@q4_k", "GGUF type 12"},
    {"q5_k", "u5:32:(u6:8:f16)-min(u6:8:f16)@q5_k", "GGUF type 13"},
    {"q6_k", "i6:16:(i8:16:f16)@q6_k", "GGUF type 14"},
    {"iq4_nl", "iq4nl:32:f16@iq4_nl", "GGUF type 20"},
    {"iq4_xs", "iq4nl:32:(i6:8:f16)@iq4_xs", "GGUF type 23"},
    {"tq1_0", "t:256:f16@tq1_0", "GGUF type 34: weights that are ternary already"},
    {"tq2_0", "t:256:f16@tq2_0", "GGUF type 35: weights that are ternary already"},
    {"q1_0", "b1:128:f16@q1_0", "GGUF type 41: signs only"},
    {"mxfp4@gguf", "e2m1uz:32:e8m0@mxfp4", "GGUF type 39: MXFP4 without -0"},
    {"nvfp4@gguf", "e2m1uz:16:ue4m3@nvfp4", "GGUF type 40: NVFP4 without the scale of the tensor"},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

int lp_format_row_count(void) { return N_ROWS; }

const lp_format_row *lp_format_row_at(int index) { return index >= 0 && index < N_ROWS ? &rows[index] : NULL; }

const lp_format_row *lp_format_row_find(const char *name)
{
    for (int i = 0; i < N_ROWS; i++)
        if (strcasecmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

/* ---- nearest names ----------------------------------------------------------------------------------------------- */

enum { MAX_NAME = 40 }; /* a longer word is near to no name */

static int smaller(int a, int b) { return a < b ? a : b; }

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment); of more than `most`, some
 * number above it: no way from two rows that are all beyond it leads back. */
static int distance(const char *a, size_t n_a, const char *b, size_t n_b, int most)
{
    int apart = n_a > n_b ? (int)(n_a - n_b) : (int)(n_b - n_a), least_above = 0;
    if (apart > most) return apart;
    int d[3][MAX_NAME + 1]; /* rows i-2, i-1, i, in turn */
    for (size_t j = 0; j <= n_b; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= n_a; i++) {
        int *row = d[i % 3], *above = d[(i + 2) % 3], *two_above = d[(i + 1) % 3];
        row[0] = (int)i;
        int least = row[0];
        for (size_t j = 1; j <= n_b; j++) {
            row[j] = smaller(above[j - 1] + (a[i - 1] != b[j - 1]), smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = smaller(row[j], two_above[j - 2] + 1);
            least = smaller(least, row[j]);
        }
        if (least > most && least_above > most) return most + 1;
        least_above = least;
    }
    return d[n_a % 3][n_b];
}

/* Nearest row to a word in lower case, among all or only those that are elements. A third of the word may be wrong; a
 * name that the word begins is nearer than any other. */
static const char *nearest(const char *word, size_t n, bool elements_only)
{
    if (n == 0 || n > MAX_NAME) return NULL;
    const char *best = NULL;
    int best_cost = 2 * smaller((int)n / 3 ? (int)n / 3 : 1, 3) + 1;
    for (int i = 0; i < N_ROWS; i++) {
        const char *name = rows[i].name;
        if (elements_only && name != rows[i].text && strcmp(name, rows[i].text) != 0) continue;
        size_t n_name = strlen(name);
        if (n_name > MAX_NAME || n_name < 2) continue;
        bool begins = n >= 3 && n_name > n && memcmp(name, word, n) == 0;
        int cost = begins ? 1 : 2 * distance(word, n, name, n_name, (best_cost - 1) / 2);
        if (cost < best_cost) {
            best_cost = cost;
            best = name;
        }
    }
    return best;
}

const char *lp_element_suggest(const char *word, size_t n) { return nearest(word, n, true); }

const char *lp_format_suggest(const char *text)
{
    char word[MAX_NAME + 1];
    size_t n = strnlen(text, MAX_NAME + 1);
    if (n > MAX_NAME) return NULL;
    for (size_t i = 0; i < n; i++) {
        char c = text[i] == '-' ? '_' : text[i];
        word[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return nearest(word, n, false);
}
