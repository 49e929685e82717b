/* The table of sensitivities as it is built. */
#ifndef LP_ALLOCATE_TABLE_H
#define LP_ALLOCATE_TABLE_H

#include <lowp/allocate.h>

#include "base/arena.h"

lp_status lp_sensitivity_create(int64_t n_classes, lp_sensitivity **out);

/* Makes room for options; texts are copied. */
lp_status lp_sensitivity_set_class(lp_sensitivity *table, int64_t i, const char *name, size_t n_name, int most_options);
lp_status lp_sensitivity_add_option(lp_sensitivity *table, int64_t i, const char *format, size_t n_format, uint64_t n_bytes);

/* Index of the option, -1: absent. */
int lp_sensitivity_find_option(const lp_tensor_class *c, const char *format);

/* Takes the measured options of old into table where model, text and everything else that counts are the same. Errors:
 * LP_USAGE naming what differs. */
lp_status lp_sensitivity_adopt(lp_sensitivity *table, const lp_sensitivity *old, const char *path);

#endif
