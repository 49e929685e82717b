/* tokenizer.json on its way into keys: what its readers share. */
#ifndef LP_MODEL_HF_TOKENIZER_H
#define LP_MODEL_HF_TOKENIZER_H

#include "model/hf/hf.h"
#include "model/tokenizer/tokenizer.h"

typedef struct lp_hf_tokenizer {
    const lp_hf_file *file;                       /* tokenizer.json */
    const lp_hf_file *tokenizer_config, *config;  /* node NULL: the folder has none */
    const lp_json *model;
    lp_gguf_writer *writer;
    lp_arena *arena;
    int64_t n_vocab;    /* rows of the embedding */
    lp_string *text;    /* [n_vocab] data NULL: no token */
    int32_t *type;      /* [n_vocab] lp_token_type */
    uint8_t *flags;     /* [n_vocab] lp_token_flag */
    int64_t n;          /* highest id + 1 */
    char *warning;      /* [n_warning] "" or a line; the first stays */
    size_t n_warning;
} lp_hf_tokenizer;

static inline bool lp_hf_is_true(const lp_json *node) { return node && node->kind == LP_JSON_BOOL && node->n; }

/* LP_UNSUPPORTED naming a part of the file and its type. */
lp_status lp_hf_unknown(const lp_hf_file *file, const char *part, const lp_json *type, const char *known);

void lp_hf_warn(lp_hf_tokenizer *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A token of the model or an added one. Errors: LP_INPUT for an id out of range or taken. */
lp_status lp_hf_put_token(lp_hf_tokenizer *t, lp_string text, const lp_json *id, int32_t type);

/* model.vocab of BPE and WordPiece: an object of texts and ids. */
lp_status lp_hf_put_vocabulary(lp_hf_tokenizer *t);

/* Added tokens, then unused ones in all rows that are left; LP_INPUT if an id between has no token. normalizes: the file has a
 * normalizer, which added tokens with `normalized` would pass through. */
lp_status lp_hf_finish_vocabulary(lp_hf_tokenizer *t, bool normalizes);

/* Id of a text; -1: none. */
int64_t lp_hf_find_token(const lp_hf_tokenizer *t, const lp_json *text);

/* model.merges as "a b" into the arena. */
lp_status lp_hf_read_merges(lp_hf_tokenizer *t, lp_string **merges, size_t *n);

/* Where spaces come from and go to, in files with U+2581 for them. */
typedef struct lp_hf_spaces {
    bool escapes;         /* U+2581 for spaces */
    bool prefix, once, unless;
    bool collapses, keeps_last, strips, white_space;
    bool split;           /* every U+2581 begins a piece */
    const lp_json *charsmap; /* base64 */
} lp_hf_spaces;

/* From normalizer and pre_tokenizer. Errors: LP_UNSUPPORTED naming what is not understood. */
lp_status lp_hf_read_spaces(const lp_hf_tokenizer *t, lp_hf_spaces *spaces);

/* add_space_prefix and its relatives, with a warning where only lowp knows a key. Errors: LP_UNSUPPORTED where pieces would be cut
 * within a token. */
lp_status lp_hf_put_spaces(lp_hf_tokenizer *t, const lp_hf_spaces *spaces);

/* The kinds of model: vocabulary and own keys, with tokenizer.ggml.model. */
lp_status lp_hf_read_bpe(lp_hf_tokenizer *t);
lp_status lp_hf_read_unigram(lp_hf_tokenizer *t);
lp_status lp_hf_read_wordpiece(lp_hf_tokenizer *t);

#endif
