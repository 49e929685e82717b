/* Normalization forms of Unicode: NFC, NFD, NFKC, NFKD. */
#ifndef LP_MODEL_TOKENIZER_UNICODE_FORMS_H
#define LP_MODEL_TOKENIZER_UNICODE_FORMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/tokenizer/unigram.h"

typedef enum lp_form { LP_NFC, LP_NFD, LP_NFKC, LP_NFKD, LP_FORM_COUNT } lp_form;

/* Tables of unicode_forms.c. */
typedef struct lp_decomposition {
    uint32_t from;
    uint16_t at; /* in lp_decomposed */
    uint8_t n;
} lp_decomposition;
typedef struct lp_composition {
    uint32_t first, second, composed;
} lp_composition;
extern const lp_decomposition lp_canonical[], lp_compatible[];
extern const lp_composition lp_composed[];
extern const size_t lp_n_canonical, lp_n_compatible, lp_n_composed;
extern const uint32_t lp_decomposed[];
extern const uint8_t lp_order_block[0x110000 / 256], lp_order_of[];

/* True if NFC leaves a text of well-formed UTF-8 as it is; false may be said of others too. */
bool lp_is_nfc(const uint8_t *text, size_t n);

/* Appends a form of a text of well-formed UTF-8. Time: linear. Errors: LP_RESOURCE. */
lp_status lp_normalize(lp_form form, const uint8_t *text, size_t n, lp_text_buffer *out);

#endif
