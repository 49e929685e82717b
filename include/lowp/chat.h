/* Chat templates: messages to the text, or the tokens, that a model was trained on. */
#ifndef LOWP_CHAT_H
#define LOWP_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>
#include <lowp/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_template lp_template;

typedef struct lp_chat_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* n_content bytes; what is no UTF-8 becomes U+FFFD */
    size_t n_content;
} lp_chat_message;

/* What a template sees. */
typedef struct lp_chat {
    const lp_chat_message *message;
    size_t n_messages;
    bool add_generation_prompt;  /* end with the beginning of the assistant's answer */
    lp_string bos_token, eos_token;
    const char *variables;       /* JSON object of further variables (tools, enable_thinking ...), or NULL; "messages" in
                                  * it replaces message[]. Depth at most 128. */
    size_t n_variables;          /* bytes */
    int64_t now;                 /* seconds since 1970, UTC, for strftime_now */
} lp_chat;

/* A run of the rendered text, all of one origin. */
typedef struct lp_chat_piece {
    size_t begin, end; /* bytes */
    bool input;        /* from messages or variables: texts of special tokens in it are text; else from the template */
    bool generated;    /* printed inside {% generation %}: what the assistant says, to train on it */
} lp_chat_piece;

typedef struct lp_rendering {
    char *text; /* n bytes, then NUL */
    size_t n;
    lp_chat_piece *piece; /* they cover the text in order */
    size_t n_pieces;
} lp_rendering;

/* Parses the language's subset that chat templates use; the text is not kept. A template is hostile input: source of at
 * most 256 KiB, 20,000 nodes, nesting of 128. Errors: LP_INPUT with line and column. */
LP_API lp_status lp_template_parse(const char *text, size_t n, lp_template **out);
LP_API void lp_template_free(lp_template *chat_template); /* NULL is allowed */

/* Renders. Bounded: 50 million units of work (16 a step, and 1 for every 16 bytes that it touches), macros nested 64
 * deep, 16 MiB of text, 64 MiB of memory; the error names the limit. Errors: LP_INPUT with line and column where the
 * template fails, or refuses by raise_exception; or the byte of `variables` that is no JSON. */
LP_API lp_status lp_template_render(const lp_template *chat_template, const lp_chat *chat, lp_rendering *out);
LP_API void lp_rendering_free(lp_rendering *rendering);

/* Renders and tokenises: special tokens only where the template wrote them. Exactly one BOS if the tokenizer adds one.
 * chat's bos_token and eos_token are taken from the tokenizer where they are empty. *ids as lp_tokenizer_encode. */
LP_API lp_status lp_chat_encode(const lp_tokenizer *tokenizer, const lp_template *chat_template, const lp_chat *chat,
                                int32_t **ids, size_t *n_ids);

#ifdef __cplusplus
}
#endif
#endif
