/* Zoetrope from C: a model file is opened once and answers requests, as runtime/engine/engine.h.
 *
 * Requests are JSON, the same that checkpoints and receipts hold (runtime/engine/request_record.h):
 *   {"prompt": "a red ball", "seed": 7, "width": 160, "height": 96, "frames": 24, "steps": 30}
 * and "adapters": [{"file": {"path": "style.safetensors"}, "strength": 0.8, "component": ""}].
 * What is left out is the model's to choose (the seed: 0); an unknown key or a value out of bounds
 * is an error that names it. Text is UTF-8.
 *
 * Errors: functions that return int return 0 or a zoetrope_code; zoetrope_message() then says what
 * was wrong. No function throws, exits or prints. Where one fails it gives nothing through its
 * pointers, unless it says so.
 * Ownership: strings given through `char **` are freed with zoetrope_free(), handles with their own
 * function. Freeing or closing NULL does nothing. Arguments are copied or read during the call.
 * Handles: no addresses. One that was closed, or never was one, is INVALID_ARGUMENT.
 * Threads: any thread may call anything with any handle. Closing an engine ends nothing: calls that
 * are at work keep it until they return. Calls that run something take turns on one engine;
 * planning goes on beside them. Callbacks come on the thread that made the call, and may call
 * anything but what would wait for that call's own turn: runs of the same engine. A call that works
 * needs 192 KiB of its thread's stack (RESOURCE_EXHAUSTED); the library's own threads bring theirs.
 * Processes: what was opened before fork() is not usable in the child (UNAVAILABLE).
 * Versions: structs of the caller's begin with their size, so that a program built against an older
 * header goes on working; ZOETROPE_ABI grows when that is no longer so. */
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
  ZOETROPE_CANCELLED = 7,          /* a callback or a token said so */
  ZOETROPE_IO_ERROR = 8,           /* the system refused a read or a write */
  ZOETROPE_INTERNAL = 9,           /* a mistake of ours */
  ZOETROPE_DIFFERS = 10            /* a result is not what it was compared with */
} zoetrope_code;

typedef struct zoetrope_engine zoetrope_engine;   /* a model, opened */
typedef struct zoetrope_token zoetrope_token;     /* what cancels calls */
typedef struct zoetrope_tensors zoetrope_tensors; /* what a component gave */

/* The ABI of the library that is loaded, to compare with ZOETROPE_ABI; and "0.1.0". */
ZOETROPE_API int zoetrope_abi(void);
ZOETROPE_API const char *zoetrope_version(void);
/* Of this thread's last call that failed; "" before. Never NULL; valid until the thread's next call
 * of a function that returns int. */
ZOETROPE_API const char *zoetrope_message(void);
/* "invalid argument", "not found", ...; static. */
ZOETROPE_API const char *zoetrope_code_name(int code);
ZOETROPE_API void zoetrope_free(void *memory);

/* Every device as a JSON list, with why one cannot be used. */
ZOETROPE_API int zoetrope_devices(char **json);

/* The model that comes with this library, or $ZOETROPE_MODEL. NOT_FOUND says where it was sought. */
ZOETROPE_API int zoetrope_default_model(char **path);

/* Cancels the calls whose callbacks hold it, at work, waiting or to come, from any thread (but not
 * from a handler of signals). One that is freed cancels nothing any more. */
ZOETROPE_API int zoetrope_token_create(zoetrope_token **token);
ZOETROPE_API int zoetrope_token_cancel(zoetrope_token *token);
ZOETROPE_API void zoetrope_token_free(zoetrope_token *token);

typedef struct zoetrope_progress {
  size_t size; /* of the library's struct: may be more than sizeof(zoetrope_progress) here */
  /* "load dit", "denoise", "decode video", ...: so much of so much is done. */
  const char *task;
  double done, total;
  double seconds_left; /* of the whole run; less than 0: not known */
} zoetrope_progress;

/* Each may be NULL. One that returns other than 0 ends the call with CANCELLED. What they are given
 * is valid during the call. */
typedef struct zoetrope_callbacks {
  size_t size; /* sizeof(zoetrope_callbacks) */
  void *user;  /* given to each */
  int (*progress)(void *user, const zoetrope_progress *progress);
  /* Things that a person should know: unknown words, prompts cut short. */
  int (*notice)(void *user, const char *text);
  /* Frames in order: RGB, 8 bits, [count, height, width, 3]. */
  int (*frames)(void *user, const uint8_t *pixels, int64_t count, int64_t width, int64_t height);
  /* Sound in order: interleaved floats, `count` samples a channel. */
  int (*audio)(void *user, const float *samples, int64_t count, int channels, int rate);
  zoetrope_token *token; /* NULL: only callbacks cancel */
  /* After each step of zoetrope_run, what the clip would look like: a few frames evenly over it, RGB,
   * 8 bits, [count, height, width, 3], a pixel for each latent. The engine's first run with it decodes
   * a small clip to fit it; then it costs far less than a step. Models without a picture, or that
   * denoise in several sizes, give none. */
  int (*preview)(void *user, const uint8_t *pixels, int64_t count, int64_t width, int64_t height,
                 int step);
  int preview_frames; /* at most so many; 0: 4 */
} zoetrope_callbacks;

