/* The wall clock of one process, stepped by a test: every reader sees the step, and waits against the wall clock do as
 * the kernel's would, prolonged where it is set back and ended where it is set ahead. The offset, milliseconds, is the
 * i64 in the file that WALL_OFFSET_FILE names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t none;
static volatile int64_t *offset_ms = &none;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("WALL_OFFSET_FILE");
    int file = name ? open(name, O_RDONLY) : -1;
    if (file < 0) return;
    void *map = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) offset_ms = map;
}

static int real_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock, now);
}

static void shift(struct timespec *time, int64_t by_ms) {
    int64_t ns = time->tv_nsec + (by_ms % 1000) * 1000000;
    time->tv_sec += by_ms / 1000;
    if (ns < 0) { ns += 1000000000; time->tv_sec -= 1; }
    if (ns >= 1000000000) { ns -= 1000000000; time->tv_sec += 1; }
    time->tv_nsec = ns;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = real_gettime(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(now, *offset_ms);
    return failed;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    now->tv_sec = wall.tv_sec;
    now->tv_usec = wall.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    if (out) *out = wall.tv_sec;
    return wall.tv_sec;
}

static int before(struct timespec a, struct timespec b) {
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    for (;;) {
        struct timespec slice, end = *until;
        shift(&end, -*offset_ms);
        real_gettime(CLOCK_REALTIME, &slice);
        shift(&slice, 50);
        int last = before(end, slice);
        int answer = real(cond, mutex, last ? &end : &slice);
        if (answer != ETIMEDOUT) return answer;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (!before(now, *until)) return ETIMEDOUT;
    }
}

/* glibc's own calls the one above by an inner name. */
int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
    switch (pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until)) {
    case 0: return thrd_success;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
    }
}
