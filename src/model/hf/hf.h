/* Hugging Face folders: what their names, config.json and tokenizer.json mean in GGUF's terms. Card: runtime/architectures. */
#ifndef LP_MODEL_HF_H
#define LP_MODEL_HF_H

#include <stdbool.h>
#include <stdio.h>

#include <lowp/gguf.h>

#include "base/arena.h"
#include "file/json.h"
#include "file/safetensors.h"

typedef enum lp_hf_rows { LP_HF_ROWS_KEPT, LP_HF_ROWS_Q, LP_HF_ROWS_K } lp_hf_rows;

/* What an architecture's tensors and config.json have. A row of names or of keys belongs to those that have all it asks for. */
enum {
    LP_HF_PRE_NORMS = 1 << 0,
    LP_HF_POST_NORMS = 1 << 1,      /* after the branches; there post_attention_layernorm is one of them */
    LP_HF_FFN_NORM = 1 << 2,        /* post_attention_layernorm stands before the feed-forward part */
    LP_HF_GEMMA = 1 << 3,           /* norms hold w of 1 + w; a score scale of its own */
    LP_HF_LAYER_NORMS = 1 << 4,     /* with biases */
    LP_HF_SPLIT = 1 << 5,           /* q, k and v apart */
    LP_HF_FUSED = 1 << 6,           /* q, k, v in one, gate and up in one */
    LP_HF_QKV_BIAS = 1 << 7,
    LP_HF_BIAS = 1 << 8,            /* of the other matrices */
    LP_HF_QK_NORMS = 1 << 9,
    LP_HF_OWN_NORMS = 1 << 10,      /* a norm for each head of q and k */
    LP_HF_GATED = 1 << 11,
    LP_HF_NO_GATE = 1 << 12,
    LP_HF_MIXTRAL = 1 << 13,        /* experts, by Mixtral's names */
    LP_HF_EXPERTS = 1 << 14,        /* experts, by Qwen's names */
    LP_HF_RMS = 1 << 15,            /* rms_norm_eps */
    LP_HF_LAYER_NORM_EPS = 1 << 16, /* layer_norm_eps */
    LP_HF_NORM_EPSILON = 1 << 17,   /* norm_epsilon */
    LP_HF_SCALES = 1 << 18,         /* granite's four factors */
    LP_HF_CAPS = 1 << 19,           /* both soft caps */
    LP_HF_FINAL_CAP = 1 << 20,      /* that of the logits only */
    LP_HF_LOCAL_BASE = 1 << 21,     /* rope_local_base_freq */
    LP_HF_LONG_ROPE = 1 << 22,      /* two lists of factors; the original context stands beside them */
    LP_HF_BIAS_FLAGS = 1 << 23,     /* attention_bias, mlp_bias */
    LP_HF_STABLELM = 1 << 24,
    LP_HF_SHARED = 1 << 25,         /* an expert that every token has */
    LP_HF_STACKED = 1 << 26         /* of a file: its experts in one tensor each, gate and up together */
};

/* Which layers have the window of sliding_window. */
typedef enum lp_hf_windows {
    LP_HF_WINDOWS_NONE,    /* the key is not read */
    LP_HF_WINDOWS_ALL,
    LP_HF_WINDOWS_LATE,    /* with use_sliding_window, those from max_window_layers on */
    LP_HF_WINDOWS_PATTERN  /* layer_types, else the builder's period */
} lp_hf_windows;

enum {
    LP_HF_NORM = 1, /* an RMS weight: gemma's are shifted by one */
    LP_HF_WIDE = 2, /* F32 in GGUF though a matrix */
    LP_HF_ROW = 4,  /* a matrix of one row there, a vector here */
    LP_HF_MAX_NAMES = 64
};

/* A tensor's two names; in a layer, behind "model.layers.N." and "blk.N.". A star stands for the number of a part: the
 * parts, experts or heads, follow each other in one tensor of GGUF. */
