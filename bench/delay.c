/*
 * For scripts/bench-order.sh: QEMU with a host that keeps its vCPUs' thread waiting at the worst
 * of times. Loaded before libc it finds, from the calls that pass, the mutex of the record's lock
 * and the one of the big lock, and lets the thread sleep
 *   - in every second slice in which the guest sets a timer: QEMU's main thread gets time to ask
 *     for its turn, and
 *   - at the end of such a slice, between the two locks, where the main thread may come first.
 * It says on stderr how often the vCPUs' thread gave the record's lock back, a number in which two
 * orders of the threads differ long before the guest's console does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_NS 10000

static int (*lock)(pthread_mutex_t *), (*unlock)(pthread_mutex_t *);
static int (*broadcast)(pthread_cond_t *), (*wait)(pthread_cond_t *, pthread_mutex_t *);
static pthread_mutex_t *record, *big;
static unsigned long turns, sleeps;

static __thread int is_vcpus = -1;
static __thread unsigned dice;
/* The record's lock was given back; it is held; the slice that ends was delayed. */
static __thread int given, held, late;

static void report(void)
{
    fprintf(stderr, "delay: %lu turns, %lu sleeps\n", turns, sleeps);
}

/* Before the first use: libraries lock before this one is constructed. */
static void find(void)
{
    if (lock)
        return;
    unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    broadcast = dlsym(RTLD_NEXT, "pthread_cond_broadcast");
    wait = dlsym(RTLD_NEXT, "pthread_cond_wait");
    lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    atexit(report);
}

static int vcpus(void)
{
    if (is_vcpus < 0) {
        char name[16] = "";
        prctl(PR_GET_NAME, name);
        is_vcpus = strstr(name, "CPU") != NULL;
        dice = time(NULL) * 1000003u + syscall(SYS_gettid);
        if (is_vcpus)
            prctl(PR_SET_TIMERSLACK, 1);
    }
    return is_vcpus;
}

static void nap(void)
{
    struct timespec t = { 0, SLEEP_NS };
    sleeps++;
    nanosleep(&t, NULL);
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    find();
    if (vcpus()) {
        if (m == record)
            held = 1;
        else if (m == big)
            held = 0; /* between slices, or a device: not known to be in a slice */
        else if (held && rand_r(&dice) % 2) {
            nap();
            late = 1;
        }
    }
    return lock(m);
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
    find();
    int r = unlock(m);
    if (vcpus() && given) {
        given = held = 0;
        record = m;
        if (late)
            nap();
        late = 0;
    }
    return r;
}

int pthread_cond_broadcast(pthread_cond_t *c)
{
    find();
    if (vcpus()) {
        given = 1;
        turns++;
    }
    return broadcast(c);
}

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    find();
    if (vcpus() && !big)
        big = m; /* its first wait is for the machine's start */
    return wait(c, m);
}
