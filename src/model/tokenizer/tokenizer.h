/* A tokenizer in memory, and the arrays that it is built from. */
#ifndef LP_MODEL_TOKENIZER_H
#define LP_MODEL_TOKENIZER_H

#include <lowp/tokenizer.h>

#include "base/arena.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/special.h"
#include "model/tokenizer/split.h"
#include "model/tokenizer/vocabulary.h"

/* tokenizer.ggml.token_type */
typedef enum lp_token_type {
    LP_TOKEN_UNDEFINED, LP_TOKEN_NORMAL, LP_TOKEN_UNKNOWN, LP_TOKEN_CONTROL, LP_TOKEN_USER_DEFINED, LP_TOKEN_UNUSED,
    LP_TOKEN_BYTE, LP_TOKEN_TYPE_COUNT
} lp_token_type;

struct lp_tokenizer {
    lp_arena arena;
    lp_vocabulary vocabulary;
    lp_string *bytes;      /* [n] what each token stands for */
    uint8_t *type;         /* [n] lp_token_type */
    bool *ends_generation; /* [n] */
    const lp_split *split;
    lp_merges merges;
    int32_t byte_id[256];  /* token of each byte; -1: none */
    size_t max_token;      /* bytes of the longest token's text */
    int32_t bos, eos, unknown; /* -1: none */
    bool adds_bos;
    lp_special special;      /* control, unknown and user-defined texts */
    lp_special user_defined; /* those that match in any text */
};

/* Special tokens that a file may name by key; -1: not named. */
typedef enum lp_named_token {
    LP_NAMED_BOS, LP_NAMED_EOS, LP_NAMED_EOT, LP_NAMED_EOM, LP_NAMED_UNKNOWN, LP_NAMED_FIM_PAD, LP_NAMED_FIM_REP,
    LP_NAMED_FIM_SEP, LP_NAMED_COUNT
} lp_named_token;

/* Everything that a file says. The strings are copied by lp_tokenizer_create_from. */
typedef struct lp_tokenizer_source {
    const char *name;        /* for messages */
    lp_string model;         /* "gpt2" */
    lp_string pre;           /* empty or "default": not stated, gpt-2 is taken */
    const lp_string *tokens; /* [n_tokens], byte characters */
    int32_t n_tokens;
    const int32_t *types;    /* [n_tokens]; NULL: all normal */
    const lp_string *merges; /* [n_merges] "left right", by rank */
    size_t n_merges;
    int32_t named[LP_NAMED_COUNT];
    int adds_bos;            /* 0, 1; -1: as the pre-tokenizer's family does */
} lp_tokenizer_source;

/* Key of a named token, "tokenizer.ggml.bos_token_id" ... */
const char *lp_named_token_key(lp_named_token which);

/* LP_UNSUPPORTED unless this build knows tokenizers of this kind. */
lp_status lp_tokenizer_check_model(const char *name, lp_string model);

/* Errors as lp_tokenizer_create. */
lp_status lp_tokenizer_create_from(const lp_tokenizer_source *source, lp_tokenizer **out);

#endif
