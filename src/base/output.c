/* Output files that appear whole or not at all.
 *
 * The temporary file belongs to the process that made it with O_EXCL and holds its flock. A stale one (of a process
 * that was killed) is not written over but locked, removed and made anew: what stands at that name may be a hard link
 * to something else, and a new file gets the right mode. */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/sha256.h"

enum { BUFFER = 1 << 20, MAX_LINKS = 40, MAX_ATTEMPTS = 100 };

struct lp_output {
    char *path;        /* as the caller named it: for the error texts */
    char *target;      /* links resolved */
    const char *name;  /* its last component */
    char *temporary;   /* `.NAME.lowp-tmp`, in the same folder */
    int folder, file;  /* descriptors; -1 */
    bool folder_syncs; /* opened for reading, so that fsync works */
    bool shares_folder; /* the descriptor is another output's */
    bool force, replaces, exists; /* may replace; there is something to replace; the temporary file exists */
    enum { UNMOVED, APPEARED, EXCHANGED, REPLACED } moved; /* by rename_to_target; EXCHANGED: the old file has the temporary name */
    mode_t mode;       /* of the file that is replaced */
    int write_error;   /* errno of the first failed write; nothing is written after it */
    uint64_t n_bytes;
    lp_sha256 hash;
    size_t n_buffered;
    uint8_t *buffer;   /* [BUFFER] */
};

static lp_status fail_memory(size_t n) { return lp_fail_memory(n, "an output file"); }

/* Frees the struct; removes the temporary file unless it was renamed. */
static void release(lp_output *output)
{
    if (output->exists) unlinkat(output->folder, output->temporary, 0);
    if (output->file >= 0) close(output->file); /* the lock goes last */
    if (output->folder >= 0 && !output->shares_folder) close(output->folder);
    free(output->path);
    free(output->target);
    free(output->temporary);
    free(output->buffer);
    free(output);
}

/* *target becomes what `link` at *target points to; a relative link starts from the folder of *target. */
static lp_status follow_link(const char *path, char **target)
{
    char link[PATH_MAX];
    ssize_t n = readlink(*target, link, sizeof link);
    if (n < 0) return lp_fail(LP_INPUT, "%s: the symbolic link cannot be read (%s)", path, strerror(errno));
    if ((size_t)n == sizeof link) return lp_fail(LP_INPUT, "%s: the symbolic link is too long", path);
    const char *slash = strrchr(*target, '/');
    size_t n_folder = link[0] != '/' && slash ? (size_t)(slash + 1 - *target) : 0;
    char *joined = malloc(n_folder + (size_t)n + 1);
    if (joined == NULL) return fail_memory(n_folder + (size_t)n + 1);
    memcpy(joined, *target, n_folder);
    memcpy(joined + n_folder, link, (size_t)n);
    joined[n_folder + (size_t)n] = 0;
    free(*target);
    *target = joined;
    return LP_OK;
}

/* output->target: path with the links at its end followed, also to a file that does not exist yet. */
static lp_status resolve(lp_output *output)
{
    for (int i = 0; i <= MAX_LINKS; i++) {
        struct stat s;
        if (lstat(output->target, &s) != 0 || !S_ISLNK(s.st_mode)) return LP_OK; /* openat will tell what is wrong */
        LP_TRY(follow_link(output->path, &output->target));
    }
    return lp_fail(LP_INPUT, "%s: more than %d symbolic links in a row", output->path, MAX_LINKS);
}

static lp_status open_folder(lp_output *output)
{
    char *slash = strrchr(output->target, '/');
    output->name = slash ? slash + 1 : output->target;
    if (output->name[0] == 0 || strcmp(output->name, ".") == 0 || strcmp(output->name, "..") == 0)
        return lp_fail(LP_USAGE, "%s: names no file", output->path);
    size_t n_folder = slash == NULL ? 0 : slash == output->target ? 1 : (size_t)(slash - output->target);
    char *folder = n_folder ? strndup(output->target, n_folder) : strdup(".");
    if (folder == NULL) return fail_memory(strlen(output->target) + 1);
    output->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    output->folder_syncs = output->folder >= 0;
    if (output->folder < 0 && errno == EACCES) output->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    lp_status status = LP_OK;
    if (output->folder < 0)
        status = lp_fail(LP_INPUT, "%s: the folder %s cannot be opened (%s)", output->path, folder, strerror(errno));
    free(folder);
    return status;
}

