/* Number formats: what codes mean, one text form, and the byte layouts (packings) that files use. */
#ifndef LOWP_FORMAT_H
#define LOWP_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- byte layouts ------------------------------------------------------------------------------------------------ */

typedef struct lp_format lp_format;

/* How the values of a tensor are stored: blocks with a GGUF type id, or the planes of a format of our own. Decoding is
 * defined by these bytes alone; how codes were chosen is the quantizer's business. */
typedef struct lp_packing {
    const char *name;   /* "q4_k": the name in lowp, in files and after @ in a format text */
    const char *text;   /* the format text that it stores: "u4:32:(u6:8:f16)-min(u6:8:f16)@q4_k"; "" if only its size in
                         * bytes is known here */
    uint32_t gguf_id;   /* type id in a GGUF directory */
    int32_t file_type;  /* general.file_type of a file whose matrices have this type, -1 if there is none */
    int n_values;       /* values per block; a row is a multiple of it */
    int n_bytes;        /* bytes per block */
    bool is_float;      /* F32, F16, BF16: values are stored one by one without a scale */
    bool can_decode;    /* lp_packing_decode works (integer types such as I8 only describe bytes) */
    bool can_encode;    /* `quantize --format name` works */
    const lp_format *format; /* of our own: the format whose planes it is; name and text are its text, gguf_id is that of
                         * I8, n_values 1, n_bytes 0. NULL: a row of the table of GGUF types */
} lp_packing;

LP_API const lp_packing *lp_packing_by_id(uint32_t gguf_id);  /* NULL: unknown or removed */
LP_API const lp_packing *lp_packing_by_name(const char *name); /* "q4_k" or "q4_k@gguf"; case is ignored; NULL: unknown */
LP_API int lp_packing_count(void);
LP_API const lp_packing *lp_packing_at(int index); /* 0 .. count-1, in order of id */

/* The three functions below are for blocks (format NULL), whose rows lie one after the other; lp_tensor_* reads both. */

/* Bytes of a row of n values; 0 if n is negative, no multiple of the block, or the size exceeds PTRDIFF_MAX. */
LP_API size_t lp_packing_row_bytes(const lp_packing *packing, int64_t n);

/* Decodes n values (a multiple of n_values) from src to dst (float32), products left to right, every step rounded.
 * Needs can_decode. Never fails: every byte pattern has a value, possibly NaN or infinite. */
LP_API void lp_packing_decode(const lp_packing *packing, const void *src, int64_t n, float *dst);

/* Index of the first block of n values whose scale or float value is not finite, or -1. For verify and loaders. */
LP_API int64_t lp_packing_find_nonfinite(const lp_packing *packing, const void *src, int64_t n);

/* The packing of our own for a format without '@': elements of at most 8 bits, a scale per block of a row. Its planes -
 * codes, scales (recursively), the tensor's scale, offsets (recursively) - follow each other, each beginning at a multiple
 * of 64 bytes; within a plane every row begins at a byte, its code i in bits [i*bits, (i+1)*bits) of a little-endian
 * string. The format is copied. Errors: LP_UNSUPPORTED naming what cannot be stored; LP_RESOURCE. */
LP_API lp_status lp_packing_create(const lp_format *format, const lp_packing **out);
LP_API void lp_packing_free(const lp_packing *packing); /* NULL and rows of the table are allowed */
LP_API bool lp_packing_equal(const lp_packing *a, const lp_packing *b); /* the same bytes mean the same values */

/* Bytes of a tensor of n_rows rows of n values; false where they have no such rows, or the size exceeds PTRDIFF_MAX. */
LP_API bool lp_packing_tensor_bytes(const lp_packing *packing, int64_t n, int64_t n_rows, uint64_t *n_bytes);

/* ---- formats as data --------------------------------------------------------------------------------------------- */

typedef enum lp_element_kind {
    LP_ELEMENT_INT,     /* u4 i8: two's complement or unsigned; t: -1 0 1 */
    LP_ELEMENT_BIPOLAR, /* b3: the odd integers 2q - (2^bits - 1) */
    LP_ELEMENT_FLOAT,   /* f32 f16 bf16 e4m3 ...: sign, exponent, mantissa, a rule for special values */
    LP_ELEMENT_TABLE,   /* a listed value for each code: nf4, iq4nl */
    LP_ELEMENT_FIXED,   /* q1.6: two's complement with a binary point: 1 sign, 1 integer and 6 fraction bits (MXINT8);
                         * i8f12 u8f-3: 8 bits, the binary point anywhere: q * 2^-12, q * 2^3 */
    LP_ELEMENT_POSIT,   /* p16.1: a posit of 16 bits with 1 exponent bit; 10...0 is NaR */
    LP_ELEMENT_POWER,   /* s3: +-2^k, k = 0 .. 2^(bits-1) - 1; s3z: 0 and +-2^k, one power less. Sign in the top bit */
    LP_ELEMENT_EXPONENT, /* a4.550: sign(q) (|q| / Q)^(1/a) for integers |q| <= Q = 2^(bits-1) - 1, a = 0.550 (PowerQuant);
                          * rounding is that of Q |x|^a to integers */
    LP_ELEMENT_COMPLEX  /* c2: 1 i -1 -i by code, that is quarter turns */
} lp_element_kind;

/* Which of two values a midpoint between them goes to when rounding to the nearest. */
typedef enum lp_tie {
    LP_TIE_EVEN_CODE,
    LP_TIE_LOWER,
    LP_TIE_UPPER,
    LP_TIE_SMALLER /* of smaller magnitude */
} lp_tie;

