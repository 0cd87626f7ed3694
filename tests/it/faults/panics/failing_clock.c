/* A clock that cannot be read once, by one thread: for LD_PRELOAD, with the path of a file in PRELOAD_SHARED that says
 * whether, which clock and which thread. The file is mapped, so that whoever writes to it arms the failure at once. Rust's
 * library panics where a clock cannot be read, so this is a panic wherever that thread asks for the time. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct failure {
    atomic_int is_armed;
    int clock;
    /* As prctl(2) tells it. */
    char thread[16];
};

static struct failure *failure;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("PRELOAD_SHARED");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = mmap(NULL, sizeof *failure, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        abort();
    }
    failure = mapped;
    close(file);
}

static int is_meant(clockid_t clock) {
    char name[16] = "";
    int armed = 1;
    return failure && atomic_load(&failure->is_armed) && failure->clock == clock && !prctl(PR_GET_NAME, name) &&
           !strncmp(name, failure->thread, sizeof name) && atomic_compare_exchange_strong(&failure->is_armed, &armed, 0);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (is_meant(clock)) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, time);
}