/* Opens a model file and checks it; NULL: zoetrope_default_model(). `options`: JSON or NULL:
 *   {"device": "auto", "place": "", "target": "", "threads": 0} as the command's flags. Devices are
 * opened by the first call that needs them. */
ZOETROPE_API int zoetrope_open(const char *path, const char *options, zoetrope_engine **engine);
ZOETROPE_API void zoetrope_close(zoetrope_engine *engine);
/* Frees what the engine keeps loaded on devices and no call uses. */
ZOETROPE_API int zoetrope_release(zoetrope_engine *engine);

/* Name, family, path, digest, components with their inputs and outputs, words that it knows, and
 * the recipe, as JSON. */
ZOETROPE_API int zoetrope_inspect(zoetrope_engine *engine, char **json);

/* A picture at a size of its own: RGB, 8 bits, [height, width, 3]. Part of arrays: it does not grow
 * within an ABI. */
typedef struct zoetrope_picture {
  const uint8_t *pixels;
  int64_t width, height; /* 1 to 16384 */
} zoetrope_picture;

/* Pictures and sound that a clip keeps, or starts from; what is NULL or 0 is not given. Pixels are
 * RGB, 8 bits, [frames, height, width, 3] at the clip's size; samples are interleaved floats in
 * [-1, 1] at the model's rate. Models that see `first` and `last` beside the clip (the recipe's stage
 * "end_pictures") make frames of their own there, that follow them. */
typedef struct zoetrope_media {
  size_t size;                /* sizeof(zoetrope_media) */
  const uint8_t *first;       /* one frame that the clip begins with */
  const uint8_t *last;        /* one frame that it ends with */
  const uint8_t *before;      /* frames that it continues: its own first ones */
  int64_t before_frames;
  const float *before_sound;  /* as long as they are (before_samples), or NULL */
  const uint8_t *after;       /* frames that it leads to: its own last ones */
  int64_t after_frames;
  const float *after_sound;
  const uint8_t *video;       /* all of its frames: make the sound */
  int64_t video_frames;
  const float *audio;         /* all of its sound: make the picture */
  int64_t audio_samples;      /* a channel */
  const uint8_t *start;       /* frames to start from rather than from noise */
  int64_t start_frames;
  double strength;            /* how much of `start` is made new, at most 1; 0: 0.8 */
  int64_t before_samples;     /* of before_sound, a channel: frames * rate / fps */
  int64_t after_samples;      /* of after_sound */
  int channels;               /* of all sound that is given: as many as the model makes */
  /* Of models that make a clip anew (the recipe's stage "source_clip"): all of its frames, at the
   * clip's size divided by that stage's "scale". They show as many a second as source_fps says, 1 to
   * 1000, and so does what is made; 0: the model's rate. The request's width, height and frames must
   * be the source's, the sizes times "scale"; source_fps without a source is refused. */
  const uint8_t *source;
  int64_t source_frames;
  int64_t source_fps;
  /* Of models that show again who or what is on pictures ("reference_features", which says how many
   * at most). */
  const zoetrope_picture *references;
  int64_t reference_count;
} zoetrope_media;

/* What a request takes, without running anything: memory, time, sizes, as `zoetrope plan --json`.
 * RESOURCE_EXHAUSTED names the nearest size that fits. `media`: NULL, or as the run will have it. */
ZOETROPE_API int zoetrope_plan(zoetrope_engine *engine, const char *request,
                               const zoetrope_media *media, char **json);

/* Makes a clip or pictures. `media`, `callbacks`: NULL or given. `result`: NULL, or gets a JSON
 * object: sizes, "fps", "sample_rate", "channels", seconds, bytes, and "receipt" (what made every
 * bit, runtime/verify/receipt.h), null where media were given, which a receipt knows as files. */
ZOETROPE_API int zoetrope_run(zoetrope_engine *engine, const char *request,
                              const zoetrope_media *media, const zoetrope_callbacks *callbacks,
                              char **result);

/* A tensor by name, row major. Part of arrays: it does not grow within an ABI. */
typedef struct zoetrope_tensor {
  const char *name;
  const char *dtype; /* "f32", "f16", "bf16", "i32", "i64", "u8", ... */
  int64_t rank;      /* at most 6 */
  int64_t dims[6];
  const void *data;
} zoetrope_tensor;