typedef enum lp_specials {
    LP_SPECIALS_IEEE, /* top exponent: infinities and NaN */
    LP_SPECIALS_FN,   /* no infinities; only all ones is NaN */
    LP_SPECIALS_FNUZ, /* no infinities, no -0; its code is NaN */
    LP_SPECIALS_NONE  /* every code is finite */
} lp_specials;

typedef struct lp_element {
    lp_element_kind kind;
    int bits;              /* width of a code, 1 .. 32 */
    int n_levels;          /* codes in use: 2^bits (INT32_MAX where that is more), or fewer (ternary: 3) */
    bool is_signed;        /* INT and FLOAT (an unsigned FLOAT without mantissa, e8m0, has no zero: 2^(code - bias)) */
    int exponent, mantissa; /* FLOAT: field widths; POSIT: exponent is es */
    int bias;              /* FLOAT: exponent bias */
    lp_specials specials;  /* FLOAT */
    const float *table;    /* TABLE: n_levels values by code, static; NULL: written out, own_table has them */
    const char *table_name; /* TABLE; NULL: written out */
    float own_table[32];
    int fraction;          /* FIXED: bits after the point; negative: zeros before it. EXPONENT: 1000 a */
    lp_tie tie;            /* of nearest-even rounding */
} lp_element;

typedef enum lp_offset {
    LP_OFFSET_NONE,
    LP_OFFSET_PLUS,  /* value = scale * element + offset */
    LP_OFFSET_MINUS, /* value = scale * element - offset */
    LP_OFFSET_ZERO   /* value = scale * (element - offset) */
} lp_offset;

enum { LP_MAX_ALTERNATIVES = 3 };
struct lp_format {
    lp_element element;
    lp_element alternative[LP_MAX_ALTERNATIVES]; /* each block has one of these elements or the one before, all of one
                                                  * width; which, is a selector of 1 or 2 bits per block (BitMoD) */
    int n_alternatives;
    int block[2];      /* values per scale along the last axis, and rows per scale (1); 0: all of the axis */
    lp_format *scale;  /* NULL: no scale. Of a plane with one value per block; nests at most 3 deep */
    lp_format *tensor_scale; /* second level: one scale for the tensor (nvfp4), or NULL */
    lp_offset offset;
    lp_format *zero;   /* format of the offset, or NULL */
    const lp_packing *packing; /* byte layout after '@', or NULL: canonical */
};

/* Parses a format text; a name stands for its text; case is ignored; at most 255 characters.
 *
 *   format  = elements [":" block ":" scale [":" float] [offset]]    and at the end of the whole text ["@" packing]
 *   elements = element, or in the values of a format with blocks 2 to 4 of one width between "|": each block chooses
 *   element = u1..u16 i2..i16 b1..b8 t, fixed point: qI.F or iNfF uNfF (N bits, F of them after the point, F from -99 to
 *             99), [u]eXmY[ieee|fn|fnuz|none][bBIAS] f32 f16 bf16 e8m0, posits: pN.ES, powers of two: s1..s8 s2z..s8z, c2,
 *             power exponents: a2.100..a8.999,
 *             or a table: nf4 fp4 af4 iq4nl e2m1uz ... (lp_format_row_at lists them)
 *             or written out, 2 to 32 values by code: {-7,-3,-1,0,1,3,7}
 *   block   = values per scale along a row: "32"; rows x values: "16x16", "allx1"; "row" = 1xall; "tensor" = allxall
 *   scale   = element | "(" format ")"                                              at most three scales deep
 *   offset  = "+min" | "-min" | "+zero", then "(" format ")" unless it is the scale's (min) or the element's (zero)
 *
 * The float after the scale is one more scale for the whole tensor. Without a suffix e4m3 is fn, other floats of 8 bits
 * or more are ieee, smaller ones have no specials; unsigned ones are fn from 7 bits on. A packing must store just the
 * format before it. *out is freed by lp_format_free. Errors: LP_USAGE; the text points at the character, and suggests
 * the nearest name for an unknown word. */
LP_API lp_status lp_format_parse(const char *text, lp_format **out);
LP_API void lp_format_free(lp_format *format); /* NULL is allowed */

/* Prints the canonical text (parse(print(f)) equals f), or the name where the format has one. Always NUL-terminated
 * when n > 0; returns the length that was needed, as snprintf. */
LP_API size_t lp_format_print(const lp_format *format, char *buffer, size_t n);

LP_API bool lp_format_equal(const lp_format *a, const lp_format *b);

/* Bits per value with scales and offsets spread over their blocks; a scale per tensor or row counts 0. With a packing:
 * those of its blocks. */
LP_API double lp_format_bits(const lp_format *format);

/* Value of a code of an element (codes 0 .. 2^bits - 1); NaN for a code that is not in use. Of a complex value the real
 * part; the other function has the imaginary part, 0 for all real elements. */
LP_API double lp_element_value(const lp_element *element, uint32_t code);
LP_API double lp_element_imaginary(const lp_element *element, uint32_t code);

/* The named formats: every row of the one table. */
typedef struct lp_format_row {
    const char *name; /* "mxfp4" */
    const char *text; /* "e2m1:32:e8m0" */
    const char *note; /* one line: what it is, where it comes from */
} lp_format_row;
LP_API int lp_format_row_count(void);
LP_API const lp_format_row *lp_format_row_at(int index);
LP_API const lp_format_row *lp_format_row_find(const char *name); /* case is ignored; NULL: unknown */

/* The nearest named format to a misspelt one, or NULL if none is near. */
LP_API const char *lp_format_suggest(const char *text);

#ifdef __cplusplus
}
#endif
#endif
