/* Hugging Face folders: what their names, config.json and tokenizer.json mean in GGUF's terms. Card: runtime/architectures. */
#ifndef LP_MODEL_HF_H
#define LP_MODEL_HF_H

#include <stdbool.h>

#include <lowp/gguf.h>

#include "base/arena.h"
#include "file/json.h"
#include "file/safetensors.h"

typedef enum lp_hf_rows { LP_HF_ROWS_KEPT, LP_HF_ROWS_Q, LP_HF_ROWS_K } lp_hf_rows;

/* A tensor's two names; in a layer, behind "model.layers.N." and "blk.N.". */
typedef struct lp_hf_name {
    const char *hf, *gguf;
    bool in_layer;
    lp_hf_rows rows; /* which heads' rows are permuted */
} lp_hf_name;

/* An architecture of config.json. */
typedef struct lp_hf_architecture {
    const char *class_name; /* architectures[0] */
    const char *model_type; /* model_type */
    const char *gguf;       /* general.architecture */
    const lp_hf_name *names; /* hf NULL at the end */
    bool permutes;          /* q and k rows: halves there, pairs here */
} lp_hf_architecture;

/* By class name or model type. Errors: LP_UNSUPPORTED with the list. */
lp_status lp_hf_find_architecture(const char *file, const lp_json *config, const lp_hf_architecture **out);
/* By general.architecture; the first row that has it. */
const lp_hf_architecture *lp_hf_architecture_of_gguf(lp_string name);

/* The row of a name, and its layer (-1: none); NULL: unknown. */
const lp_hf_name *lp_hf_find_name(const lp_hf_architecture *architecture, lp_string name, bool is_gguf, int64_t *layer);
/* The name in the other world. */
void lp_hf_make_name(const lp_hf_name *name, int64_t layer, bool is_gguf, char *out, size_t n_out);

/* Moves rows between the two orders: row h d + half d/2 + i of Hugging Face is row h d + 2 i + half of GGUF. */
void lp_hf_permute(const uint8_t *src, uint8_t *dst, int64_t n_heads, int64_t head_size, size_t row_bytes, bool to_gguf);

/* A JSON file of a folder, mapped while it is read. */
typedef struct lp_hf_file {
    char *path;
    lp_map map;
    lp_json_document json;
} lp_hf_file;

/* required: LP_INPUT if it is absent, else json.node stays NULL. The whole must be an object. */
lp_status lp_hf_file_open(const char *folder, const char *name, bool required, lp_hf_file *out);
void lp_hf_file_close(lp_hf_file *file);

/* Shapes that the tensors need. */
typedef struct lp_hf_shape {
    int64_t n_layer, n_head, n_head_kv, head_size, n_vocab;
    bool tied;
    float *rope_factors; /* [head_size / 2] from the arena, or NULL */
} lp_hf_shape;

/* config.json to keys. Errors: LP_INPUT, LP_UNSUPPORTED naming what is not understood. */
lp_status lp_hf_read_config(const lp_hf_file *config, const lp_hf_architecture *architecture, lp_gguf_writer *writer,
                            lp_arena *arena, lp_hf_shape *shape);

/* tokenizer.json and tokenizer_config.json to keys, with unused tokens up to n_vocab. warning: "" or a line. */
lp_status lp_hf_read_tokenizer(const lp_hf_file *tokenizer, const lp_hf_file *tokenizer_config, const lp_hf_file *config,
                               int64_t n_vocab, lp_gguf_writer *writer, lp_arena *arena, char *warning, size_t n_warning);

/* True for the keys whose text is kept in a folder as gguf.KEY of __metadata__: general.* but for what config.json holds. */
bool lp_hf_is_note(lp_string key);

/* The other way. */
lp_status lp_hf_write_config(const lp_gguf *gguf, const lp_hf_architecture *architecture, bool tied, const char *dtype,
                             lp_json_text *out);
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

/* A folder as a GGUF file. Errors as above. */
lp_status lp_hf_open(const char *folder, lp_gguf **out);

/* True if path is a folder. */
bool lp_hf_is_folder(const char *path);

#endif