typedef struct lp_hf_name {
    const char *hf, *gguf;
    uint32_t of;     /* LP_HF_* that an architecture must have */
    bool in_layer;
    lp_hf_rows rows; /* whose heads: rows are permuted, or parts counted */
    unsigned flags;
} lp_hf_name;

/* An architecture of config.json. */
typedef struct lp_hf_architecture {
    const char *class_name; /* architectures[0] */
    const char *model_type; /* model_type */
    const char *gguf;       /* general.architecture */
    uint32_t has;           /* LP_HF_* */
    const char *activation;
    /* Defaults of config.json: */
    int64_t head_size;      /* head_dim; 0: hidden_size / num_attention_heads */
    double base;            /* rope_theta; 0: 10000 */
    double rotated;         /* partial_rotary_factor; 0: there is no such key */
    bool tied;              /* tie_word_embeddings */
    lp_hf_windows windows;
    bool with_experts, with_windows; /* only files with these become it */
} lp_hf_architecture;

/* By class name or model type. Errors: LP_UNSUPPORTED with the list. */
lp_status lp_hf_find_architecture(const char *file, const lp_json *config, const lp_hf_architecture **out);
/* By general.architecture and what else tells; NULL: none. */
const lp_hf_architecture *lp_hf_architecture_of_gguf(lp_string name, bool has_experts, bool has_windows);

/* The row of a name in an architecture that has those LP_HF_*, its layer and part (-1: none); NULL: unknown. */
const lp_hf_name *lp_hf_find_name(uint32_t has, lp_string name, bool is_gguf, int64_t *layer, int64_t *part);
/* The row's number, below LP_HF_MAX_NAMES. */
int lp_hf_name_place(const lp_hf_name *name);
/* The name in one of the worlds. */
void lp_hf_make_name(const lp_hf_name *name, int64_t layer, int64_t part, bool is_gguf, char *out, size_t n_out);
static inline bool lp_hf_has_parts(const lp_hf_name *name)
{
    for (const char *p = name->hf; *p; p++)
        if (*p == '*') return true;
    return false;
}

/* Moves rows between the two orders: row h d + half d/2 + i of Hugging Face is row h d + 2 i + half of GGUF. */
void lp_hf_permute(const uint8_t *src, uint8_t *dst, int64_t n_heads, int64_t head_size, size_t row_bytes, bool to_gguf);

/* Gemma's norms: w there, fl(1 + w) here. What fl(s - 1) does not give back stands in a key of this prefix before the tensor's
 * name: pairs of an index and the bits of w. */
#define LP_HF_REST "lowp.convert.rest."
static inline float lp_hf_shift(float w) { return 1 + w; }
static inline float lp_hf_unshift(float s) { return s - 1; }

/* A JSON file of a folder, mapped while it is read. */
typedef struct lp_hf_file {
    char *path;
    lp_map map;
    lp_json_document json;
} lp_hf_file;

/* required: LP_INPUT if it is absent, else json.node stays NULL. The whole must be an object. */
lp_status lp_hf_file_open(const char *folder, const char *name, bool required, lp_hf_file *out);
void lp_hf_file_close(lp_hf_file *file);

/* Divisors of RoPE's frequencies, a tensor in GGUF and in config.json a list or what one is computed from. */
typedef struct lp_hf_factors {
    const char *name;
    float *value; /* [n] from the arena */
    int64_t n;
} lp_hf_factors;

/* Shapes that the tensors need. */
typedef struct lp_hf_shape {
    int64_t n_layer, n_embd, n_head, n_head_kv, head_size, n_vocab, n_context, n_experts;
    int64_t n_rotated;
    bool tied;     /* the head is the embedding */
    bool untied;   /* config.json says that it is not */
    lp_hf_factors factors[2];
    int n_factors;
} lp_hf_shape;

