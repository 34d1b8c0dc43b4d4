/* Loaded into fio by LD_PRELOAD: two functions of the C library that cost more than what is measured.
   Without it fio does and prints the same, later. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* fio runs exec_prerun and exec_postrun by system(3), in each job. A shell takes some 40 ms of an emulated guest: with 16 jobs
   more than their I/O. This writes the text between the quotes of
       echo "@ begin NAME" >&3 && :
   to descriptor 3 itself, and starts nothing. */
int system(const char *command)
{
	const char *begin = command ? strchr(command, '"') : NULL;
	const char *end = begin ? strchr(begin + 1, '"') : NULL;
	if (!end)
		return -1;
	struct iovec line[2] = {
		{ .iov_base = (void *)(begin + 1), .iov_len = (size_t)(end - begin - 1) },
		{ .iov_base = "\n", .iov_len = 1 },
	};
	/* One call: lines of several jobs do not mix. */
	return writev(3, line, 2) == (ssize_t)(line[0].iov_len + 1) ? 0 : -1;
}

/* fio's first thread looks for ended jobs every 100 ms, some times between two sections: in 50 sections a quarter of a minute. */
int usleep(useconds_t microseconds)
{
	const useconds_t most = 20000;
	useconds_t shorter = microseconds < most ? microseconds : most;
	struct timespec time = { .tv_sec = 0, .tv_nsec = (long)shorter * 1000 };
	return nanosleep(&time, NULL);
}