/* Runs one component on tensors of the caller's, of exactly the dtypes of its inputs; symbols follow
 * from shapes. States may be left out, they are zero. Outputs come in the graph's order, then the
 * next values of states under the states' names, then what "dump" names. `options`: JSON or NULL:
 *   {"compute": "f32", "fuse": true, "set": {"batch": 1}, "dump": ["blocks.0"], "adapters": []} */
ZOETROPE_API int zoetrope_run_component(zoetrope_engine *engine, const char *component,
                                        const zoetrope_tensor *inputs, size_t input_count,
                                        const char *options, const zoetrope_callbacks *callbacks,
                                        zoetrope_tensors **outputs);
/* Less than 0 where the handle is none. */
ZOETROPE_API int64_t zoetrope_tensors_count(zoetrope_tensors *tensors);
/* What `out` points to lives until zoetrope_tensors_free(). */
ZOETROPE_API int zoetrope_tensors_get(zoetrope_tensors *tensors, size_t index,
                                      zoetrope_tensor *out);
ZOETROPE_API void zoetrope_tensors_free(zoetrope_tensors *tensors);

/* A clip to be written. */
typedef struct zoetrope_clip {
  size_t size;           /* sizeof(zoetrope_clip) */
  const uint8_t *frames; /* RGB, 8 bits, [count, height, width, 3]; NULL: only into a .wav file */
  int64_t count, width, height;
  int fps;
  const float *audio; /* interleaved; NULL: no sound */
  int64_t samples;    /* a channel */
  int channels, rate;
  const char *tags; /* a JSON object of texts that go into the file, or NULL */
} zoetrope_clip;

/* Writes a file as `zoetrope generate -o`: the name's extension says of which kind (.mp4, .webm,
 * .mkv, .mov, .gif, .y4m, .png, .wav). It appears whole or not at all, and takes an old one's place. */
ZOETROPE_API int zoetrope_write(const char *path, const zoetrope_clip *clip);

/* A checkpoint to a model file, as `zoetrope convert`. `options`: JSON, "input" and "output" needed:
 *   {"input": "", "output": "", "family": "auto", "name": "", "vae": "", "text_encoder": "",
 *    "image_encoder": "", "second": "", "tokenizer": "", "upsampler": "", "dtype": ""}
 * and "distilled": true or false, whatever its folder says; left out, as the folder says. */
ZOETROPE_API int zoetrope_convert(const char *options, const zoetrope_callbacks *callbacks);

/* A model file with weights of fewer bits, as `zoetrope quantize`. `options`: JSON, "output" needed,
 * "model" left out is zoetrope_default_model():
 *   {"model": "", "output": "", "format": "int8", "group": 0, "components": [], "keep": [],
 *    "prompts": [], "calibrate": [], "measure": "clips", "nearest": false, "rotate": false,
 *    "attention_bits": 0, "steps": 0, "width": 0, "height": 0, "frames": 0, "seed": 1,
 *    "compute": "f32", "device": "auto", "target": "", "threads": 0, "target_psnr": 0,
 *    "target_size": 0, "max_loss": 0.05, "max_attention_loss": 0.02, "min_psnr": 0,
 *    "force": false}
 * "prompts" are of the clips that the report compares (empty: two of ours); int4's rounding and, by
 * their first four, the targets are fitted to those of "calibrate" (empty: 32 of ours or classes,
 * four for targets alone), in "steps", or where that is 0 in seven if the model takes so few.
 * "group" 0 is 64 for int4. What would be without effect is refused: "group" and "nearest" outside
 * int4, "rotate" outside int8, and with "measure": "weights" what only clips
 * have ("max_loss" left out asks for nothing then). "attention_bits" 8 lets attention multiply 8-bit
 * numbers where a device has such kernels; "max_attention_loss" is of that alone.
 * DIFFERS: the gate (max_loss, max_attention_loss, min_psnr, target_psnr) failed and nothing was
 * written. `report`: NULL, or gets the costs as JSON, then too. */
ZOETROPE_API int zoetrope_quantize(const char *options, const zoetrope_callbacks *callbacks,
                                   char **report);

/* The request on several devices, every kernel call judged, as `zoetrope verify`. `model`: NULL is
 * zoetrope_default_model(). `options`: JSON or NULL; "devices" left out are all of this machine:
 *   {"devices": ["cpu"], "against": "reference", "judge_nodes": true, "calls": 4, "parts": 8,
 *    "min_psnr": -1, "min_snr": -1, "target": "", "threads": 0}
 * DIFFERS: a device does not do what it should; `report` (NULL, or gets JSON) is given then too. */
ZOETROPE_API int zoetrope_verify(const char *model, const char *request, const char *options,
                                 const zoetrope_callbacks *callbacks, char **report);

#ifdef __cplusplus
}
#endif

#endif