/* config.json to keys. Errors: LP_INPUT, LP_UNSUPPORTED naming what is not understood. */
lp_status lp_hf_read_config(const lp_hf_file *config, const lp_hf_architecture *architecture, lp_gguf_writer *writer,
                            lp_arena *arena, lp_hf_shape *shape);

/* The parts of it in files of their own. */
lp_status lp_hf_read_rope(const lp_hf_file *config, const lp_hf_architecture *architecture, lp_gguf_writer *writer,
                          lp_arena *arena, lp_hf_shape *shape);
lp_status lp_hf_read_windows(const lp_hf_file *config, const lp_hf_architecture *architecture, lp_gguf_writer *writer,
                             lp_arena *arena, const lp_hf_shape *shape);

/* What those share. A member of an object: absent or null leaves *value as it is, unless required. */
static inline bool lp_hf_present(const lp_json *node) { return node && node->kind != LP_JSON_NULL; }
lp_status lp_hf_read_size(const lp_hf_file *file, const lp_json *object, const char *name, bool required, int64_t most, int64_t *value);
lp_status lp_hf_read_real(const lp_hf_file *file, const lp_json *object, const char *name, bool required, double *value);

/* "ARCHITECTURE.SUFFIX" in one of the buffers that a caller gives. */
typedef struct lp_hf_key {
    char text[128];
} lp_hf_key;
static inline const char *lp_hf_key_of(lp_hf_key *key, const lp_hf_architecture *architecture, const char *suffix)
{
    snprintf(key->text, sizeof key->text, "%s.%s", architecture->gguf, suffix);
    return key->text;
}

/* tokenizer.json and tokenizer_config.json to keys, with unused tokens up to n_vocab. warning: "" or a line. */
lp_status lp_hf_read_tokenizer(const lp_hf_file *tokenizer, const lp_hf_file *tokenizer_config, const lp_hf_file *config,
                               int64_t n_vocab, lp_gguf_writer *writer, lp_arena *arena, char *warning, size_t n_warning);

/* True for the keys whose text is kept in a folder as gguf.KEY of __metadata__: general.* but for what config.json holds. */
bool lp_hf_is_note(lp_string key);

/* The other way. The shape of a GGUF file: */
lp_status lp_hf_read_shape(const lp_gguf *gguf, const lp_hf_architecture *architecture, lp_hf_shape *shape);
lp_status lp_hf_write_config(const lp_gguf *gguf, const lp_hf_architecture *architecture, const lp_hf_shape *shape, const char *dtype,
                             lp_json_text *out);
lp_status lp_hf_write_rope(const lp_gguf *gguf, const lp_hf_architecture *architecture, const lp_hf_shape *shape, lp_json_text *out);
lp_status lp_hf_write_windows(const lp_gguf *gguf, const lp_hf_architecture *architecture, const lp_hf_shape *shape, lp_json_text *out);
/* The shortest decimal text that is this float. */
void lp_hf_put_real(lp_json_text *out, double value);
lp_status lp_hf_write_tokenizer(const lp_gguf *gguf, lp_json_text *tokenizer, lp_json_text *tokenizer_config);

/* The pre-tokenizers that both worlds know. */
typedef struct lp_hf_split {
    const char *pre;      /* tokenizer.ggml.pre */
    bool whole_word_first; /* ignore_merges */
    const char *regex;    /* of a Split before ByteLevel, or NULL */
    bool digits;          /* single digits are split off first */
    bool nfc;             /* behind the normalizer NFC */
} lp_hf_split;

extern const lp_hf_split lp_hf_splits[];
int lp_hf_split_count(void);

/* A folder as a GGUF file. Errors as above. What is in another order there, experts above all, is copied: above a bound into a
 * temporary file. */
lp_status lp_hf_open(const char *folder, lp_gguf **out);
lp_status lp_hf_open_within(const char *folder, size_t most_in_memory, lp_gguf **out);

/* True if path is a folder. */
bool lp_hf_is_folder(const char *path);

#endif
