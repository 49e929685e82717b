/* Tokenizers: text to token ids and back. */
#ifndef LOWP_TOKENIZER_H
#define LOWP_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/gguf.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_tokenizer lp_tokenizer;

/* Built from the tokenizer.ggml.* keys; keeps its own copies. A file that states no pre-tokenizer ("default" states none)
 * gets that of GPT-2, which such vocabularies were trained with; llama.cpp takes a pattern of its own there, so its ids
 * differ. Of equal token texts the lowest id counts. Errors: LP_INPUT (keys missing or contradictory, naming the key),
 * LP_UNSUPPORTED (a model or pre-tokenizer that this build lacks, by name, with the list of known ones). */
LP_API lp_status lp_tokenizer_create(const lp_gguf *gguf, lp_tokenizer **out);
LP_API void lp_tokenizer_free(lp_tokenizer *tokenizer); /* NULL is allowed */

/* n bytes of text to ids. Any bytes: byte-level BPE makes each that is not part of well-formed UTF-8 one U+FFFD, overlong
 * forms and surrogates too; SentencePiece keeps them by its tokens of bytes. Where the vocabulary's tokenizer.json puts texts into
 * NFC (qwen2, olmo, mpt), so does this. A byte that the vocabulary lacks
 * becomes the unknown token. SentencePiece puts a space before text at the start and after a special token, if the file
 * asks for that; its runs of spaces stay, but Unigram's collapse where tokenizer.ggml.remove_extra_whitespaces says so. parse_special: texts of control tokens in
 * the input become those tokens; otherwise they stay text (user-defined tokens match always). add_special: put BOS
 * in front and EOS at the end, each if the file asks for it. *ids is from malloc, freed by the caller with free(); NULL if *n_ids is 0.
 * Errors: LP_RESOURCE; LP_USAGE if the text has more than 2^31 - 1 bytes; LP_INPUT for a byte that the vocabulary lacks
 * if it has no unknown token either. */
LP_API lp_status lp_tokenizer_encode(const lp_tokenizer *tokenizer, const char *text, size_t n, bool parse_special,
                                     bool add_special, int32_t **ids, size_t *n_ids);

/* Bytes that a token stands for in text, valid as long as the tokenizer; control tokens give their text only with
 * show_special, else nothing. An id out of range gives nothing. */
LP_API lp_string lp_tokenizer_bytes(const lp_tokenizer *tokenizer, int32_t id, bool show_special);

/* Text of n ids, as lp_tokenizer_bytes joined, without the space that encoding puts at the start of a text. *text is from
 * malloc, freed by the caller with free(); a zero byte follows its n bytes. Errors: LP_RESOURCE. */
LP_API lp_status lp_tokenizer_decode(const lp_tokenizer *tokenizer, const int32_t *ids, size_t n_ids, bool show_special,
                                     char **text, size_t *n);

/* Text of the token as it stands in the vocabulary. */
LP_API lp_string lp_tokenizer_token(const lp_tokenizer *tokenizer, int32_t id);

LP_API int32_t lp_tokenizer_size(const lp_tokenizer *tokenizer);
LP_API int32_t lp_tokenizer_bos(const lp_tokenizer *tokenizer); /* -1: none */
LP_API int32_t lp_tokenizer_eos(const lp_tokenizer *tokenizer); /* -1: none */
LP_API bool lp_tokenizer_adds_bos(const lp_tokenizer *tokenizer);
LP_API bool lp_tokenizer_adds_eos(const lp_tokenizer *tokenizer);
LP_API bool lp_tokenizer_ends_generation(const lp_tokenizer *tokenizer, int32_t id);

/* Same ids for the same text: equal vocabularies, merges and kinds. For compare. */
LP_API bool lp_tokenizer_equal(const lp_tokenizer *a, const lp_tokenizer *b);

/* Streaming: holds back an incomplete UTF-8 sequence (at most 3 bytes). */
typedef struct lp_utf8_stream {
    char held[4];
    int n_held;
} lp_utf8_stream;

/* Appends n bytes; writes to out (at least n + 3 bytes) those that can be shown now and returns their number. n = 0
 * flushes what is held. */
LP_API size_t lp_utf8_stream_push(lp_utf8_stream *stream, const char *bytes, size_t n, char *out);

#ifdef __cplusplus
}
#endif
#endif
