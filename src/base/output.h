/* Output files that appear whole or not at all. */
#ifndef LP_BASE_OUTPUT_H
#define LP_BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>

typedef struct lp_output lp_output;

/* Bytes go to `.NAME.lowp-tmp` beside the target (a symbolic link is resolved first); an old temporary file is reused.
 * Errors: LP_USAGE if the target exists and not force, or exists and is no regular file; LP_INPUT if the folder is
 * missing or cannot be written. */
lp_status lp_output_create(const char *path, bool force, lp_output **out);

/* LP_RESOURCE if the disk has not n bytes free. Call before the first write. */
lp_status lp_output_reserve(lp_output *output, uint64_t n_bytes);
lp_status lp_output_write(lp_output *output, const void *data, size_t n); /* buffered; EINTR and short writes handled */
uint64_t lp_output_size(const lp_output *output);

/* Flush, fsync, rename, fsync of the folder. Frees output in every case; on error nothing is left behind. sha256: 65
 * bytes, or NULL. */
lp_status lp_output_finish(lp_output *output, char *sha256);

/* Files that belong together: each is prepared (flush, fsync; nothing may be written to it afterwards), then all are renamed or,
 * where one rename fails, none: those done are taken back. Only a process that is killed between two renames, or a file
 * system that cannot exchange two names (RENAME_EXCHANGE) and fails there, leaves some new files beside old ones. */
/* beside: a prepared output of the same set, aborted or finished after this one, whose descriptor of the folder is shared; or NULL. On error
 * the output must still be aborted. */
lp_status lp_output_prepare(lp_output *output, const lp_output *beside);
lp_status lp_output_finish_all(lp_output **output, size_t n); /* frees all in every case, the first one last */
void lp_output_abort(lp_output *output); /* removes the temporary file; NULL is allowed */

#endif
