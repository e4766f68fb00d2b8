/* Zoetrope from C: a model file is opened once and answers requests, as runtime/engine/engine.h.
 *
 * Requests are JSON, the same that checkpoints and receipts hold (runtime/engine/request_record.h):
 *   {"prompt": "a red ball", "seed": 7, "width": 160, "height": 96, "frames": 24, "steps": 30}
 * What is left out is the model's to choose; an unknown key or a value out of bounds is an error
 * that names it. Text is UTF-8.
 *
 * Errors: functions return 0 or a zoetrope_code; zoetrope_message() says what was wrong, in the
 * calling thread, until its next call. No function throws, exits or prints.
 * Ownership: strings that a function gives through `char **` are freed with zoetrope_free(); handles
 * with their own function. Freeing NULL does nothing. Arguments are copied or read during the call.
 * Threads: any thread may call anything with any handle, but nothing may use an engine that is being
 * closed. Runs of one engine take turns; planning goes on beside them. Callbacks come on the thread
 * that called zoetrope_run().
 * Versions: structs begin with their size, so that a program built against an older header goes on
 * working; ZOETROPE_ABI grows when that is no longer so. */
#ifndef ZOETROPE_H
#define ZOETROPE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ZOETROPE_API __attribute__((visibility("default")))
#else
#define ZOETROPE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define ZOETROPE_ABI 1

typedef enum zoetrope_code {
  ZOETROPE_OK = 0,
  ZOETROPE_INVALID_ARGUMENT = 1,   /* asked for something that makes no sense */
  ZOETROPE_NOT_FOUND = 2,          /* a file, tensor or device that is not there */
  ZOETROPE_UNSUPPORTED = 3,        /* well formed, but no kernel or feature for it */
  ZOETROPE_RESOURCE_EXHAUSTED = 4, /* memory, a budget, a disk */
  ZOETROPE_DATA_LOSS = 5,          /* damaged or hostile bytes */
  ZOETROPE_UNAVAILABLE = 6,        /* a device or library is missing */
  ZOETROPE_CANCELLED = 7,          /* a callback said so */
  ZOETROPE_IO_ERROR = 8,           /* the system refused a read or a write */
  ZOETROPE_INTERNAL = 9            /* a mistake of ours */
} zoetrope_code;

typedef struct zoetrope_engine zoetrope_engine;

/* The ABI of the library that is loaded, to compare with ZOETROPE_ABI; and "0.1.0". */
ZOETROPE_API int zoetrope_abi(void);
ZOETROPE_API const char *zoetrope_version(void);
/* Of this thread's last call that failed; "" before. Never NULL. */
ZOETROPE_API const char *zoetrope_message(void);
ZOETROPE_API void zoetrope_free(void *memory);

/* Every device as a JSON list, with why one cannot be used. */
ZOETROPE_API int zoetrope_devices(char **json);

/* Opens a model file and checks it. `options`: JSON or NULL:
 *   {"device": "auto", "place": "", "target": "", "threads": 0} as the command's flags. */
ZOETROPE_API int zoetrope_open(const char *path, const char *options, zoetrope_engine **engine);
ZOETROPE_API void zoetrope_close(zoetrope_engine *engine);

/* Name, family, digest, components with their inputs and outputs, and the recipe, as JSON. */
ZOETROPE_API int zoetrope_inspect(zoetrope_engine *engine, char **json);

/* What a request takes, without running anything: memory, time, sizes, as `zoetrope plan --json`.
 * RESOURCE_EXHAUSTED names the nearest size that fits. */
ZOETROPE_API int zoetrope_plan(zoetrope_engine *engine, const char *request, char **json);

/* Pictures and sound that a clip keeps, or starts from; what is NULL or 0 is not given. Pixels are
 * RGB, 8 bits, [frames, height, width, 3] at the clip's size; samples are interleaved floats in
 * [-1, 1] at the model's rate, for the whole clip. */
typedef struct zoetrope_media {
  size_t size;                /* sizeof(zoetrope_media) */
  const uint8_t *first;       /* one frame that the clip begins with */
  const uint8_t *last;        /* one frame that it ends with */
  const uint8_t *before;      /* frames that it continues */
  int64_t before_frames;
  const uint8_t *after;       /* frames that it leads to */
  int64_t after_frames;
  const uint8_t *video;       /* all of its frames: make the sound */
  int64_t video_frames;
  const float *audio;         /* all of its sound: make the picture */
  int64_t audio_samples;      /* a channel */
  const uint8_t *start;       /* frames to start from rather than from noise */
  int64_t start_frames;
  double strength;            /* how much of `start` is made new: above 0, at most 1 */
} zoetrope_media;

/* Each may be NULL. One that returns other than 0 ends the run with CANCELLED. Buffers are valid
 * during the call. */
typedef struct zoetrope_callbacks {
  size_t size; /* sizeof(zoetrope_callbacks) */
  void *user;  /* given to each */
  /* "load ...", "denoise", "decode video", ...: so much of so much is done. */
  int (*progress)(void *user, const char *task, double done, double total);
  /* Things that a person should know: unknown words, prompts cut short. */
  int (*notice)(void *user, const char *text);
  /* Frames in order: RGB, 8 bits, [count, height, width, 3]. */
  int (*frames)(void *user, const uint8_t *pixels, int64_t count, int64_t width, int64_t height);
  /* Sound in order: interleaved floats, `count` samples a channel. */
  int (*audio)(void *user, const float *samples, int64_t count, int channels, int rate);
} zoetrope_callbacks;

/* Makes a clip or pictures. `media` may be NULL. `stats`: NULL, or gets seconds and bytes as JSON. */
ZOETROPE_API int zoetrope_run(zoetrope_engine *engine, const char *request,
                              const zoetrope_media *media, const zoetrope_callbacks *callbacks,
                              char **stats);

#ifdef __cplusplus
}
#endif

#endif