static lp_status fail_exists(const lp_output *output)
{
    return lp_hint(lp_fail(LP_USAGE, "%s: exists", output->path), "choose another name, or --force to replace it");
}

/* What stands at the target, if anything. */
static lp_status examine_target(lp_output *output)
{
    struct stat s;
    if (fstatat(output->folder, output->name, &s, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return LP_OK;
        return lp_fail(LP_INPUT, "%s: cannot be examined (%s)", output->path, strerror(errno));
    }
    if (!S_ISREG(s.st_mode)) return lp_fail(LP_USAGE, "%s: exists and is not a regular file", output->path);
    if (!output->force) return fail_exists(output);
    output->replaces = true;
    output->mode = s.st_mode & 0777;
    return LP_OK;
}

/* Whose file stands at the temporary name. */
typedef enum place { PLACE_OURS, PLACE_OTHERS, PLACE_UNKNOWN /* errno tells why */ } place;

static place examine_temporary(const lp_output *output, int file)
{
    struct stat by_file, by_name;
    if (fstat(file, &by_file) != 0) return PLACE_UNKNOWN;
    if (fstatat(output->folder, output->temporary, &by_name, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? PLACE_OTHERS : PLACE_UNKNOWN;
    return by_file.st_dev == by_name.st_dev && by_file.st_ino == by_name.st_ino ? PLACE_OURS : PLACE_OTHERS;
}

static lp_status fail_examine(const lp_output *output, int error)
{
    return lp_fail(LP_RESOURCE, "%s: %s cannot be examined (%s)", output->path, output->temporary, strerror(error));
}

/* 0, or the errno. A file system without locks is written without. */
static int lock(int file)
{
    int r;
    do r = flock(file, LOCK_EX | LOCK_NB);
    while (r != 0 && errno == EINTR);
    return r == 0 || errno == ENOSYS || errno == EOPNOTSUPP ? 0 : errno;
}

static lp_status fail_lock(const lp_output *output, int error)
{
    if (error == EWOULDBLOCK)
        return lp_hint(lp_fail(LP_USAGE, "%s: another process is writing it (%s is locked)", output->path,
                               output->temporary),
                       "wait for it, or choose another name");
    return lp_fail(LP_RESOURCE, "%s: %s cannot be locked (%s)", output->path, output->temporary, strerror(error));
}

/* Removes the temporary file of a process that is gone. LP_OK also if it vanished meanwhile. */
static lp_status remove_stale(const lp_output *output)
{
    int file = openat(output->folder, output->temporary, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) return LP_OK;
    struct stat s;
    lp_status status = LP_OK;
    if (file >= 0 && fstat(file, &s) != 0) {
        status = fail_examine(output, errno);
    } else if (file < 0 || !S_ISREG(s.st_mode)) {
        const char *why = file < 0 && errno != ELOOP ? strerror(errno) : "it is not a regular file";
        status = lp_hint(lp_fail(LP_USAGE, "%s: the temporary name %s beside it is taken (%s)", output->path,
                                 output->temporary, why),
                         "remove %s", output->temporary);
    } else {
        int error = lock(file);
        if (error) {
            status = fail_lock(output, error);
        } else if (examine_temporary(output, file) == PLACE_OURS && unlinkat(output->folder, output->temporary, 0) != 0) {
            status = lp_fail(LP_INPUT, "%s: the old temporary file %s cannot be removed (%s)", output->path,
                             output->temporary, strerror(errno));
        }
    }
    if (file >= 0) close(file);
    return status;
}

static lp_status fail_create(const lp_output *output, int error)
{
    bool is_resource = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE || error == ENOMEM;
    return lp_fail(is_resource ? LP_RESOURCE : LP_INPUT, "%s: %s cannot be created beside it (%s)", output->path,
                   output->temporary, strerror(error));
}

static lp_status create_temporary(lp_output *output)
{
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        int file = openat(output->folder, output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (file < 0) {
            if (errno != EEXIST) return fail_create(output, errno);
            LP_TRY(remove_stale(output));
            continue;
        }
        /* Until the lock is there, another process may take the file for a stale one and remove it. */
        int error = lock(file);
        place where = examine_temporary(output, file);
        int why = errno;
        if (error == 0 && where == PLACE_OURS) {
            output->file = file;
            output->exists = true;
            return LP_OK;
        }
        if (error != EWOULDBLOCK && where != PLACE_OTHERS) (void)unlinkat(output->folder, output->temporary, 0); /* made just now */
        close(file);
        if (error) return fail_lock(output, error);
        if (where == PLACE_UNKNOWN) return fail_examine(output, why);
    }
    return fail_lock(output, EWOULDBLOCK);
}

static lp_status create(lp_output *output, const char *path)
{
    output->path = strdup(path);
    output->target = strdup(path);
    if (output->path == NULL || output->target == NULL) return fail_memory(strlen(path) + 1);
    LP_TRY(resolve(output));
    LP_TRY(open_folder(output));
    LP_TRY(examine_target(output));
    output->buffer = malloc(BUFFER);
    if (output->buffer == NULL) return fail_memory(BUFFER);
    if (asprintf(&output->temporary, ".%s.lowp-tmp", output->name) < 0) {
        output->temporary = NULL;
        return fail_memory(strlen(output->name) + 11);
    }
    return create_temporary(output);
}

lp_status lp_output_create(const char *path, bool force, lp_output **out)
{
    *out = NULL;
    lp_output *output = calloc(1, sizeof *output);
    if (output == NULL) return fail_memory(sizeof *output);
    output->folder = output->file = -1;
    output->force = force;
    lp_sha256_begin(&output->hash);
    lp_status status = create(output, path);
    if (status != LP_OK) {
        release(output);
        return status;
    }
    *out = output;
    return LP_OK;
}

lp_status lp_output_reserve(lp_output *output, uint64_t n_bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && n_bytes > limit.rlim_cur)
        return lp_fail(LP_RESOURCE, "%s: %llu bytes are needed, the limit of this process for a file is %llu (ulimit -f)",
                       output->path, (unsigned long long)n_bytes, (unsigned long long)limit.rlim_cur);
    struct statvfs disk;
    int r;
    do r = fstatvfs(output->file, &disk);
    while (r != 0 && errno == EINTR);
    if (r != 0) return lp_fail(LP_RESOURCE, "%s: the free disk cannot be asked (%s)", output->path, strerror(errno));
    uint64_t n_free;
    if (__builtin_mul_overflow((uint64_t)disk.f_bavail, (uint64_t)disk.f_frsize, &n_free) || n_free >= n_bytes) return LP_OK;
    return lp_hint(lp_fail(LP_RESOURCE, "%s: %llu bytes are needed, the disk has %llu free", output->path,
                           (unsigned long long)n_bytes, (unsigned long long)n_free),
                   "free some space, or write to another disk");
}

static lp_status fail_write(const lp_output *output)
{
    return lp_fail(LP_RESOURCE, "%s: cannot be written after %llu bytes (%s)", output->path, (unsigned long long)output->n_bytes,
                   strerror(output->write_error));
}

/* To the file, past the buffer. */
static lp_status write_through(lp_output *output, const uint8_t *data, size_t n)
{
    lp_sha256_add(&output->hash, data, n);
    while (n) {
        ssize_t written = write(output->file, data, n < SSIZE_MAX ? n : SSIZE_MAX);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            output->write_error = written < 0 ? errno : EIO;
            return fail_write(output);
        }
        data += written;
        n -= (size_t)written;
    }
    return LP_OK;
}

static lp_status flush(lp_output *output)
{
    size_t n = output->n_buffered;
    output->n_buffered = 0;
    return write_through(output, output->buffer, n);
}

lp_status lp_output_write(lp_output *output, const void *data, size_t n)
{
    if (output->write_error) return fail_write(output);
    if (n == 0) return LP_OK;
    output->n_bytes += n;
    if (n > BUFFER - output->n_buffered) {
        LP_TRY(flush(output));
        if (n >= BUFFER) return write_through(output, data, n);
    }
    memcpy(output->buffer + output->n_buffered, data, n);
    output->n_buffered += n;
    return LP_OK;
}

uint64_t lp_output_size(const lp_output *output) { return output->n_bytes; }

static int sync_file(int file)
{
    int r;
    do r = fsync(file);
    while (r != 0 && errno == EINTR);
    return r == 0 || errno == EINVAL || errno == EROFS ? 0 : errno; /* EINVAL: this kind of file has nothing to sync */
}

/* flags of renameat2; a file system without them takes a plain rename if `plainly`. 0, or errno. */
static int rename_temporary(const lp_output *output, unsigned flags, bool plainly)
{
    int r = flags ? renameat2(output->folder, output->temporary, output->folder, output->name, flags) : -1;
    if (!flags || (r != 0 && plainly && (errno == EINVAL || errno == ENOSYS)))
        r = renameat(output->folder, output->temporary, output->folder, output->name);
    return r == 0 ? 0 : errno;
}

/* may_undo: an old file stays, under the temporary name, where the file system can exchange two names. */
static lp_status rename_to_target(lp_output *output, bool may_undo)
{
    place where = examine_temporary(output, output->file);
    if (where == PLACE_UNKNOWN) return fail_examine(output, errno);
    if (where == PLACE_OTHERS) { /* somebody removed or replaced it: not ours to rename or remove */
        output->exists = false;
        return lp_fail(LP_RESOURCE, "%s: the temporary file %s was removed while it was written", output->path,
                       output->temporary);
    }
    int error = 0;
    if (output->force && output->replaces && may_undo) {
        error = rename_temporary(output, RENAME_EXCHANGE, false);
        output->moved = error ? UNMOVED : EXCHANGED;
    }
    if (output->moved == UNMOVED && (!error || error == EINVAL || error == ENOSYS || error == ENOENT)) {
        error = rename_temporary(output, output->force ? 0 : RENAME_NOREPLACE, true); /* nobody may have put a file there meanwhile */
        if (!error) output->moved = output->replaces ? REPLACED : APPEARED;
    }
    if (error == EEXIST && !output->force) return fail_exists(output);
    if (error)
        return lp_fail(LP_RESOURCE, "%s: %s cannot be renamed to it (%s)", output->path, output->temporary, strerror(error));
    output->exists = output->moved == EXCHANGED; /* the old file, to be removed */
    return LP_OK;
}

/* Back to what was there before rename_to_target; false if that cannot be. */
static bool undo_rename(lp_output *output)
{
    if (output->moved == APPEARED) return unlinkat(output->folder, output->name, 0) == 0;
    return output->moved == EXCHANGED && rename_temporary(output, RENAME_EXCHANGE, false) == 0;
}

lp_status lp_output_prepare(lp_output *output, const lp_output *beside)
{
    if (output->write_error) return fail_write(output);
    LP_TRY(flush(output));
    if (output->replaces && fchmod(output->file, output->mode) != 0 && errno != EPERM && errno != ENOTSUP)
        return lp_fail(LP_RESOURCE, "%s: its mode cannot be set (%s)", output->path, strerror(errno));
    output->write_error = sync_file(output->file);
    if (output->write_error) return fail_write(output);
    free(output->buffer);
    output->buffer = NULL;
    struct stat own, other;
    if (beside && fstat(output->folder, &own) == 0 && fstat(beside->folder, &other) == 0 && own.st_dev == other.st_dev &&
        own.st_ino == other.st_ino) {
        close(output->folder);
        output->folder = beside->folder;
        output->shares_folder = true;
    }
    return LP_OK;
}

static lp_status rename_all(lp_output **output, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lp_status status = rename_to_target(output[i], n > 1);
        if (status == LP_OK) continue;
        size_t n_kept = 0;
        while (i--) n_kept += !undo_rename(output[i]);
        if (n_kept) lp_hint(status, "%zu of the %zu files that belong together are replaced already: write them again", n_kept, n);
        return status;
    }
    for (size_t i = 0; i < n; i++) {
        int error = output[i]->folder_syncs && !output[i]->shares_folder ? sync_file(output[i]->folder) : 0;
        if (error)
            return lp_fail(LP_RESOURCE, "%s: written, but its folder cannot be synchronised (%s)", output[i]->path, strerror(error));
    }
    return LP_OK;
}

lp_status lp_output_finish_all(lp_output **output, size_t n)
{
    lp_status status = rename_all(output, n);
    while (n--) release(output[n]); /* the first one last: others may share its folder */
    return status;
}

lp_status lp_output_finish(lp_output *output, char *sha256)
{
    lp_status status = lp_output_prepare(output, NULL);
    if (status == LP_OK) status = rename_all(&output, 1);
    if (status == LP_OK && sha256) lp_sha256_end(&output->hash, sha256);
    release(output);
    return status;
}

void lp_output_abort(lp_output *output)
{
    if (output) release(output);
}
