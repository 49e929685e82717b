/* The model and the texts inside the program. */
#ifndef LP_MODEL_EMBEDDED_H
#define LP_MODEL_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t lp_embedded_model[];
size_t lp_embedded_model_size(void);

#endif
