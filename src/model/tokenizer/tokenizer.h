/* A tokenizer in memory, and the arrays that it is built from. */
#ifndef LP_MODEL_TOKENIZER_H
#define LP_MODEL_TOKENIZER_H

#include <lowp/tokenizer.h>

#include "base/arena.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/special.h"
#include "model/tokenizer/spm.h"
#include "model/tokenizer/split.h"
#include "model/tokenizer/unigram.h"
#include "model/tokenizer/vocabulary.h"
#include "model/tokenizer/wordpiece.h"

/* tokenizer.ggml.token_type */
typedef enum lp_token_type {
    LP_TOKEN_UNDEFINED, LP_TOKEN_NORMAL, LP_TOKEN_UNKNOWN, LP_TOKEN_CONTROL, LP_TOKEN_USER_DEFINED, LP_TOKEN_UNUSED,
    LP_TOKEN_BYTE, LP_TOKEN_TYPE_COUNT
} lp_token_type;

/* tokenizer.ggml.model */
typedef enum lp_tokenizer_kind {
    LP_TOKENIZER_BPE, /* "gpt2": words, then merges of byte characters */
    LP_TOKENIZER_SPM, /* "llama": merges by score, spaces are U+2581 */
    LP_TOKENIZER_GEMMA4, /* "gemma4": the same by a list of merges; runs of newlines are words */
    LP_TOKENIZER_UNIGRAM, /* "t5": the best sum of scores, spaces are U+2581 */
    LP_TOKENIZER_WORDPIECE, /* "bert": words, then the longest pieces */
    LP_TOKENIZER_KIND_COUNT
} lp_tokenizer_kind;

struct lp_tokenizer {
    lp_arena arena;
    lp_tokenizer_kind kind;
    lp_vocabulary vocabulary;
    lp_string *bytes;      /* [n] what each token stands for */
    uint8_t *type;         /* [n] lp_token_type */
    bool *ends_generation; /* [n] */
    const lp_split *split; /* BPE */
    lp_merges merges;      /* BPE, GEMMA4, and SPM if it has any */
    lp_spm spm;            /* SPM, GEMMA4 */
    lp_unigram unigram;
    lp_wordpiece wordpiece;
    bool words_end;        /* SPM, GEMMA4, UNIGRAM: words are encoded one by one */
    int32_t byte_id[256];  /* token of each byte; -1: none */
    size_t max_token;      /* bytes of the longest token's text */
    int32_t bos, eos, unknown; /* -1: none */
    bool adds_bos, adds_eos;
    bool adds_space;         /* a space before text at the start and after a special token; decoding drops it */
    bool space_once;         /* only at the start */
    bool space_unless;       /* not before text that begins with one */
    const uint8_t *flags;    /* [n] lp_token_flag of special tokens; NULL: none has any */
    lp_special special;      /* control, unknown and user-defined texts */
    lp_special user_defined; /* those that match in any text */
};

/* How a special token is found in a text, beyond its own text. */
typedef enum lp_token_flag {
    LP_TOKEN_LSTRIP = 1,      /* white space in front goes with it */
    LP_TOKEN_RSTRIP = 2,      /* white space behind goes with it */
    LP_TOKEN_SINGLE_WORD = 4, /* no letter, number or underscore stands beside it */
    LP_TOKEN_RSTRIP_ASCII = 8 /* the same of ASCII's white space */
} lp_token_flag;

/* Special tokens that a file may name by key; -1: not named. */
typedef enum lp_named_token {
    LP_NAMED_BOS, LP_NAMED_EOS, LP_NAMED_EOT, LP_NAMED_EOM, LP_NAMED_UNKNOWN, LP_NAMED_FIM_PAD, LP_NAMED_FIM_REP,
    LP_NAMED_FIM_SEP, LP_NAMED_SEPARATOR, LP_NAMED_COUNT
} lp_named_token;

/* Everything that a file says. The strings are copied by lp_tokenizer_create_from. */
typedef struct lp_tokenizer_source {
    const char *name;        /* for messages */
    lp_string model;         /* "gpt2", "llama", "gemma4", "t5", "bert" */
    lp_string pre;           /* empty or "default": not stated, gpt-2 is taken */
    const lp_string *tokens; /* [n_tokens]; of gpt2, byte characters */
    int32_t n_tokens;
    const int32_t *types;    /* [n_tokens]; NULL: all normal */
    const float *scores;     /* [n_tokens] of llama and t5 */
    const lp_string *merges; /* [n_merges] of gpt2 and gemma4, and of llama with by_merges: "left right", by rank */
    size_t n_merges;
    int32_t named[LP_NAMED_COUNT];
    int adds_bos;            /* 0, 1; -1: as the pre-tokenizer's family does */
    bool adds_eos;
    bool keeps_case, keeps_accents; /* bert */
    bool special_take_space; /* most special tokens take white space behind them along */
    int adds_space;          /* 0, 1; -1: llama does */
    bool by_merges;          /* llama: these decide, not the scores */
    bool space_once, space_unless; /* as in lp_tokenizer */
    bool collapses_spaces;   /* t5 */
    bool keeps_last_space, strips_end, all_white_space; /* t5 */
    uint32_t most_characters; /* bert: of a word; 0: any number */
    const uint8_t *charsmap; /* [n_charsmap] t5 */
    size_t n_charsmap;
    const uint8_t *flags;    /* [n_tokens] lp_token_flag; NULL: none */
} lp_tokenizer_source;

/* Keys of lowp's own, for what tokenizer.json says and GGUF's keys cannot: true where they hold. Other programs do not know them. */
#define LP_KEY_BY_MERGES "lowp.tokenizer.by_merges"       /* llama: tokenizer.ggml.merges decides, not the scores */
#define LP_KEY_SPACE_ONCE "lowp.tokenizer.space_once"     /* add_space_prefix: at the start of a text only */
#define LP_KEY_SPACE_UNLESS "lowp.tokenizer.space_unless" /* add_space_prefix: not before text that begins with a space */

#define LP_KEY_SPACE_LAST "lowp.tokenizer.space_last"     /* remove_extra_whitespaces: one at the end stays */
#define LP_KEY_STRIPS "lowp.tokenizer.strip_right"        /* remove_extra_whitespaces: any white space at the end goes away */
#define LP_KEY_WHITE_SPACE "lowp.tokenizer.white_space"   /* t5: every character of white space is a space */
#define LP_KEY_MOST_CHARACTERS "lowp.tokenizer.max_input_chars_per_word" /* bert: a number */

/* Arrays of the ids that have a flag. */
typedef struct lp_token_flag_key {
    const char *key;
    lp_token_flag flag;
} lp_token_flag_key;
enum { LP_TOKEN_FLAG_KEYS = 3 };
extern const lp_token_flag_key lp_token_flag_keys[LP_TOKEN_FLAG_KEYS];

/* Key of a named token, "tokenizer.ggml.bos_token_id" ... */
const char *lp_named_token_key(lp_named_token which);

/* Kind of tokenizer.ggml.model. Errors: LP_UNSUPPORTED, with the known ones. */
lp_status lp_tokenizer_find_kind(const char *name, lp_string model, lp_tokenizer_kind *kind);

/* Whether tokenizer.ggml.scores belongs to a kind. */
bool lp_tokenizer_kind_has_scores(lp_tokenizer_kind kind);

/* Errors as lp_tokenizer_create. */
lp_status lp_tokenizer_create_from(const lp_tokenizer_source *source, lp_tokenizer **out);

#endif
